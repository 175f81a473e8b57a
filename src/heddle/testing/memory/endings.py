"""Carry on from calls that have ended: move what they blocked, wake functions, end runs.

The rules are those of ``settle.sql`` after its steps have moved; stopping and planning end runs by the same ones.
Neighbours: settling, stops and plans before; nothing after.
"""

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.testing.memory import outbox
from heddle.testing.memory.tables import Key, RunRow, StepRow, Tables


@dataclasses.dataclass(slots=True, kw_only=True)
class News:
    """Hold what happened to one call of a run."""

    step: StepRow
    event: str | None
    detail: Any = None
    is_end: bool = False
    is_good: bool = False
    is_failure: bool = False
    is_fallback: bool = False
    cost: int = 0


def follow(tables: Tables, ended: Sequence[StepRow]) -> list[StepRow]:
    """Move what was blocked by calls that have just ended, skipping whatever needs a failed one; give what moved.

    What is due now is in no queue yet.
    """
    oks: dict[Key, int] = {}
    causes: dict[Key, int] = {}
    for step in ended:
        if step.state not in ("succeeded", "failed"):
            continue
        for child in step.children:
            key = (step.run_id, child)
            if step.state == "succeeded":
                oks[key] = oks.get(key, 0) + 1
            else:
                _doom(tables, key, step.ordinal, causes)
    # As in the statement, the cause that is told is the lowest of the calls that were hit with it.
    for step in ended:
        for child in step.children:
            if (step.run_id, child) in causes and step.state in ("succeeded", "failed"):
                causes[step.run_id, child] = min(causes[step.run_id, child], step.ordinal)
    moved: list[StepRow] = []
    for key in dict.fromkeys([*oks, *causes]):
        step_row = tables.step(*key)
        if step_row is None or step_row.state != "blocked":
            continue
        step_row.blockers -= oks.get(key, 0)
        if key in causes:
            skip(tables, step_row, causes[key])
        elif step_row.blockers == 0:
            _start(tables, step_row)
        moved.append(step_row)
    return moved


def _doom(tables: Tables, key: Key, cause: int, causes: dict[Key, int]) -> None:
    if key in causes and causes[key] <= cause:
        return
    causes[key] = cause
    step = tables.step(*key)
    for child in () if step is None else step.children:
        _doom(tables, (key[0], child), cause, causes)


def skip(tables: Tables, step: StepRow, cause: int) -> None:
    """Skip a call because one that it takes a value from failed."""
    tables.move_step(step, "skipped")
    message = f"skipped: call {cause}, which it takes a value from, failed"
    step.fault = {"fault": "rejected_permanent", "message": message, "where": ""}
    step.finished_at = tables.now_s()


def _start(tables: Tables, step: StepRow) -> None:
    if step.kind in ("step", "model"):
        tables.move_step(step, "due")
    else:
        tables.move_step(step, "waiting")
        tables.timers.setdefault((step.run_id, step.ordinal, "begin"), tables.now_s())


def judge(tables: Tables, news: Sequence[News]) -> tuple[int, list[Any], int]:
    """Count on the runs what happened to their calls; wake functions, end runs. Gives woken, ended, parents told."""
    woken, ended, parents = 0, [], 0
    by_run: dict[uuid.UUID, list[News]] = {}
    for item in news:
        by_run.setdefault(item.step.run_id, []).append(item)
    for run_id, items in by_run.items():
        row = tables.runs[run_id]
        if row.state == "queued":
            tables.move_run(row, "running")
            begun = [item.step.started_at for item in items if item.event is not None]
            row.started_at = min((at for at in begun if at is not None), default=tables.now_s())
        items.sort(key=lambda item: item.step.ordinal)
        ends = [item for item in items if item.is_end]
        awaits = row.awaits or ()
        row.await_left -= sum(item.step.ordinal in awaits for item in ends)
        if row.await_failures_left is not None:
            row.await_failures_left -= sum(item.step.ordinal in awaits and not item.is_good for item in ends)
        row.is_degraded |= any(item.is_fallback for item in ends)
        row.is_broken |= any(item.step.ordinal in row.refs and not item.is_good for item in ends)
        failures = [item.step for item in ends if item.is_failure and item.step.ordinal not in row.handled]
        row.failed += len(failures)
        if failures and row.error is None:
            first = failures[0]
            row.error = {**first.fault, "step": first.ordinal, "name": first.name}
        row.open -= len(ends)
        assert row.open >= 0, f"run {run_id} would have {row.open} open calls"
        row.cost_nano_usd += sum(item.cost for item in items)
        for item in items:
            if item.event is not None:
                tables.tell(row, item.event, item.step.ordinal, item.detail)
        is_enough = row.await_left <= 0 or (row.await_failures_left is not None and row.await_failures_left < 0)
        if row.function_state == "running" and not row.is_activation_due and row.awaits is not None and is_enough:
            row.awaits, row.is_activation_due = None, True
            tables.put_ready(row.lane, row.tenant_id, row.id, 0)
            woken += 1
        if row.function_state != "running" and row.open == 0 and row.is_live:
            ended.append([*end_run(tables, row), "gateway" in row.labels])
            parents += row.parent_run is not None
    return woken, ended, parents


def end_run(tables: Tables, row: RunRow) -> list[Any]:
    """Bring a run with nothing open to its end, and tell its parent; give what is reported of it."""
    if row.stopping in ("cancelled", "expired"):
        state = row.stopping
    elif row.function_state == "returned" and row.failed == 0 and not row.is_broken:
        state = "succeeded"
    else:
        state = "failed"
    return finish_run(tables, row, state)


def finish_run(tables: Tables, row: RunRow, state: str) -> list[Any]:
    """Put a run into a terminal state, tell its parent, and post what the customer is told."""
    tables.move_run(row, state)
    row.finished_at = tables.now_s()
    tables.tell(row, f"run.{state}")
    outbox.post(tables, row)
    tables.drop_timers(row.id, ordinals=lambda ordinal: ordinal == 0)
    if row.parent_run is not None and row.parent_ordinal is not None:
        tables.timers.setdefault((row.parent_run, row.parent_ordinal, "child"), tables.now_s())
    return [row.workflow, state, row.priority, row.finished_at - row.created_at, str(row.id)]
