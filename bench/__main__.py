"""Run the measurements: `python -m bench [--rounds N] [--only NAME] [--quick]`, or `make bench ARGS=…`.

Rounds are interleaved, so that what else happens on the machine falls on every figure alike. The status is 1 when a
deadlock was counted, and a measurement that fails ends the run with its reason.
"""

import argparse
import contextlib
import datetime
import functools
import pathlib
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence

from bench import bare_http, drains, figures, house, in_flight, loaded, machine, pure_sql, shapes, submissions

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
ROUNDS_MAX = 50
STOPPED_STATUS = 130
RATIOS = {
    "noop_steps_ratio": ("noop_steps_per_s", "pure_sql_noop_steps_per_s"),
    "noop_runs_ratio": ("noop_runs_per_s", "pure_sql_noop_steps_per_s"),
    "chain_steps_ratio": ("chain_steps_per_s", "pure_sql_chain_steps_per_s"),
    "http_ratio_to_bare_client": ("http_steps_per_s", "bare_http_per_s"),
}

Measurement = Callable[[house.House], list[figures.Figure]]


def measurements(*, is_quick: bool) -> dict[str, Measurement]:
    """Give every measurement by name, in the order in which a round takes them."""
    size = functools.partial(shapes.size, is_quick=is_quick)
    found: dict[str, Measurement] = {
        "pure_sql_noop": functools.partial(pure_sql.measure, shape="noop", runs=size(1_000)),
        "pure_sql_chain": functools.partial(pure_sql.measure, shape="chain", runs=size(20_000)),
    }
    drained = shapes.all_shapes(is_quick=is_quick)
    found |= {name: functools.partial(drains.measure, shape=shape) for name, shape in drained.items()}
    found["bare_http"] = functools.partial(bare_http.measure, posts=size(10_000))
    found["http_in_flight"] = functools.partial(in_flight.measure, calls=size(4_000))
    found["submit"] = functools.partial(submissions.rates, singles=size(1_000), batched=size(10_000))
    for name, workflow in (("start", "step:bench_stamp"), ("workflow_start", "bench_stamp")):
        found[f"{name}_latency"] = functools.partial(
            submissions.start_latency, samples=size(200), workflow=workflow, name=name
        )
    found["start_at_80_percent"] = functools.partial(loaded.measure, seconds=2.0 if is_quick else 20.0)
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write; give the exit status."""
    known = measurements(is_quick=False)
    given = _arguments(words, names=list(known))
    if given.quick:
        known = measurements(is_quick=True)
    chosen = {name: known[name] for name in given.only or known}
    # Asked to end, everything that was started is stopped on the way out, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED_STATUS))
    taken: list[figures.Figure] = []
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder, house.running(_readable(folder)) as running:
        with running.connect() as connection:
            described = machine.describe(connection)
        print(machine.line(described), flush=True)
        for number in range(1, given.rounds + 1):
            for name, measure in chosen.items():
                found = measure(running)
                taken += found
                print(f"round {number} {name}: {_told(found)}", flush=True)
    summaries = figures.summarise(taken)
    summaries += figures.ratios(summaries, RATIOS)
    print(f"\n{figures.table(summaries)}")
    stem = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}-{given.name}"
    options = {"rounds": given.rounds, "quick": given.quick, "only": given.only}
    heading = figures.Heading(line=machine.line(described), machine=described, options=options)
    paths = figures.write(pathlib.Path(given.results), stem=stem, heading=heading, summaries=summaries)
    print(f"\nwritten: {' '.join(map(str, paths))}")
    deadlocks = sum(figure.value for figure in taken if figure.name.endswith(".deadlocks"))
    if deadlocks:
        print(f"{deadlocks:g} deadlocks were counted; there must be none", file=sys.stderr)
    return 1 if deadlocks else 0


def _readable(folder: str) -> pathlib.Path:
    """Give the folder, open to the server's own user: as root, PostgreSQL runs as somebody else."""
    path = pathlib.Path(folder)
    path.chmod(0o755)
    return path


def _told(found: Sequence[figures.Figure]) -> str:
    return ", ".join(f"{figure.name} {figure.value:,.4g} {figure.unit}" for figure in found)


def _arguments(words: Sequence[str] | None, *, names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Heddle on this machine.")
    parser.add_argument("--rounds", type=_rounds, default=3, help="how often everything is measured (default 3)")
    parser.add_argument("--only", action="append", choices=names, help="measure this alone; may be given again")
    parser.add_argument("--quick", action="store_true", help="small counts, to see that it works; no figures to quote")
    parser.add_argument("--name", default="local", help="name of the run in the results' file names")
    parser.add_argument("--results", default=str(RESULTS), help="folder of the results (default bench/results)")
    return parser.parse_args(words)


def _rounds(text: str) -> int:
    rounds = int(text)
    if not 1 <= rounds <= ROUNDS_MAX:
        raise argparse.ArgumentTypeError(f"must be from 1 to {ROUNDS_MAX}")
    return rounds


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
