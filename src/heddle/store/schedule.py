"""Carry out due timers inside one transaction: sleeps end, signals arrive or time out, child runs begin and report,
runs expire.

Waiting steps are leased to the worker that carries them out and settled by the same statement as every other step,
so successors, wake-ups and events are written in one place. Neighbours: ``engine.schedule`` above,
``store/sql/take_timers.sql`` below.
"""

import dataclasses
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from heddle.core import faults, lanes, plan
from heddle.core import run as run_law
from heddle.ports import store
from heddle.store import again, connections, rows

_NEW_RUN_ARRAYS = (
    "ids",
    "tenants",
    "workflows",
    "versions",
    "priorities",
    "lanes",
    "inputs",
    "labels",
    "webhooks",
    "max_costs",
    "deadlines_s",
    "starts_in_s",
    "parents",
    "parent_ordinals",
    "traceparents",
    "operations",
    "keys",
    "call_kinds",
    "call_names",
    "digests",
    "call_options",
)


class NewRuns:
    """Collect the parameters of new_runs.sql."""

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = {name: [] for name in _NEW_RUN_ARRAYS}

    @property
    def count(self) -> int:
        """Tell how many runs were added."""
        return len(self.values["ids"])

    @property
    def is_any(self) -> bool:
        """Tell whether a run was added."""
        return self.count > 0

    def add(
        self,
        *,
        run_id: uuid.UUID,
        tenant_id: int,
        workflow: str,
        version: int,
        priority: str,
        arguments: Any,
        labels: Any = None,
        webhook_url: str | None = None,
        max_cost_nano_usd: int | None = None,
        deadline_s: float | None = None,
        start_in_s: float = 0.0,
        parent_run: uuid.UUID | None = None,
        parent_ordinal: int | None = None,
        traceparent: str | None = None,
        operation: str | None = None,
        key: str | None = None,
        call: plan.PlannedCall | None = None,
    ) -> None:
        """Add one run; with ``call``, one that is this call and has no function."""
        lane = (
            lanes.of_activation(workflow, version, priority)
            if call is None
            else lanes.of_call(call, run_law.Priority(priority))
        )
        options = None if call is None else call.options.as_json()
        for name, value in {
            "ids": run_id,
            "tenants": tenant_id,
            "workflows": workflow,
            "versions": version,
            "priorities": priority,
            "lanes": lane,
            "inputs": rows.dump(arguments),
            "labels": rows.dump(dict(labels or {})),
            "webhooks": webhook_url,
            "max_costs": max_cost_nano_usd,
            "deadlines_s": deadline_s,
            "starts_in_s": start_in_s,
            "parents": parent_run,
            "parent_ordinals": parent_ordinal,
            "traceparents": traceparent,
            "operations": operation,
            "keys": key,
            "call_kinds": None if call is None else call.kind.value,
            "call_names": None if call is None else call.name,
            "digests": None if call is None else call.digest,
            "call_options": rows.dump(options) if options else None,
        }.items():
            self.values[name].append(value)


@dataclasses.dataclass(slots=True, kw_only=True)
class _Due:
    """Hold one row of take_timers."""

    run_id: uuid.UUID
    ordinal: int
    kind: str
    step_kind: str | None
    name: str | None
    version: int | None
    input: Any
    options: dict[str, Any] | None
    state: str | None
    tenant_id: int | None
    lane: int | None
    outputs: dict[str, Any] | None
    is_stopping: bool
    workflow: str
    priority: str
    traceparent: str | None
    deadline_at: Any
    child_run: uuid.UUID | None
    child_state: str | None
    child_is_stopping: bool | None
    child_shape: Any
    child_error: dict[str, Any] | None
    child_bytes: int
    child_outputs: dict[str, Any] | None
    signal: list[Any] | None
    timeout_in_s: float | None
    late_s: float
    readied: int


