"""Stop runs and calls, and try runs again: end_functions, stop, cancel_calls and retry_run.

Neighbours: doors' cancel and retry, the timers of deadlines and cleanups, functions that raised or took the first of
several calls.
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
    fault = {"fault": kind, "message": f"stopped with its run: {reason}", "where": ""}
    for step in row.steps.values():
        if step.state in tables_module.OPEN:
            was_leased |= _end_call(tables, step, "cancelled", dict(fault))
    return was_leased


def _end_call(tables: Tables, step: StepRow, state: str, fault: Any) -> bool:
    """End an open call that is not wanted any more; tell whether a worker was on it.

    A job that a provider has, or may have, keeps its slot until it is known that it is over.
    """
    key, now = (step.run_id, step.ordinal), tables.now_s()
    tables.move_step(step, state)
    step.finished_at, step.fault = now, fault
    if step.kind == "model":
        step.attempts = max([step.attempts, *step.tries])
    was_leased = tables.leases.pop(key, None) is not None
    abroad = tables_module.abroad(tables, step)
    if abroad is None:
        tables.free_slot(key)
    elif abroad.state != "accepted":
        tables.timers.setdefault((*key, "reconcile"), max(now + 1.0, abroad.send_by or now))
    elif abroad.endpoint_id is not None:
        lane = tables.endpoints[abroad.endpoint_id].poll_lane
        if not _is_in_line(tables, lane, step):
            tables.put_ready(lane, step.tenant_id, *key)
    if step.child_run is not None:
        tables.timers.setdefault((step.child_run, 0, "cleanup"), now)
    return was_leased


def _is_in_line(tables: Tables, lane: int, step: StepRow) -> bool:
    queue = tables.ready.get(lane, {}).get(step.tenant_id, [])
    return any((row.run_id, row.ordinal) == (step.run_id, step.ordinal) for row in queue)


def cancel_calls(
    tables: Tables,
    *,
    run_ids: Sequence[uuid.UUID],
    fences: Sequence[int],
    wakes: Sequence[int],
    runs: Sequence[uuid.UUID],
    ordinals: Sequence[int],
    lost: str,
) -> Rows:
    """Cancel calls that lost first_of, and skip what takes a value from them, while their run goes on."""
    leased: list[uuid.UUID] = []
    for run_id, fence, wake_seq in zip(run_ids, fences, wakes, strict=True):
        row, lease = tables.runs.get(run_id), tables.leases.get((run_id, 0))
        is_held = lease is not None and holds(lease, fence)
        if row is None or not is_held or not row.is_live or row.wake_seq != wake_seq:
            continue
        asked = [ordinal for run, ordinal in zip(runs, ordinals, strict=True) if run == run_id and ordinal in row.steps]
        if _lose(tables, row, asked, json.loads(lost)):
            leased.append(run_id)
        _put_back(tables, row, asked)
    return [(run_id,) for run_id in sorted(leased)]


def _lose(tables: Tables, row: RunRow, asked: Sequence[int], lost: dict[str, Any]) -> bool:
    """Cancel calls and skip everything below them; tell whether a worker was on one of them."""
    open_ones = [ordinal for ordinal in asked if row.steps[ordinal].state in tables_module.OPEN]
    causes: dict[int, int] = {}
    for cause in sorted(open_ones):
        _reach(row, cause, cause, causes)
    was_leased = False
    for ordinal in sorted(causes):
        step = row.steps[ordinal]
        if step.state not in tables_module.OPEN:
            continue
        message = f"skipped: call {causes[ordinal]}, which it takes a value from, lost heddle.first_of"
        fault = lost if ordinal in open_ones else {"fault": "cancelled", "message": message, "where": lost["where"]}
        state = "cancelled" if ordinal in open_ones else "skipped"
        was_leased |= _end_call(tables, step, state, dict(fault))
        tables.drop_timers(row.id, ordinals=lambda each, ordinal=ordinal: each == ordinal)  # type: ignore[misc]
        row.open -= 1
    return was_leased


def _reach(row: RunRow, ordinal: int, cause: int, causes: dict[int, int]) -> None:
    if ordinal in causes:
        return
    causes[ordinal] = cause
    for child in row.steps[ordinal].children:
        _reach(row, child, cause, causes)


def _put_back(tables: Tables, row: RunRow, asked: Sequence[int]) -> None:
    """Put signals back that a call took after another had won, for the next call that waits for them."""
    for signal in row.signals:
        if signal.consumed_by in asked:
            signal.consumed_by = None
            waiting = [
                step.ordinal
                for step in row.steps.values()
                if (step.kind, step.name, step.state) == ("signal", signal.name, "waiting")
            ]
            if waiting:
                tables.set_timer((row.id, min(waiting), "signal"), tables.now_s())


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


def look_lanes(tables: Tables, *, run_ids: Sequence[uuid.UUID]) -> Rows:
    """List the lanes of what ended badly in runs and shares results."""
    found = {
        (step.lane, step.name, step.version, tables.runs[run_id].priority)
        for run_id in run_ids
        for step in (tables.runs[run_id].steps.values() if run_id in tables.runs else ())
        if step.kind == "model" and _is_sharing(step) and step.state in ("failed", "cancelled", "skipped")
    }
    return sorted(found)


def _is_sharing(step: StepRow) -> bool:
    return "reuse" in (step.options or {})


def retry_run(
    tables: Tables,
    *,
    run_id: uuid.UUID,
    lost: str,
    above: str | None,
    model_lanes: Sequence[int],
    look_lanes: Sequence[int],
) -> Rows:
    """Make what failed in a run due again and let its function run again; what lost first_of stays what it is."""
    row = tables.runs.get(run_id)
    if row is None:
        return []
    was_stopped_above = row.state == "cancelled" and above is not None and (row.error or {}).get("where") == above
    if row.state not in ("failed", "expired") and not was_stopped_above:
        return []
    kept = row.stop_ordinal if row.stopping in ("cancelled", "expired") else row.planned
    looks = dict(zip(model_lanes, look_lanes, strict=True))
    losers: dict[int, int] = {}
    for step in list(row.steps.values()):
        if step.state in ("cancelled", "skipped") and (step.fault or {}).get("where") == lost:
            _reach(row, step.ordinal, step.ordinal, losers)
    for ordinal in [ordinal for ordinal in row.steps if ordinal > kept]:
        removed = row.steps.pop(ordinal)
        row.left |= {ordinal: removed.tries} if removed.tries else {}
    again = [
        step
        for step in row.steps.values()
        if step.state in ("failed", "cancelled", "skipped") and step.ordinal not in losers
    ]
    blockers = {
        step.ordinal: sum(row.steps[parent].state != "succeeded" for parent in step.parents or ()) for step in again
    }
    for step in again:
        tables.leases.pop((run_id, step.ordinal), None)
        if _is_sharing(step) and _asked(tables, step) is None:
            step.lane = looks.get(step.lane, step.lane)
        _retry_step(tables, step, blockers[step.ordinal])
    row.planned, row.stopping, row.stop_ordinal = kept, None, 0
    row.function_state = "returned" if row.is_call else "running"
    row.error, row.failed, row.is_broken, row.handled = None, 0, False, set()
    row.open, row.finished_at, row.deadline_at, row.cancel_requested_at = len(again), None, None, None
    row.awaits, row.is_activation_due, row.wake_seq = None, not row.is_call, row.wake_seq + 1
    tables.move_run(row, "running")
    tables.tell(row, "run.retried")
    if not row.is_call:
        tables.put_ready(row.lane, row.tenant_id, row.id, 0)
    return [(run_id,)]


def _retry_step(tables: Tables, step: StepRow, blockers: int) -> None:
    key, now, tried = (step.run_id, step.ordinal), tables.now_s(), max([step.attempts, *step.tries])
    abroad, asked = tables_module.abroad(tables, step), _asked(tables, step)
    if abroad is None:
        tables.free_slot(key)
    state = asked or ("blocked" if blockers else "due" if step.kind in ("step", "model") else "waiting")
    # The law knows the way of a skipped call back over being blocked.
    if step.state == "skipped" and state != "blocked":
        tables.move_step(step, "blocked")
    if step.state == "failed" and state == "blocked":
        raise tables_module.LawBroken(f"step {step.run_id}.{step.ordinal} failed and would wait for others")
    tables.move_step(step, state)
    step.blockers, step.fault, step.output, step.finished_at, step.note = blockers, None, None, None, ""
    step.attempts_before = step.attempts_before if asked is not None else tried
    step.attempts, step.crashes, step.epoch = tried, 0, step.epoch + 1
    if state == "due":
        tables.put_ready(step.lane, step.tenant_id, *key)
    elif state == "waiting":
        tables.timers.setdefault((*key, "begin"), now)
    elif state == "pending":
        tables.timers.setdefault((*key, "poll"), now)
    elif state == "unknown":
        tables.timers.setdefault((*key, "reconcile"), max(now, step.tries[tried].send_by or now))


def _asked(tables: Tables, step: StepRow) -> str | None:
    """Tell in which state a call is asked after instead of being paid again; None when it is begun again."""
    abroad = tables_module.abroad(tables, step)
    if abroad is not None:
        return "pending" if abroad.state == "accepted" else "unknown"
    last = step.tries[max(step.tries)] if step.tries else None
    is_answered = last is not None and last.state in ("done", "late") and last.result is not None
    return "unknown" if step.state == "cancelled" and is_answered else None


STATEMENTS: dict[str, Statement] = {
    "end_functions": end_functions,
    "stop": stop,
    "cancel_calls": cancel_calls,
    "look_lanes": look_lanes,
    "retry_run": retry_run,
}
