"""Find equal model calls: reuse, in Python. Neighbours: claims before, settling or model_claims after."""

import uuid
from collections.abc import Sequence
from typing import Any

from heddle.testing.memory.results import ResultRow
from heddle.testing.memory.settling import holds
from heddle.testing.memory.tables import Key, Rows, Statement, StepRow, Tables

_CLASSES = ("interactive", "standard", "batch")


def reuse(
    tables: Tables,
    *,
    run_ids: Sequence[uuid.UUID],
    ordinals: Sequence[int],
    fences: Sequence[int],
    scopes: Sequence[int],
    keys: Sequence[str | None],
    hours: Sequence[float],
    interactive: Sequence[int],
    standard: Sequence[int],
    batch: Sequence[int],
    lost_run_ids: Sequence[uuid.UUID | None],
    lost_ordinals: Sequence[int | None],
) -> Rows:
    """Find the equal calls of leased ones; let those that are first go on."""
    found: Rows = []
    classes = zip(interactive, standard, batch, strict=True)
    gone = zip(lost_run_ids, lost_ordinals, strict=True)
    rows = zip(run_ids, ordinals, fences, scopes, keys, hours, classes, gone, strict=True)
    for run_id, ordinal, fence, scope, key, hours_kept, lanes, lost in sorted(rows, key=lambda row: row[:2]):
        step, lease = tables.step(run_id, ordinal), tables.leases.get((run_id, ordinal))
        if step is None or lease is None or not holds(lease, fence) or step.state != "due":
            continue
        noted = None if key is None else tables.results.get((scope, key))
        other = None if noted is None else tables.step(noted.run_id, noted.ordinal)
        outcome, output = _judged(tables, step, noted, other, kept_s=hours_kept * 3_600, lost=lost)
        if outcome == "first":
            if key is not None:
                tables.results[scope, key] = ResultRow(run_id=run_id, ordinal=ordinal)
            if step.options is not None:
                step.options = {name: value for name, value in step.options.items() if name != "reused"}
            step.lane = lane = lanes[_CLASSES.index(tables.runs[run_id].priority)]
            del tables.leases[run_id, ordinal]
            tables.put_ready(lane, step.tenant_id, run_id, ordinal)
        by: tuple[Any, ...] = (None, None, None)
        if noted is not None:
            by = (noted.run_id, noted.ordinal, None if other is None else other.tenant_id)
        if outcome == "found":
            step.options = {**(step.options or {}), "reused": [str(by[0]), by[1]]}
        found.append((run_id, ordinal, outcome, output, *by))
    return found


def _judged(
    tables: Tables,
    step: StepRow,
    noted: ResultRow | None,
    other: StepRow | None,
    *,
    kept_s: float,
    lost: tuple[uuid.UUID | None, int | None],
) -> tuple[str, Any]:
    own: Key = (step.run_id, step.ordinal)
    if noted is None or other is None or (noted.run_id, noted.ordinal) == own:
        return "first", None
    if (made := _made(other)) is not None:
        output, ended_at = made
        is_fresh = (tables.now_s() if ended_at is None else ended_at) + kept_s > tables.now_s()
        return ("found", output) if is_fresh and (noted.run_id, noted.ordinal) != lost else ("first", None)
    is_under_way = (other.run_id, other.ordinal) in tables.slots
    if other.state in ("failed", "cancelled", "skipped") or (other.state == "unknown" and not is_under_way):
        return "first", None
    mine, theirs = tables.runs[step.run_id].priority, tables.runs[other.run_id].priority
    is_lower = _CLASSES.index(theirs) > _CLASSES.index(mine)
    return ("lower" if is_lower and not is_under_way else "under_way"), None


def _made(other: StepRow) -> tuple[Any, float | None] | None:
    """Give the result of a call, with when it ended; None when it has none."""
    if other.state == "succeeded":
        return other.output, other.finished_at
    came = [
        (tried.result, tried.finished_at)
        for _, tried in sorted(other.tries.items())
        if tried.state in ("late", "done") and tried.result is not None
    ]
    return came[0] if came else None


def reuse_yield(
    tables: Tables,
    *,
    scope: int,
    key: str,
    run_id: uuid.UUID,
    model_lanes: Sequence[int],
    look_lanes: Sequence[int],
) -> Rows:
    """Let a call that others wait for, and that has not begun, stand back for an equal one of a higher class."""
    noted = tables.results.get((scope, key))
    step = None if noted is None or noted.run_id != run_id else tables.step(run_id, noted.ordinal)
    lanes = dict(zip(model_lanes, look_lanes, strict=True))
    if step is None or step.state not in ("due", "waiting") or step.lane not in lanes:
        return []
    own: Key = (run_id, step.ordinal)
    if own in tables.leases or own in tables.slots:
        return []
    before, step.lane = step.lane, lanes[step.lane]
    in_line = [row for row in tables.ready_rows() if (row.lane, row.run_id, row.ordinal) == (before, *own)]
    tables.remove_ready(in_line)
    for _ in in_line:
        tables.put_ready(step.lane, step.tenant_id, *own)
    del tables.results[scope, key]
    return [(run_id,)]


def requeue_lock(_tables: Tables, *, lane: int, tenant_id: int) -> Rows:
    """Keep claims away from a queue: nothing else runs here meanwhile."""
    del lane, tenant_id
    return []


STATEMENTS: dict[str, Statement] = {"reuse": reuse, "reuse_yield": reuse_yield, "requeue_lock": requeue_lock}
