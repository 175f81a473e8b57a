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
    lanes: Sequence[int],
) -> Rows:
    """Find the equal calls of leased ones; let those that are first go on."""
    found: Rows = []
    rows = zip(run_ids, ordinals, fences, scopes, keys, hours, lanes, strict=True)
    for run_id, ordinal, fence, scope, key, hours_kept, lane in sorted(rows, key=lambda row: row[:2]):
        step, lease = tables.step(run_id, ordinal), tables.leases.get((run_id, ordinal))
        if step is None or lease is None or not holds(lease, fence) or step.state != "due":
            continue
        noted = None if key is None else tables.results.get((scope, key))
        other = None if noted is None else tables.step(noted.run_id, noted.ordinal)
        outcome, output = _judged(tables, step, noted, other)
        if outcome == "first":
            if key is not None:
                until = tables.now_s() + hours_kept * 3_600
                tables.results[scope, key] = ResultRow(run_id=run_id, ordinal=ordinal, until=until)
            step.lane = lane
            del tables.leases[run_id, ordinal]
            tables.put_ready(lane, step.tenant_id, run_id, ordinal)
        by: tuple[Any, ...] = (None, None, None)
        if noted is not None:
            by = (noted.run_id, noted.ordinal, None if other is None else other.tenant_id)
        if outcome == "found":
            step.options = {**(step.options or {}), "reused": [str(by[0]), by[1]]}
        found.append((run_id, ordinal, outcome, output, *by))
    return found


def _judged(tables: Tables, step: StepRow, noted: ResultRow | None, other: StepRow | None) -> tuple[str, Any]:
    own: Key = (step.run_id, step.ordinal)
    if noted is None or other is None or noted.until <= tables.now_s() or (noted.run_id, noted.ordinal) == own:
        return "first", None
    if other.state == "succeeded":
        return "found", other.output
    came = [
        tried.result
        for _, tried in sorted(other.tries.items())
        if tried.state in ("late", "done") and tried.result is not None
    ]
    if came:
        return "found", came[0]
    mine, theirs = tables.runs[step.run_id].priority, tables.runs[other.run_id].priority
    is_lower = _CLASSES.index(theirs) > _CLASSES.index(mine)
    is_under_way = (other.run_id, other.ordinal) in tables.slots
    if other.state in ("failed", "cancelled", "skipped") or (is_lower and not is_under_way):
        return "first", None
    return "under_way", None


STATEMENTS: dict[str, Statement] = {"reuse": reuse}
