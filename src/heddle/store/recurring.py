"""Start runs by schedule inside one transaction: lock what is due, let the law decide, make the runs, move on.

A time is claimed under the schedule's name and the time itself like any other idempotency key, so that it starts one
run even if a schedule were set back. Neighbours: ``engine.recur`` above, ``core.policy.schedule`` decides.
"""

import datetime
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from heddle.ports import recurring
from heddle.store import connections, schedule

RUNS_AT_ONCE = 1_000
"""Runs after which a transaction takes no further schedule along: after a long outage all of them are due at once."""
LABEL_NAME, LABEL_TIME = "heddle/schedule", "heddle/scheduled_for"


class _Store(Protocol):
    _connections: connections.Connections

    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]: ...

    def new_run_id(self) -> uuid.UUID: ...


class Schedules:
    """Implement ``ports.recurring`` for a store that runs statements."""

    async def recur(
        self: _Store,
        *,
        workflows: Sequence[str],
        behind_s: float,
        limit: int,
        decide: Callable[[recurring.DueSchedule], recurring.Decided],
    ) -> recurring.Recurred:
        """Start what is due, in one transaction; tell when to look next."""
        done: tuple[tuple[str, int, int, str | None], ...] = await self._connections.run(
            lambda transaction: _recur(
                transaction,
                {"workflows": list(workflows), "behind_s": behind_s, "limit": limit},
                decide=decide,
                new_run_id=self.new_run_id,
            ),
            stage="schedule",
        )
        found = await self._rows("next_schedule", {"workflows": list(workflows)}, stage="schedule")
        return recurring.Recurred(schedules=done, next_in_s=found[0][0])


async def _recur(
    transaction: connections.Transaction,
    parameters: dict[str, Any],
    *,
    decide: Callable[[recurring.DueSchedule], recurring.Decided],
    new_run_id: Callable[[], uuid.UUID],
) -> tuple[tuple[str, int, int, str | None], ...]:
    found, count = list[_Row](), 0
    for row in map(_Row, await transaction.rows("due_schedules", parameters)):
        if count >= RUNS_AT_ONCE:
            break
        row.decided = decide(row.due)
        row.runs = [(time, new_run_id()) for time in row.decided.times]
        found, count = [*found, row], count + len(row.runs)
    if not found:
        return ()
    taken = await _take(transaction, found)
    arrays = schedule.NewRuns()
    for row in found:
        row.runs = [(time, run_id) for time, run_id in row.runs if run_id in taken]
        for time, run_id in row.runs:
            row.add(arrays, run_id, time)
    if arrays.is_any:
        await transaction.send("new_runs", arrays.values)
    await transaction.send("move_schedules", _moves(found))
    return tuple((row.due.workflow, len(row.runs), row.decided.missed, row.decided.problem) for row in found)


async def _take(transaction: connections.Transaction, found: "Sequence[_Row]") -> set[uuid.UUID]:
    wanted = [(row.tenant_id, _key(row.due.name, time), run_id) for row in found for time, run_id in row.runs]
    if not wanted:
        return set()
    taken = await transaction.rows(
        "take_fires",
        {
            "tenants": [tenant_id for tenant_id, _, _ in wanted],
            "keys": [key for _, key, _ in wanted],
            "runs": [run_id for _, _, run_id in wanted],
        },
    )
    return {row[0] for row in taken}


def _key(name: str, time: datetime.datetime) -> str:
    return f"{name}@{time:%Y-%m-%dT%H:%M:%SZ}"


def _moves(found: "Sequence[_Row]") -> dict[str, Any]:
    return {
        "names": [row.due.name for row in found],
        "nexts": [row.decided.next_at.isoformat() for row in found],
        "lasts": [row.runs[-1][0].isoformat() if row.runs else None for row in found],
        "last_runs": [row.runs[-1][1] if row.runs else None for row in found],
        "fired": [len(row.runs) for row in found],
        "missed": [row.decided.missed for row in found],
        "problems": [row.decided.problem for row in found],
    }


class _Row:
    """Hold one row of due_schedules with what was decided about it."""

    __slots__ = ("_options", "decided", "due", "runs", "tenant_id")

    def __init__(self, row: Sequence[Any]) -> None:
        name, tenant_id, workflow, value, cron, zone, catch_up, catch_up_max, *options, next_at, now = row
        self.tenant_id: int = tenant_id
        self.due = recurring.DueSchedule(
            name=name,
            workflow=workflow,
            input=value,
            cron=cron,
            time_zone=zone,
            catch_up=catch_up,
            catch_up_max=catch_up_max,
            next_at=next_at,
            now=now,
        )
        self._options = options
        self.decided = recurring.Decided(times=(), missed=0, next_at=next_at)
        self.runs: list[tuple[datetime.datetime, uuid.UUID]] = []

    def add(self, arrays: schedule.NewRuns, run_id: uuid.UUID, time: datetime.datetime) -> None:
        """Add the run of one time."""
        priority, deadline_s, max_cost_nano_usd, labels = self._options
        arrays.add(
            run_id=run_id,
            tenant_id=self.tenant_id,
            workflow=self.due.workflow,
            version=self.decided.version,
            priority=priority,
            arguments=self.decided.input,
            labels={**labels, LABEL_NAME: self.due.name, LABEL_TIME: f"{time:%Y-%m-%dT%H:%M:%SZ}"},
            max_cost_nano_usd=max_cost_nano_usd,
            deadline_s=deadline_s,
        )
