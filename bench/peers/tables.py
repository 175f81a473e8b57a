"""Give the comparison as Markdown: one table a workload, the best first, each cell a median with lowest and highest.

Nothing is judged here. Before it: the measurements. After it: the terminal and the results' folder.
"""

import collections
from collections.abc import Mapping, Sequence

from bench import figures
from bench.peers.contenders import Workload

COLUMNS: Mapping[str, Sequence[tuple[str, str]]] = {
    Workload.NOOP: (
        ("per_s", "jobs/s"),
        ("submit_single_per_s", "submit one, /s"),
        ("submit_many_per_s", "submit many, /s"),
        ("worker_cpu_s_per_1000", "worker CPU s/1000"),
        ("server_cpu_s_per_1000", "server CPU s/1000"),
        ("workers_peak_resident_mib", "peak RSS MiB"),
        ("workers_proportional_mib", "PSS MiB"),
        ("undone", "undone"),
    ),
    Workload.HTTP: (
        ("per_s", "jobs/s"),
        ("worker_cpu_s_per_1000", "worker CPU s/1000"),
        ("server_cpu_s_per_1000", "server CPU s/1000"),
        ("workers_peak_resident_mib", "peak RSS MiB"),
        ("workers_proportional_mib", "PSS MiB"),
        ("undone", "undone"),
    ),
    Workload.CHAIN: (
        ("per_s", "steps/s"),
        ("worker_cpu_s_per_1000", "worker CPU s/1000"),
        ("server_cpu_s_per_1000", "server CPU s/1000"),
        ("workers_peak_resident_mib", "peak RSS MiB"),
        ("undone", "undone"),
    ),
    Workload.IDLE: (
        ("start_p50_ms", "start p50 ms"),
        ("start_p99_ms", "start p99 ms"),
        ("start_max_ms", "longest ms"),
    ),
    Workload.KILL: (
        ("lost", "lost or stuck"),
        ("missing_before_restart", "missing before the restart"),
        ("begun_twice", "begun twice"),
        ("ended_twice", "ended twice"),
        ("resumed_after_s", "resumed after s"),
        ("longest_pause_s", "longest pause s"),
        ("over_after_s", "all over after s"),
    ),
}
TITLES = {
    Workload.NOOP: "No-op jobs",
    Workload.HTTP: "Jobs that post once, answered after 50 ms",
    Workload.CHAIN: "Chains of three steps",
    Workload.IDLE: "From the call of submit to the first line of the job, idle",
    Workload.KILL: "One of two workers killed",
}
# What a table is sorted by, and whether more is better.
ORDER = {"per_s": True, "start_p50_ms": False, "lost": False}


def every(summaries: Sequence[figures.Summary]) -> str:
    """Give all tables that have a row."""
    cells: dict[str, dict[str, dict[str, figures.Summary]]] = collections.defaultdict(
        lambda: collections.defaultdict(dict)
    )
    for summary in summaries:
        contender, workload, what = summary.name.split(".")
        row = f"{contender}, careful settings" if workload.endswith("_careful") else contender
        cells[workload.removesuffix("_careful")][row][what] = summary
    return "\n\n".join(_table(workload, cells[workload]) for workload in Workload if workload in cells)


def _table(workload: Workload, rows: Mapping[str, Mapping[str, figures.Summary]]) -> str:
    columns = COLUMNS[workload]
    key = columns[0][0]
    most = 1 if not ORDER[key] else -1
    ordered = sorted(rows, key=lambda name: most * rows[name][key].median if key in rows[name] else float("inf"))
    lines = [f"### {TITLES[workload]}", ""]
    lines.append("| | " + " | ".join(title for _, title in columns) + " |")
    lines.append("|---" + "|---:" * len(columns) + "|")
    for name in ordered:
        shown = [figures.spread(rows[name][what]) if what in rows[name] else "" for what, _ in columns]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)
