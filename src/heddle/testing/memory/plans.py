"""Write the plans of runs' functions: the two journal statements, plan_facts, plan and unplan.

Every decision was made by ``core.placement``; what is here only writes it down. Neighbours: ``store.planning`` calls
these in one transaction.
"""

import json
import uuid
from collections.abc import Sequence
from typing import Any

import psycopg

from heddle.core import ids
from heddle.testing.memory import endings
from heddle.testing.memory import tables as tables_module
from heddle.testing.memory.settling import holds
from heddle.testing.memory.tables import Rows, RunRow, Statement, Tables


def loads(text: str | None) -> Any:
    """Read a JSON column."""
    return None if text is None else json.loads(text)


def integers(text: str | None) -> list[int]:
    """Read the text form of an integer[]."""
    return [] if not text or text == "{}" else [int(part) for part in text[1:-1].split(",")]


def texts(text: str | None) -> list[str]:
    """Read the text form of a text[] whose elements are all quoted; that form is JSON but for its braces."""
    return [] if not text else [str(each) for each in json.loads(f"[{text[1:-1]}]")]


def by_row(arrays: dict[str, Sequence[Any]], *names: str) -> list[dict[str, Any]]:
    """Turn the arrays of a statement into its rows."""
    return [dict(zip(names, row, strict=True)) for row in zip(*(arrays[name] for name in names), strict=True)]


def journal_runs(tables: Tables, *, run_ids: Sequence[uuid.UUID]) -> Rows:
    """Read the runs whose activations were claimed."""
    found = [tables.runs[run_id] for run_id in sorted(run_ids) if run_id in tables.runs]
    return [
        (
            row.id,
            row.workflow,
            row.version,
            row.input,
            list(row.patches),
            row.wake_seq,
            row.stopping,
            row.stop_ordinal,
            sorted(row.awaited),
            row.state,
            row.priority,
            row.tenant_id,
            row.traceparent,
            row.planned,
            tables.now_s(),
        )
        for row in found
    ]


def journal_steps(
    tables: Tables,
    *,
    run_ids: Sequence[uuid.UUID],
    ordinals: Sequence[int],
    eager_runs: Sequence[uuid.UUID],
    bytes_max: int,
) -> Rows:
    """Read journals: the output only of awaited calls, and for eager runs what fits besides what is asked for."""
    rows: Rows = []
    for run_id in sorted(run_ids):
        row = tables.runs.get(run_id)
        size_bytes = 0
        for step in () if row is None else sorted(row.steps.values(), key=lambda step: step.ordinal):
            assert row is not None, "it has steps"
            if row.workflow == "heddle.map" and step.state == "succeeded":
                continue
            is_wanted = step.kind == "now" or step.ordinal in row.awaited
            if run_id in eager_runs:
                size_bytes += len(json.dumps(step.output))
                is_eager = step.ordinal in ordinals or size_bytes <= bytes_max
                is_wanted = is_wanted or (step.state == "succeeded" and is_eager)
            output = step.output if is_wanted else None
            head = (run_id, step.ordinal, step.kind, step.name, step.digest, step.state)
            rows.append((*head, step.fault, step.finished_at, is_wanted, output))
    return rows


def plan_facts(
    tables: Tables,
    *,
    run_ids: Sequence[uuid.UUID],
    fences: Sequence[int],
    runs: Sequence[uuid.UUID],
    ordinals: Sequence[int],
) -> Rows:
    """Read what plans depend on, for those whose activation still holds its lease."""
    found: Rows = []
    for run_id, fence in sorted(zip(run_ids, fences, strict=True)):
        row, lease = tables.runs.get(run_id), tables.leases.get((run_id, 0))
        if row is None or lease is None or not holds(lease, fence) or not row.is_live:
            continue
        named = [ordinal for run, ordinal in zip(runs, ordinals, strict=True) if run == run_id and ordinal in row.steps]
        signals: dict[str, int] = {}
        for signal in row.signals:
            if signal.consumed_by is None:
                signals[signal.name] = signals.get(signal.name, 0) + 1
        states = {str(ordinal): row.steps[ordinal].state for ordinal in named}
        head = (row.id, row.wake_seq, row.open, row.planned, row.stopping, row.priority, row.tenant_id)
        found.append((*head, row.chain_number, states or None, signals or None, _over_bound(tables, row)))
    return found