async def carry_out(
    transaction: connections.Transaction,
    timers: Sequence[tuple[uuid.UUID, int, str]],
    *,
    worker: int,
    cleanup_s: float,
    new_run_id: Callable[[], uuid.UUID],
) -> store.PumpReport:
    """Carry out timers that still are due. Those another worker took first are passed over."""
    await transaction.send("lock_runs", {"run_ids": sorted({run_id for run_id, _, _ in timers})})
    parameters = {
        "runs": [run_id for run_id, _, _ in timers],
        "ordinals": [ordinal for _, ordinal, _ in timers],
        "kinds": [kind for _, _, kind in timers],
        "result_bytes_max": plan.RESULT_BYTES_MAX,
    }
    due = [_Due(**dict(zip(_FIELDS, row, strict=True))) for row in await transaction.rows("take_timers", parameters)]
    readied = due[0].readied if due else 0
    waiting = [item for item in due if item.state == "waiting"]
    # A child run that ended before its call begins again is told of twice: it goes on, once, and says nothing more.
    beginning = {
        (item.run_id, item.ordinal): item
        for item in waiting
        if item.kind == "begin" or again.was_stopped_above(item.child_state, item.child_error)
    }
    begun, refused = await _begin(transaction, list(beginning.values()), new_run_id)
    readied += begun
    told = [item for item in waiting if item.kind == "child" and (item.run_id, item.ordinal) not in beginning]
    waited = [item for item in waiting if item.kind in ("sleep", "signal")] + told
    await _set_timers(transaction, [early for early in map(_early, waited) if early is not None])
    settled = await _settle(transaction, [item for item in waited if _is_ripe(item)] + refused, worker)
    ended, stopped = await _stop(transaction, [item for item in due if item.kind in ("deadline", "cleanup")], cleanup_s)
    return store.PumpReport(
        taken=len(due),
        readied=readied + settled.readied + len(ended),
        late_s=tuple(item.late_s for item in due),
        ended=settled.ended + ended,
        stopped=stopped,
    )


_FIELDS = [field.name for field in dataclasses.fields(_Due)]


async def _begin(
    transaction: connections.Transaction, due: Sequence[_Due], new_run_id: Callable[[], uuid.UUID]
) -> tuple[int, list[_Due]]:
    """Start what has just lost its last blocker: child runs, sleeps, signals. Give how many runs were made or go on,
    and the calls that cannot start because a value they take is not there.
    """
    children, links = NewRuns(), []
    refused: list[_Due] = []
    there = {id(item): made for item in due if (made := _child(item)) is not None and made.is_of_use}
    revived, timers = await again.go_on(transaction, list(there.values()))
    for item in due:
        options = plan.CallOptions.from_json(item.options)
        if id(item) in there:
            continue
        if item.step_kind == "workflow":
            arguments = _arguments(item)
            if arguments is None:
                refused.append(item)
                continue
            child = new_run_id()
            assert item.tenant_id is not None, "a begun step is journalled whole"
            assert item.name is not None, "a begun step is journalled whole"
            assert item.version is not None, "a begun step is journalled whole"
            children.add(
                run_id=child,
                tenant_id=item.tenant_id,
                workflow=item.name,
                version=item.version,
                priority=item.priority,
                arguments=arguments,
                parent_run=item.run_id,
                parent_ordinal=item.ordinal,
                deadline_s=options.timeout_s,
                traceparent=item.traceparent,
            )
            links.append((item.run_id, item.ordinal, child))
        elif item.signal is not None:
            timers.append((item.run_id, item.ordinal, "signal", 0.0))
        elif options.delay_s is not None:
            timers.append((item.run_id, item.ordinal, str(item.step_kind), options.delay_s))
    if links:
        await transaction.send("new_runs", children.values)
        await transaction.send(
            "set_child",
            {
                "runs": [link[0] for link in links],
                "ordinals": [link[1] for link in links],
                "children": [link[2] for link in links],
            },
        )
    await _set_timers(transaction, timers)
    return len(links) + revived, refused


def _child(item: _Due) -> again.Child | None:
    """Give the run that a call became before the run above it was retried."""
    if item.child_run is None or item.child_state is None:
        return None
    return again.Child(
        above=item.run_id,
        ordinal=item.ordinal,
        run_id=item.child_run,
        state=item.child_state,
        is_stopping=bool(item.child_is_stopping),
        error=item.child_error,
        timeout_s=plan.CallOptions.from_json(item.options).timeout_s,
    )


async def _set_timers(transaction: connections.Transaction, timers: Sequence[again.Timer]) -> None:
    if timers:
        await transaction.send(
            "set_timers",
            {
                "runs": [timer[0] for timer in timers],
                "ordinals": [timer[1] for timer in timers],
                "kinds": [timer[2] for timer in timers],
                "delays": [timer[3] for timer in timers],
            },
        )


def _arguments(item: _Due) -> Any:
    """Give the input of a child run; None when a projected part of an output is not there."""
    outputs = item.outputs or {}
    try:
        return plan.resolve(item.input, lambda ordinal: outputs[str(ordinal)])
    except plan.ProjectionMissing:
        return None


def _early(item: _Due) -> again.Timer | None:
    """Give the timer of a signal's time limit again, when the signal it was woken for went to another call."""
    if item.kind != "signal" or _is_ripe(item) or item.timeout_in_s is None:
        return None
    return (item.run_id, item.ordinal, "signal", item.timeout_in_s)


