"""Stop runs and try them again: end_functions, stop and retry_run.

Neighbours: doors' cancel and retry, the timers of deadlines and cleanups, and functions that raised.
"""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.testing.memory import endings
from heddle.testing.memory import tables as tables_module
from heddle.testing.memory.settling import holds
from heddle.testing.memory.tables import Rows, RunRow, Statement, StepRow, Tables


def end_functions(tables: Tables, *, run_ids: Sequence[uuid.UUID], fences: Sequence[int]) -> Rows:
    """Note that functions ended without a value, and let go of their activations' leases."""
    for run_id, fence in zip(run_ids, fences, strict=True):
        lease, row = tables.leases.get((run_id, 0)), tables.runs[run_id]
        if lease is not None and holds(lease, fence):
            del tables.leases[run_id, 0]
            row.function_state = "raised"
            row.started_at = tables.now_s() if row.started_at is None else row.started_at
    return []


def stop(
    tables: Tables,
    *,
    run_ids: Sequence[uuid.UUID],
    reasons: Sequence[str],
    faults: Sequence[str | None],
    forced: Sequence[bool],
    cleanup_s: float,
) -> Rows:
    """Cancel every open call of runs, and wake their functions to clean up or end them."""
    stopped, leased, ended = 0, set(), []
    for run_id, reason, fault, is_forced in zip(run_ids, reasons, faults, forced, strict=True):
        row = tables.runs.get(run_id)
        if row is None or not row.is_live or (row.stopping is not None and not is_forced):
            continue
        is_over = row.function_state != "running" or is_forced or row.state == "queued"
        stopped += 1
        if _stop_calls(tables, row, row.stopping or reason):
            leased.add(str(run_id))
        tables.drop_timers(run_id, ordinals=lambda ordinal, is_over=is_over: ordinal > 0 or is_over)  # type: ignore[misc]
        if not is_over:
            tables.timers.setdefault((run_id, 0, "cleanup"), tables.now_s() + cleanup_s)
        over = _stop_run(tables, row, row.stopping or reason, None if fault is None else json.loads(fault), is_over)
        if over is not None:
            ended.append(over)
    return [(stopped, sorted(leased) or None, ended or None)]


def _stop_calls(tables: Tables, row: RunRow, reason: str) -> bool:
    """Cancel the open calls of a run; tell whether a worker was on one of them."""
    was_leased = False
    kind = "deadline" if reason == "expired" else "cancelled"
    for step in row.steps.values():
        if step.state not in tables_module.OPEN:
            continue
        tables.move_step(step, "cancelled")
        step.finished_at = tables.now_s()
        step.fault = {"fault": kind, "message": f"stopped with its run: {reason}", "where": ""}
        was_leased |= tables.leases.pop((row.id, step.ordinal), None) is not None
        accepted = _accepted(tables, step)
        if accepted is None:
            tables.free_slot((row.id, step.ordinal))
        elif not _is_in_line(tables, accepted, step):
            tables.put_ready(accepted, step.tenant_id, row.id, step.ordinal)
        if step.child_run is not None:
            tables.timers.setdefault((step.child_run, 0, "cleanup"), tables.now_s())
    return was_leased


def _accepted(tables: Tables, step: StepRow) -> int | None:
    """Give the poll lane of the endpoint that works on a call, None when none is known to."""
    if (step.run_id, step.ordinal) not in tables.slots:
        return None
    for number in sorted(step.tries, reverse=True):
        tried = step.tries[number]
        if tried.state == "accepted" and tried.endpoint_id is not None:
            return tables.endpoints[tried.endpoint_id].poll_lane
    return None


def _is_in_line(tables: Tables, lane: int, step: StepRow) -> bool:
    queue = tables.ready.get(lane, {}).get(step.tenant_id, [])
    return any((row.run_id, row.ordinal) == (step.run_id, step.ordinal) for row in queue)


def _stop_run(tables: Tables, row: RunRow, reason: str, fault: Any, is_over: bool) -> list[Any] | None:
    is_first, was_due = row.stopping is None, row.is_activation_due
    row.stop_ordinal = row.planned if is_first else row.stop_ordinal
    row.stopping = reason
    if reason == "cancelled" and row.cancel_requested_at is None:
        row.cancel_requested_at = tables.now_s()
    row.error = fault if reason == "raised" or fault is not None else row.error
    if is_over and row.function_state == "running":
        row.function_state = "raised"
    row.open, row.awaits, row.wake_seq = 0, None, row.wake_seq + 1
    row.is_activation_due = not is_over
    if is_first:
        tables.tell(row, "run.stopping")
    if is_over:
        tables.leases.pop((row.id, 0), None)
        return endings.finish_run(tables, row, "failed" if reason == "raised" else reason)
    if not was_due:
        tables.put_ready(row.lane, row.tenant_id, row.id, 0)
    return None


def retry_run(tables: Tables, *, run_id: uuid.UUID) -> Rows:
    """Make what failed in a run due again and let its function run again."""
    row = tables.runs.get(run_id)
    if row is None or row.state not in ("failed", "expired"):
        return []
    kept = row.stop_ordinal if row.stopping in ("cancelled", "expired") else row.planned
    for ordinal in [ordinal for ordinal in row.steps if ordinal > kept]:
        del row.steps[ordinal]
    again = [step for step in row.steps.values() if step.state in ("failed", "cancelled", "skipped")]
    blockers = {
        step.ordinal: sum(row.steps[parent].state != "succeeded" for parent in step.parents or ()) for step in again
    }
    for step in again:
        tables.leases.pop((run_id, step.ordinal), None)
        tables.free_slot((run_id, step.ordinal))
        _retry_step(tables, step, blockers[step.ordinal])
    row.planned, row.function_state, row.stopping, row.stop_ordinal = kept, "running", None, 0
    row.error, row.failed, row.is_broken, row.handled = None, 0, False, set()
    row.open, row.finished_at, row.deadline_at, row.cancel_requested_at = len(again), None, None, None
    row.awaits, row.is_activation_due, row.wake_seq = None, True, row.wake_seq + 1
    tables.move_run(row, "running")
    tables.tell(row, "run.retried")
    tables.put_ready(row.lane, row.tenant_id, row.id, 0)
    return [(run_id,)]


def _retry_step(tables: Tables, step: StepRow, blockers: int) -> None:
    tried = max([step.attempts, *step.tries])
    state = "blocked" if blockers else "due" if step.kind in ("step", "model") else "waiting"
    # The law knows the way of a skipped call back over being blocked.
    if step.state == "skipped" and state != "blocked":
        tables.move_step(step, "blocked")
    if step.state == "failed" and state == "blocked":
        raise tables_module.LawBroken(f"step {step.run_id}.{step.ordinal} failed and would wait for others")
    tables.move_step(step, state)
    step.blockers, step.fault, step.output, step.finished_at, step.note = blockers, None, None, None, ""
    step.attempts, step.attempts_before, step.crashes, step.epoch = tried, tried, 0, step.epoch + 1
    if state == "due":
        tables.put_ready(step.lane, step.tenant_id, step.run_id, step.ordinal)
    elif state == "waiting":
        tables.timers.setdefault((step.run_id, step.ordinal, "begin"), tables.now_s())


STATEMENTS: dict[str, Statement] = {"end_functions": end_functions, "stop": stop, "retry_run": retry_run}