def _over_bound(tables: Tables, row: RunRow) -> str | None:
    """Name the quota that was used up by the tenant's runs admitted before this one, at its first activation."""
    tenant = tables.tenants[row.tenant_id]
    if row.planned or row.started_at is not None or row.parent_run is not None:
        return None
    if tenant.runs_per_min is None and tenant.open_runs_max is None:
        return None
    earlier = [
        other
        for other in tables.runs.values()
        if other.tenant_id == row.tenant_id and other.parent_run is None and other.id < row.id
    ]
    since_ms = ids.unix_ms(row.id) - 60_000
    recent = sum(
        ids.unix_ms(other.id) >= since_ms and (other.error or {}).get("fault") != "throttled" for other in earlier
    )
    if tenant.runs_per_min is not None and recent >= tenant.runs_per_min:
        return "runs_per_min"
    is_full = tenant.open_runs_max is not None and sum(other.is_live for other in earlier) >= tenant.open_runs_max
    return "open_runs_max" if is_full else None


_CALLS = (
    "call_runs",
    "ordinals",
    "callees",
    "states",
    "digests",
    "inputs",
    "options",
    "outputs",
    "faults",
    "blockers",
    "parents",
    "children",
    "child_runs",
    "directs",
)
_CALLEES = ("kinds", "names", "versions", "lanes", "tenants")
_PLANS = (
    "run_ids",
    "fences",
    "functions",
    "shapes",
    "refs",
    "awaits",
    "lefts",
    "failures_lefts",
    "handled",
    "awaited",
    "patches",
    "planned",
    "opens",
    "wakes",
    "overs",
    "broken",
)


def plan_guard(
    tables: Tables, *, run_ids: Sequence[uuid.UUID], fences: Sequence[int], wake_seqs: Sequence[int]
) -> Rows:
    """Fail, as the statement does, when a first activation is no longer what its plan was made for.

    Raises psycopg's DivisionByZero.
    """
    for run_id, fence, wake_seq in zip(run_ids, fences, wake_seqs, strict=True):
        row, lease = tables.runs.get(run_id), tables.leases.get((run_id, 0))
        is_held = lease is not None and holds(lease, fence)
        is_first = row is not None and row.planned == 0 and row.stopping is None and row.is_live
        if row is None or not is_held or not is_first or row.wake_seq != wake_seq or _over_bound(tables, row):
            raise psycopg.errors.DivisionByZero("division by zero")
    return [(1,)]


def plan(tables: Tables, *, worker: int | None, claim_id: uuid.UUID | None, **arrays: Sequence[Any]) -> Rows:
    """Write what a batch of activations decided; a call marked direct is leased where nobody waits in its lane."""
    now = tables.now_s()
    callees = by_row(arrays, *_CALLEES)
    calls = by_row(arrays, *_CALLS)
    waited_in = {callee["lanes"] for callee in callees if callee["lanes"] in tables.ready}
    if any(tables.tenants[callee["tenants"]].paused_at is not None for callee in callees):
        waited_in = {callee["lanes"] for callee in callees}
    fences: list[int | None] = []
    for call in calls:
        callee = callees[call["callees"] - 1]
        is_direct = worker is not None and bool(call["directs"]) and callee["lanes"] not in waited_in
        fences.append(tables.next("fence") if is_direct else None)
        _write_call(tables, tables.runs[arrays["run_ids"][call["call_runs"] - 1]], call, callee, fences[-1])
        if fences[-1] is not None and worker is not None:
            _lease_direct(tables, arrays["run_ids"][call["call_runs"] - 1], call, callee, worker, claim_id, fences[-1])
    for edge in by_row(arrays, "edge_runs", "edge_parents", "edge_children"):
        tables.runs[edge["edge_runs"]].steps[edge["edge_parents"]].children.append(edge["edge_children"])
    timers = by_row(arrays, "timer_runs", "timer_ordinals", "timer_kinds", "timer_delays")
    for timer in timers:
        key = (timer["timer_runs"], timer["timer_ordinals"], timer["timer_kinds"])
        tables.timers.setdefault(key, now + timer["timer_delays"])
    woken, ended = 0, []
    for made in by_row(arrays, *_PLANS):
        row = tables.runs[made["run_ids"]]
        lease = tables.leases.get((row.id, 0))
        if lease is not None and holds(lease, made["fences"]):
            del tables.leases[row.id, 0]
        over = _write_run(tables, row, made)
        if over is not None:
            ended.append(over)
        elif row.is_activation_due:
            tables.put_ready(row.lane, row.tenant_id, row.id, 0)
            woken += 1
    readied = sum(call["states"] is None and fence is None for call, fence in zip(calls, fences, strict=True))
    return [(readied + woken, len(timers), ended or None, fences or None)]


