"""Measure how fast two workers drain runs that come all at once: steps a second, CPU and commits a step.

Both workers are up and idle, so start-up is not measured and their statements were planned on empty queues, as in a
house after a quiet night. Then all runs are written in one transaction through the public client. The time goes from
the first claim to the end of the last run, both by the database's clock.
"""

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from bench import processes
from bench.figures import Figure, Unit
from bench.house import House
from bench.shapes import Shape

BATCH = 500
DRAIN_TIMEOUT_S = 180.0
LOOK_S = 0.1
FIRST_LOOK_S = 0.003
FIRST_CLAIM_TIMEOUT_S = 30.0
STATISTICS_TIMEOUT_S = 5.0


class DrainFailed(RuntimeError):
    """Say what did not end as it should; a figure of a drain with failures would be worth nothing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Counters:
    commits: int
    deadlocks: int
    workers: processes.Usage | None
    server: processes.Usage | None


def measure(house: House, shape: Shape) -> list[Figure]:
    """Drain once. Raises DrainFailed when a run fails or is not over in 180 s."""
    if not shape.endpoints:
        return _drained(house, shape)
    with house.endpoints(shape.endpoints):
        return _drained(house, shape)


def _drained(house: House, shape: Shape) -> list[Figure]:
    house.empty()
    with house.connect() as watcher:
        with house.workers(shape.workers) as pids, _preloaded(shape) as begin:
            before = _counters(watcher, house, pids)
            begin()
            claimed_at = first_claim(watcher)
            wait_over(watcher, name=shape.name)
            after = _counters(watcher, house, pids)
        # Ended sessions have reported their counts; a live one does so at most once a second.
        settled = _counters(watcher, house, [])
        seconds = _seconds(watcher, claimed_at)
        _check(watcher, shape)
    return _figures(shape, seconds, before, after, settled)


@contextlib.contextmanager
def _preloaded(shape: Shape) -> Iterator[Callable[[], None]]:
    """Write all runs in one transaction and give the function that commits it."""
    from django.db import transaction

    from heddle import wiring
    from heddle.client import RunRequest

    request = RunRequest(workflow=shape.workflow, input=shape.input)
    with contextlib.ExitStack() as stack:
        stack.enter_context(transaction.atomic())
        for start in range(0, shape.runs, BATCH):
            outcomes = wiring.client().submit_many([request] * min(BATCH, shape.runs - start))
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome
        yield stack.close


def _counters(connection: psycopg.Connection[Any], house: House, pids: list[int]) -> _Counters:
    row = connection.execute(
        "select xact_commit, deadlocks from pg_stat_database where datname = current_database()"
    ).fetchone()
    assert row is not None
    return _Counters(
        commits=row[0],
        deadlocks=row[1],
        workers=processes.usage(pids),
        server=processes.usage([house.postgres_pid]),
    )


def first_claim(connection: psycopg.Connection[Any]) -> datetime.datetime:
    """Watch for the first lease: an activation's is gone when its plan is written, and nothing else keeps its time."""
    until_s = time.monotonic() + FIRST_CLAIM_TIMEOUT_S
    while time.monotonic() < until_s:
        row = connection.execute(
            "select least((select min(claimed_at) from heddle_lease), (select min(started_at) from heddle_run))"
        ).fetchone()
        if row is not None and row[0] is not None:
            found: datetime.datetime = row[0]
            return found
        time.sleep(FIRST_LOOK_S)
    raise DrainFailed(f"nothing was claimed within {FIRST_CLAIM_TIMEOUT_S:g} s")


def wait_over(connection: psycopg.Connection[Any], *, name: str) -> None:
    """Wait until every run is over. Raises DrainFailed after 180 s."""
    until_s = time.monotonic() + DRAIN_TIMEOUT_S
    while time.monotonic() < until_s:
        row = connection.execute("select exists (select 1 from heddle_run where finished_at is null)").fetchone()
        if row == (False,):
            return
        time.sleep(LOOK_S)
    raise DrainFailed(f"{name}: runs were not over within {DRAIN_TIMEOUT_S:g} s")


def _seconds(connection: psycopg.Connection[Any], claimed_at: datetime.datetime) -> float:
    row = connection.execute(
        "select extract(epoch from max(finished_at) - least(%s, min(started_at)))::float8 from heddle_run",
        (claimed_at,),
    ).fetchone()
    assert row is not None
    return float(row[0])


def _check(connection: psycopg.Connection[Any], shape: Shape) -> None:
    row = connection.execute(
        "select (select count(*) from heddle_run where state = 'succeeded'),"
        " (select count(*) from heddle_step where state = 'succeeded'),"
        " (select error from heddle_run where state <> 'succeeded' limit 1)"
    ).fetchone()
    assert row is not None
    if row[:2] != (shape.runs, shape.runs * shape.steps):
        wanted = f"{shape.runs} runs and {shape.runs * shape.steps} steps"
        raise DrainFailed(f"{shape.name}: of {wanted}, {row[0]} runs and {row[1]} steps succeeded; {row[2]}")


def _figures(shape: Shape, seconds: float, before: _Counters, after: _Counters, settled: _Counters) -> list[Figure]:
    steps = shape.runs * shape.steps
    counted = shape.runs if shape.is_counted_in_runs else steps
    name = shape.name
    figures = [
        Figure(name=f"{name}_per_s", value=counted / seconds, unit=Unit.PER_S),
        Figure(name=f"{name}.commits_per_step", value=(settled.commits - before.commits) / steps, unit=Unit.COUNT),
        Figure(name=f"{name}.deadlocks", value=settled.deadlocks - before.deadlocks, unit=Unit.COUNT),
    ]
    for whose, begun, ended in (("worker", before.workers, after.workers), ("server", before.server, after.server)):
        if begun is not None and ended is not None:
            cpu_us = (ended.cpu_s - begun.cpu_s) / steps * 1e6
            figures.append(Figure(name=f"{name}.{whose}_cpu_us_per_step", value=cpu_us, unit=Unit.MICROSECONDS))
    if after.workers is not None:
        resident_mib = after.workers.resident_bytes / 2**20
        figures.append(Figure(name=f"{name}.workers_resident_mib", value=resident_mib, unit=Unit.MIB))
    return figures
