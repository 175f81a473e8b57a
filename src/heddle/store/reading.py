"""Turn what the doors read into records: public values, derived states, one sentence of why.

Rows come from Django's own connection, which gives JSON as text; it is decoded here and nowhere else.
"""

import dataclasses
import datetime
import json
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from heddle.core import attempt, faults, plan, step
from heddle.core import run as run_law
from heddle.ports import records


def decode(value: Any) -> Any:
    """Read a JSON column whichever way the driver gave it."""
    return json.loads(value) if isinstance(value, str | bytes) else value


_BATCH = "batch"


def _fault(value: Any) -> faults.StepFault | None:
    found = decode(value)
    return None if found is None else faults.StepFault.from_json(found)


class _RunRow(NamedTuple):
    """Name the columns of run_views."""

    id: uuid.UUID
    workflow: str
    version: int
    priority: str
    state: str
    function_state: str
    labels: Any
    error: Any
    is_degraded: bool
    cost_nano_usd: int
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    deadline_at: datetime.datetime | None
    cancel_requested_at: datetime.datetime | None
    parent_run: uuid.UUID | None
    parent_ordinal: int | None
    traceparent: str | None
    input: Any
    shape: Any
    outputs: Any
    continued_from: uuid.UUID | None
    continued_as: uuid.UUID | None
    continued_last: uuid.UUID | None
    total: int
    done: int
    running: int
    waiting: int
    failed: int
    attempts: int
    retries: int
    is_activation_due: bool
    unknown: int
    price_difference_nano_usd: int


def run_view(values: Sequence[Any], *, tenant: str) -> records.RunView:
    """Read one row of run_views."""
    row = _RunRow(*values)
    return records.RunView(
        id=row.id,
        tenant=tenant,
        workflow=row.workflow,
        version=row.version,
        priority=run_law.Priority(row.priority),
        state=run_law.RunState(row.state),
        shown_state=_shown(row),
        input=plan.public(decode(row.input)),
        output=_output(row),
        error=decode(row.error),
        is_degraded=row.is_degraded,
        cost_nano_usd=row.cost_nano_usd,
        steps=records.StepCounts(
            total=row.total,
            done=row.done,
            running=row.running,
            waiting=row.waiting,
            failed=row.failed,
            attempts=int(row.attempts),
            retries=int(row.retries),
        ),
        labels=decode(row.labels) or {},
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        deadline_at=row.deadline_at,
        cancel_requested_at=row.cancel_requested_at,
        parent_run=row.parent_run,
        parent_ordinal=row.parent_ordinal,
        traceparent=row.traceparent,
        price_difference_nano_usd=row.price_difference_nano_usd,
        continued_from=row.continued_from,
        continued_as=row.continued_as,
        continued_last=row.continued_last,
    )


def _output(row: _RunRow) -> Any:
    """Put the outputs of the calls that the function returned into the shape it returned them in."""
    if row.state != run_law.RunState.SUCCEEDED.value or row.shape is None:
        return None
    outputs = decode(row.outputs) or {}
    return plan.public(plan.resolve(decode(row.shape), lambda ordinal: outputs[str(ordinal)]))


def _shown(row: _RunRow) -> str:
    if row.state != run_law.RunState.RUNNING.value:
        return row.state
    if row.cancel_requested_at is not None:
        return "cancelling"
    is_idle = not row.is_activation_due and row.running == 0 and row.waiting > 0
    return "waiting" if is_idle or row.unknown else row.state


def attempt_view(row: Sequence[Any], *, run_id: Any) -> tuple[int, records.AttemptView]:
    """Read one row of attempt_views."""
    ordinal, number, endpoint, worker, state, handle, fault, cost, started_at, sent_at, finished_at, tier, more = row
    return ordinal, records.AttemptView(
        id=f"{run_id}.{ordinal}.{number}",
        number=number,
        endpoint=endpoint,
        worker=worker,
        state=attempt.AttemptState(state),
        handle=handle,
        fault=_fault(fault),
        cost_nano_usd=cost,
        started_at=started_at,
        sent_at=sent_at,
        finished_at=finished_at,
        tier=tier,
        price_difference_nano_usd=more,
    )


def step_view(row: Sequence[Any], *, attempts: tuple[records.AttemptView, ...]) -> records.StepView:
    """Read one row of step_views."""
    (
        ordinal,
        kind,
        name,
        state,
        is_leased,
        parents,
        value,
        output,
        fault,
        note,
        created_at,
        due_at,
        finished_at,
        cost,
        child_run,
    ) = row
    return records.StepView(
        ordinal=ordinal,
        kind=step.StepKind(kind),
        name=name,
        state=step.StepState(state),
        is_leased=is_leased,
        parents=tuple(parents or ()),
        input=plan.public(_shown_arguments(decode(value))),
        output=plan.public(decode(output)),
        fault=_fault(fault),
        note=note,
        created_at=created_at,
        due_at=due_at,
        finished_at=finished_at,
        cost_nano_usd=cost,
        attempts=attempts,
        child_run=child_run,
    )