def plan_numbers(tables: Tables, *, runs: Sequence[uuid.UUID], ordinals: Sequence[int]) -> Rows:
    """Let new calls go on with the numbers of those that stood in their places before a retry."""
    for run_id, ordinal in zip(runs, ordinals, strict=True):
        row = tables.runs[run_id]
        tries, step = row.left.pop(ordinal, {}), row.steps.get(ordinal)
        if step is not None and tries:
            step.tries, step.attempts, step.attempts_before = tries, max(tries), max(tries)
    return []


def _write_call(tables: Tables, row: RunRow, call: dict[str, Any], callee: dict[str, Any], fence: int | None) -> None:
    """Write one call; one that is usual throughout is due, waits for nobody and has neither options nor output."""
    assert call["ordinals"] not in row.steps, f"call {call['ordinals']} of run {row.id} is new"
    state = call["states"] or "due"
    row.steps[call["ordinals"]] = tables_module.StepRow(
        run_id=row.id,
        ordinal=call["ordinals"],
        kind=callee["kinds"],
        name=callee["names"],
        version=callee["versions"],
        lane=callee["lanes"],
        tenant_id=callee["tenants"],
        state=state,
        digest=call["digests"],
        input=json.loads(call["inputs"]),
        options=loads(call["options"]),
        output=loads(call["outputs"]),
        fault=loads(call["faults"]),
        blockers=call["blockers"] or 0,
        parents=integers(call["parents"]) or None,
        children=integers(call["children"]),
        child_run=call["child_runs"],
        created_at=tables.now_s(),
        finished_at=tables.now_s() if state in ("succeeded", "skipped", "cancelled") else None,
    )
    if state == "due" and fence is None:
        tables.put_ready(callee["lanes"], callee["tenants"], row.id, call["ordinals"])


def _lease_direct(
    tables: Tables,
    run_id: uuid.UUID,
    call: dict[str, Any],
    callee: dict[str, Any],
    worker: int,
    claim_id: uuid.UUID | None,
    fence: int,
) -> None:
    tables.leases[run_id, call["ordinals"]] = tables_module.LeaseRow(
        run_id=run_id,
        ordinal=call["ordinals"],
        worker_id=worker,
        fence=fence,
        claim_id=claim_id,
        number=1,
        lane=callee["lanes"],
        tenant_id=callee["tenants"],
        endpoint_id=None,
        purpose="execute",
        claimed_at=tables.now_s(),
    )


def _write_run(tables: Tables, row: RunRow, made: dict[str, Any]) -> list[Any] | None:
    """Write where a function stands; give what is reported of a run that is over."""
    now = tables.now_s()
    handled = integers(made["handled"])
    if row.failed and handled:
        row.failed = sum(
            step.state == "failed" and not step.is_detached and step.ordinal not in {*row.handled, *handled}
            for step in row.steps.values()
        )
    row.function_state = made["functions"]
    row.shape = row.shape if made["shapes"] is None else json.loads(made["shapes"])
    row.refs = row.refs if made["refs"] is None else integers(made["refs"])
    row.awaits = None if made["awaits"] is None else integers(made["awaits"])
    row.await_left, row.await_failures_left = made["lefts"], made["failures_lefts"]
    row.handled.update(handled)
    row.awaited.update(integers(made["awaited"]))
    row.patches = sorted({*row.patches, *texts(made["patches"])})
    row.planned = max(row.planned, made["planned"])
    row.open += made["opens"]
    if not (row.failed or row.stopping is not None):
        message = "the returned value refers to a call that did not succeed"
        broken = {"fault": "rejected_permanent", "message": message, "where": row.workflow}
        row.error = (row.error or broken) if made["broken"] else None
    row.is_broken = made["broken"]
    row.is_activation_due = made["wakes"]
    tables.move_run(row, "running")
    if row.started_at is None:
        row.started_at = now
        tables.tell(row, "run.started")
    return endings.end_run(tables, row) if made["overs"] else None


def unplan(tables: Tables, *, run_ids: Sequence[uuid.UUID], fences: Sequence[int]) -> Rows:
    """Give activations back to be run again."""
    for run_id, fence in sorted(zip(run_ids, fences, strict=True)):
        lease = tables.leases.get((run_id, 0))
        if lease is not None and holds(lease, fence):
            del tables.leases[run_id, 0]
            tables.put_ready(lease.lane, lease.tenant_id, run_id, 0)
    return []


STATEMENTS: dict[str, Statement] = {
    "journal_runs": journal_runs,
    "journal_steps": journal_steps,
    "plan_facts": plan_facts,
    "plan_numbers": plan_numbers,
    "plan_guard": plan_guard,
    "plan": plan,
    "unplan": unplan,
}