async def _settle(transaction: connections.Transaction, due: Sequence[_Due], worker: int) -> store.SettleReport:
    """Settle waiting steps whose time, signal or child has come, and those that cannot start."""
    if not due:
        return store.SettleReport()
    found = await transaction.rows(
        "lease_waiting",
        {"worker": worker, "runs": [item.run_id for item in due], "ordinals": [item.ordinal for item in due]},
    )
    fences = {(row[0], row[1]): row[2] for row in found}
    leased = [item for item in due if (item.run_id, item.ordinal) in fences]
    if not leased:
        return store.SettleReport()
    batch = [_settlement(item, fences[item.run_id, item.ordinal]) for item in leased]
    taken = [(item.run_id, item.signal[0], item.ordinal) for item in leased if item.kind == "signal" and item.signal]
    if taken:
        await transaction.send(
            "consume_signals",
            {
                "runs": [row[0] for row in taken],
                "seqs": [row[1] for row in taken],
                "ordinals": [row[2] for row in taken],
            },
        )
    (row,) = await transaction.rows("settle", rows.settlements(batch) | rows.direct(None))
    return rows.settle_report(row, batch)


def _is_ripe(item: _Due) -> bool:
    match item.kind:
        case "child":
            return item.child_state in ("succeeded", "failed", "cancelled", "expired")
        case "signal":
            return item.signal is not None or (item.timeout_in_s is not None and item.timeout_in_s <= 0)
        case _:
            return True


def _settlement(item: _Due, fence: int) -> store.Settlement:
    fault: faults.StepFault | None = None
    output: Any = None
    if item.kind == "signal" and item.signal is not None:
        output = item.signal[1]
    elif item.kind == "signal":
        fault = faults.StepFault(fault=faults.Fault.DEADLINE, message=f"the signal {item.name!r} did not come in time")
    elif item.kind == "begin":
        fault = _missing(item, "takes a value from a part of an output that is not there")
    elif item.kind == "child" and item.child_state == "succeeded" and item.child_bytes > plan.RESULT_BYTES_MAX:
        message = (
            f"the run of {item.name!r} returned {item.child_bytes:,} bytes; a result may be "
            f"{plan.RESULT_BYTES_MAX:,}: return artifacts"
        )
        fault = faults.StepFault(fault=faults.Fault.TOO_LARGE, message=message)
    elif item.kind == "child" and item.child_state == "succeeded":
        outputs = item.child_outputs or {}
        try:
            output = plan.resolve(item.child_shape, lambda ordinal: outputs[str(ordinal)])
        except plan.ProjectionMissing as error:
            fault = _missing(item, f"returned what is not there: {error}")
    elif item.kind == "child":
        fault = _child_fault(item)
    return store.Settlement(
        run_id=item.run_id,
        ordinal=item.ordinal,
        fence=fence,
        number=1,
        verdict="complete" if fault is None else "fail",
        output=rows.dump(output) if fault is None else None,
        fault=None if fault is None else rows.dump(fault.as_json()),
    )


def _missing(item: _Due, what: str) -> faults.StepFault:
    return faults.StepFault(fault=faults.Fault.BAD_OUTPUT, message=f"the run of {item.name!r} {what}")


def _child_fault(item: _Due) -> faults.StepFault:
    if item.child_error and item.child_state == "failed":
        return faults.StepFault(
            fault=faults.Fault(item.child_error["fault"]),
            message=f"the run of {item.name!r} failed: {item.child_error['message']}",
            where=item.child_error.get("where", ""),
        )
    kind = faults.Fault.DEADLINE if item.child_state == "expired" else faults.Fault.CANCELLED
    return faults.StepFault(fault=kind, message=f"the run of {item.name!r} was {item.child_state}")


async def _stop(
    transaction: connections.Transaction, due: Sequence[_Due], cleanup_s: float
) -> tuple[tuple[store.EndedRun, ...], tuple[uuid.UUID, ...]]:
    """Expire runs past their deadline, and end those whose cleanup time is over. Give the runs that ended, and those
    of which a worker was on a call.
    """
    if not due:
        return (), ()
    chosen = {item.run_id: item for item in sorted(due, key=lambda item: item.kind == "cleanup")}
    late = rows.dump(faults.StepFault(fault=faults.Fault.DEADLINE, message="the run's deadline passed").as_json())
    above = rows.dump(plan.stopped_above().as_json())
    found = await transaction.rows(
        "stop",
        {
            "run_ids": list(chosen),
            "reasons": ["expired" if item.kind == "deadline" else "cancelled" for item in chosen.values()],
            "faults": [
                late if item.kind == "deadline" else None if item.is_stopping else above for item in chosen.values()
            ],
            "forced": [item.kind == "cleanup" and item.is_stopping for item in chosen.values()],
            "cleanup_s": cleanup_s,
        },
    )
    _stopped, leased_runs, over = found[0]
    return rows.ended(over), tuple(uuid.UUID(run_id) for run_id in leased_runs or ())