def _shown_arguments(value: Any) -> Any:
    """Show an edge as ``call 3.image`` rather than as its mark."""
    if isinstance(value, dict):
        if plan.CALL in value:
            ordinal, path = value[plan.CALL]
            return ".".join([f"call {ordinal}", *map(str, path)])
        return {key: _shown_arguments(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown_arguments(item) for item in value]
    return value


def event_views(found: Sequence[Sequence[Any]], *, after_seq: int, limit: int) -> list[records.EventView]:
    """Read rows of event_views: those named ``batch`` hold the events that one settlement told, in order."""
    views: list[records.EventView] = []
    for seq, name, ordinal, at, stored in found:
        detail = decode(stored) or {}
        told = detail["of"] if name == _BATCH else [(ordinal, name, detail)]
        views.extend(
            records.EventView(seq=seq - len(told) + place, name=each[1], ordinal=each[0], at=at, detail=each[2] or {})
            for place, each in enumerate(told, start=1)
            if seq - len(told) + place > after_seq
        )
    return views[:limit]


def endpoint_view(row: Sequence[Any]) -> records.EndpointView:
    """Read one row of endpoint_views."""
    (
        name,
        adapter,
        url,
        secret_name,
        models,
        in_flight,
        concurrency,
        requests_per_min,
        breaker,
        paused_until,
        paused_at,
    ) = row
    return records.EndpointView(
        name=name,
        adapter=adapter,
        url=url,
        models=tuple(models or ()),
        in_flight=in_flight,
        concurrency=concurrency,
        requests_per_min=requests_per_min,
        breaker=breaker,
        paused_until=paused_until,
        secret_name=secret_name,
        paused_at=paused_at,
    )


def schedule_view(row: Sequence[Any]) -> records.ScheduleView:
    """Read one row of schedule_views."""
    return records.ScheduleView(**dict(zip(_SCHEDULE_FIELDS, row, strict=True)))


_SCHEDULE_FIELDS = [field.name for field in dataclasses.fields(records.ScheduleView)]


def why(row: Sequence[Any]) -> str:
    """Say in one sentence what a run waits for, from one row of why."""
    state, stopping, is_activation_due, workflow, error, workers, is_activating, version, is_loaded, open_calls = row
    calls = decode(open_calls) or []
    if state in ("succeeded", "failed", "cancelled", "expired"):
        return f"The run has {state}." if not error else f"The run has {state}: {error}."
    if workers == 0:
        return "No worker is alive: start one with `heddle worker` (or `heddle up`)."
    if is_activation_due and not is_loaded:
        return f"No living worker has loaded version {version} of {workflow!r}: start one that has, or cancel the run."
    if stopping:
        return f"The run is stopping ({stopping}) and waits for its cleanup to end."
    if is_activating:
        return f"A worker is running the function of {workflow!r} at this moment."
    if is_activation_due:
        return f"Its next activation is in line for a worker that has loaded {workflow!r}."
    if not calls:
        return "Nothing is open: the run is about to end."
    return _why_call(calls[0], others=len(calls) - 1)


def _why_call(call: dict[str, Any], *, others: int) -> str:
    name = f"{call['kind']} {call['name']!r} (call {call['ordinal']})"
    more = f", and {others} more calls are open" if others else ""
    match call["state"]:
        case "unknown":
            return f"It is not known whether the provider took {name}; it is looked up, not sent again blindly{more}."
        case "pending":
            note = f" ({call['note']})" if call["note"] else ""
            due_in_s = max(0.0, call["due_in_s"] or 0.0)
            return f"The provider works on {name}{note}; it is asked again in {due_in_s:.0f} s{more}."
        case "waiting" if call["kind"] == "signal":
            return f"It waits for the signal {call['name']!r}{more}."
        case "waiting" if call["kind"] == "sleep" and call["due_in_s"] is not None:
            return f"{name} sleeps for {max(0.0, call['due_in_s']):.1f} s more{more}."
        case "waiting" if call["due_in_s"] is not None:
            return f"{name} waits for {max(0.0, call['due_in_s']):.1f} s more before it is tried again{more}."
        case "waiting":
            return f"It waits for {name} to end{more}."
        case _ if call["purpose"]:
            return f"A worker has been on {name} for {call['held_s']:.1f} s{more}."
        case _:
            return _why_due(call, name=name, more=more)


def _why_due(call: dict[str, Any], *, name: str, more: str) -> str:
    endpoints = call["endpoints"] or []
    if call["kind"] == "model" and not endpoints:
        return (
            f"No endpoint serves the model {call['name']!r}: add a route to heddle.toml and run `heddle migrate`{more}."
        )
    for endpoint in endpoints:
        if endpoint["breaker"] == "open":
            return f"{name} waits: the breaker of endpoint {endpoint['endpoint']!r} is open{more}."
        if endpoint["paused"]:
            return f"{name} waits: endpoint {endpoint['endpoint']!r} is paused{more}."
    if endpoints and all(endpoint["full"] for endpoint in endpoints):
        return (
            f"{name} waits for one of the {endpoints[0]['concurrency']} slots of endpoint {endpoints[0]['endpoint']!r};"
            f" {call['in_line']} calls are in line{more}."
        )
    return f"{name} is in line for a worker; {call['in_line']} are in its lane{more}."
