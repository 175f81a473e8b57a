"""Turn what the doors read into records: public values and derived states.

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
from heddle.ports import records, routing


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
    is_taken: bool
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
    if row.is_taken:
        # A run that is one call, on its way: what becomes of it is written at its end.
        return run_law.RunState.RUNNING.value
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
        reused,
    ) = row
    reused_run, reused_call = decode(reused) or (None, None)
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
        reused_run=None if reused_run is None else uuid.UUID(reused_run),
        reused_call=reused_call,
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


def endpoint_view(row: Sequence[Any], routes: Sequence[routing.RouteFacts] = ()) -> records.EndpointView:
    """Read one row of endpoint_views, with the routes that lead there."""
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
        regions,
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
        regions=tuple(regions),
        routes=tuple(routes),
    )


def schedule_view(row: Sequence[Any]) -> records.ScheduleView:
    """Read one row of schedule_views."""
    return records.ScheduleView(**dict(zip(_SCHEDULE_FIELDS, row, strict=True)))


_SCHEDULE_FIELDS = [field.name for field in dataclasses.fields(records.ScheduleView)]
