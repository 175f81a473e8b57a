"""Keep the house busy for long, and see what grows that should not: `python -m bench.soak`.

Workers get as much as they finish, at most a bounded backlog ahead, until so many steps are done or the time is up. A
sample every ten seconds: steps a second, memory of each worker, size of each table whose rows live for seconds,
connections. Slopes are straight lines through the samples after the first quarter, by least squares.
"""

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Sequence

from bench import figures, house, longrun, offered, processes
from bench.figures import Figure, Unit

WORKFLOW = "bench_noop_calls"
CALLS = 10
SAMPLE_S = 10.0
BACKLOG_MAX = 5_000
PIECE_S = 5.0
MIB = 2**20
HOT = ("ready", "lease", "slot", "timer", "lane_tenant", "limit_delta", "worker")
WARM_UP_SHARE = 4


def main(words: Sequence[str] | None = None) -> int:
    """Work, sample, print, write; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Work for long and look for growth.")
    parser.add_argument("--steps", type=longrun.counted(100, 1_000_000_000), default=10_000_000, help="when to stop")
    parser.add_argument("--minutes", type=longrun.minutes(0.2, 1_440), default=60.0, help="when to stop at the latest")
    given = longrun.arguments(parser, words, name="soak")
    series: dict[str, list[float | None]] = {}
    with longrun.running() as (running, described):
        running.empty()
        with running.workers() as pids:
            failure = _worked(running, pids, given, series)
    if failure is not None:
        raise failure
    longrun.write(given, described, figures.summarise(summed(series)), series=series)
    return 0


def _worked(
    running: house.House, pids: Sequence[int], given: argparse.Namespace, series: dict[str, list[float | None]]
) -> BaseException | None:
    """Let a thread submit while this one samples; give what ended the thread early."""
    ended = threading.Event()
    failures: list[BaseException] = []

    def submit() -> None:
        try:
            while not ended.is_set():
                offered.saturate(running, WORKFLOW, {"calls": CALLS}, seconds=PIECE_S, backlog_max=BACKLOG_MAX)
        except BaseException as error:  # noqa: BLE001 - told to the measuring thread, which raises it
            failures.append(error)
            ended.set()

    thread = threading.Thread(target=submit, daemon=True)
    thread.start()
    begun_s = time.monotonic()
    steps = 0
    try:
        while steps < given.steps and time.monotonic() - begun_s < given.minutes * 60 and not ended.wait(SAMPLE_S):
            sample = _sample(running, pids, begun_s)
            sample["steps_per_s"] = (sample["steps"] - steps) / SAMPLE_S
            steps = int(sample["steps"])
            for name, value in sample.items():
                series.setdefault(name, []).append(value)
            print(", ".join(f"{name} {value:,.4g}" for name, value in sample.items()), flush=True)
    finally:
        ended.set()
        thread.join()
    return failures[0] if failures else None


def _sample(running: house.House, pids: Sequence[int], begun_s: float) -> dict[str, float]:
    with running.connect() as connection:
        row = connection.execute(
            "select (select coalesce(sum(n_tup_ins), 0)::float8 from pg_stat_user_tables where relname like %s),"
            " (select count(*)::float8 from pg_stat_activity where datname = current_database())",
            ("heddle_step_p%",),
        ).fetchone()
        sizes = connection.execute(
            "select sum(pg_total_relation_size(name::regclass))::float8 from unnest(%s::text[]) name",
            ([f"heddle_{table}" for table in HOT],),
        ).fetchone()
    assert row is not None
    assert sizes is not None
    sample = {"at_s": time.monotonic() - begun_s, "steps": row[0], "connections": row[1], "hot_mib": sizes[0] / MIB}
    return sample | {f"worker_{n}_mib": processes.resident_bytes(pid) / MIB for n, pid in enumerate(pids, start=1)}


def summed(series: dict[str, list[float | None]]) -> list[Figure]:
    """Give the rate, the slopes after the first quarter, and how much bigger the queues are at the end than then."""
    known = {name: [value for value in values if value is not None] for name, values in series.items()}
    start = len(known["at_s"]) // WARM_UP_SHARE
    hours = [at_s / 3600 for at_s in known["at_s"]][start:]
    found = [
        Figure(name="steps_per_s", value=known["steps"][-1] / known["at_s"][-1], unit=Unit.PER_S),
        Figure(name="steps", value=known["steps"][-1], unit=Unit.COUNT),
        Figure(name="hot_ratio", value=known["hot_mib"][-1] / known["hot_mib"][start], unit=Unit.RATIO),
        Figure(name="connections_per_hour", value=_slope(hours, known["connections"][start:]), unit=Unit.COUNT),
        Figure(name="steps_per_s_per_hour", value=_slope(hours, known["steps_per_s"][start:]), unit=Unit.COUNT),
    ]
    workers = [name for name in known if name.startswith("worker_")]
    steepest = max(_slope(hours, known[name][start:]) for name in workers)
    return [*found, Figure(name="worker_resident_mib_per_hour", value=steepest, unit=Unit.MIB)]


def _slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Give the slope of the straight line through points, by least squares; 0 for fewer than two."""
    if len(xs) < 2:
        return 0.0
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    below = sum((x - x_mean) ** 2 for x in xs)
    return sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / below


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
