"""Compare an empty house with one of 10,000,000 finished steps and 1,000,000 queued runs: `python -m bench.backlog`.

The same drain in both: one-step runs that come all at once, in one transaction, to two idle workers; the time goes from
the first claim to the end of the first so many of them. In the full house a million come, into the same lane. Empty
drains are measured before and after the full ones, so that a change of the machine shows.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence

from bench import drains, figures, fill, house, longrun
from bench.figures import Figure, Unit

STEPS_A_RUN = 100
WORKFLOW = "bench_noop_calls"
DRAIN_TIMEOUT_S = 300.0
FIRST_CLAIM_TIMEOUT_S = 60.0
FIRST_LOOK_S = 0.003
LOOK_S = 0.25


def main(words: Sequence[str] | None = None) -> int:
    """Fill, measure, print, write; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.backlog", description="Measure with a long queue.")
    count = longrun.counted(1, 100_000_000)
    parser.add_argument("--finished", type=count, default=10_000_000, help="steps of the past (default 10,000,000)")
    parser.add_argument("--queued", type=count, default=1_000_000, help="runs that wait (default 1,000,000)")
    parser.add_argument("--drained", type=count, default=20_000, help="runs that a measurement ends (default 20,000)")
    parser.add_argument("--rounds", type=longrun.counted(1, 20), default=3, help="drains of each kind (default 3)")
    given = longrun.arguments(parser, words, name="backlog")
    if given.queued < given.drained:
        parser.error("--queued must be at least --drained")
    with longrun.running() as (running, described):
        taken = _measured(running, given)
    summaries = figures.summarise(taken)
    medians = {each.name: each.median for each in summaries}
    ratio = medians["full.noop_runs_per_s"] / medians["empty.noop_runs_per_s"]
    summaries.append(figures.Summary(name="backlog_ratio", unit=Unit.RATIO, values=(ratio,)))
    longrun.write(given, described, summaries, series={})
    return 0


def _measured(running: house.House, given: argparse.Namespace) -> list[Figure]:
    taken = _empty(running, given)
    running.empty()
    began_s = time.monotonic()
    template = fill.submit(running, WORKFLOW, {"calls": STEPS_A_RUN})
    with running.connect() as connection:
        with running.workers():
            drains.wait_over(connection, name="the template of the past")
        fill.take(connection, template, fill.HISTORY)
        fill.copies(connection, template, fill.HISTORY, runs=max(1, given.finished // STEPS_A_RUN))
        connection.execute(f"vacuum (analyze) {', '.join(f'heddle_{table}' for table in fill.HISTORY)}")
        connection.execute("checkpoint")
    taken += longrun.told([Figure(name="filling_s", value=time.monotonic() - began_s, unit=Unit.SECONDS)])
    for _ in range(given.rounds):
        taken += longrun.told(_drain(running, "full", given.drained, queued=given.queued))
    return taken + _empty(running, given)


def _empty(running: house.House, given: argparse.Namespace) -> list[Figure]:
    taken: list[Figure] = []
    for _ in range(given.rounds):
        running.empty()
        taken += longrun.told(_drain(running, "empty", given.drained, queued=given.drained))
    return taken


def _drain(running: house.House, name: str, runs: int, *, queued: int) -> list[Figure]:
    """Let a queue come at once to idle workers, and take the time until the first so many of it are over."""
    template = fill.submit(running, WORKFLOW, {"calls": 1})
    bounds = {"first": fill.copy_id(template, 0), "last": fill.copy_id(template, runs), "runs": runs}
    with running.connect() as connection:
        fill.take(connection, template, fill.QUEUED)
        with running.workers():
            began_s = time.monotonic()
            fill.copies(connection, template, fill.QUEUED, runs=queued)
            queueing_s = time.monotonic() - began_s
            claimed_s = _first_claim(connection)
            until_s = time.monotonic() + DRAIN_TIMEOUT_S
            seconds = None
            while seconds is None:
                if time.monotonic() > until_s:
                    raise drains.DrainFailed(f"{runs} of {queued} runs were not over within {DRAIN_TIMEOUT_S:g} s")
                time.sleep(LOOK_S)
                row = connection.execute(
                    "select extract(epoch from max(finished_at))::float8 from heddle_run"
                    " where id between %(first)s and %(last)s having count(*) filter (where state = 'succeeded') ="
                    " %(runs)s",
                    bounds,
                ).fetchone()
                seconds = row and row[0] - claimed_s
        fill.forget(connection, template)
    return [
        Figure(name=f"{name}.noop_runs_per_s", value=runs / seconds, unit=Unit.PER_S),
        Figure(name=f"{name}.queueing_s", value=queueing_s, unit=Unit.SECONDS),
    ]


def _first_claim(connection: house.Connection) -> float:
    until_s = time.monotonic() + FIRST_CLAIM_TIMEOUT_S
    while time.monotonic() < until_s:
        row = connection.execute("select extract(epoch from min(claimed_at))::float8 from heddle_lease").fetchone()
        if row is not None and row[0] is not None:
            return float(row[0])
        time.sleep(FIRST_LOOK_S)
    raise drains.DrainFailed(f"nothing was claimed within {FIRST_CLAIM_TIMEOUT_S:g} s")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
