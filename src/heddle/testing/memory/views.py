"""Show runs, calls, events, endpoints and gauges: the statements that only read, for doors and for the leader.

Rows are in the form Django's connection gives: JSON as text, times as aware datetimes. Neighbours: ``store.reading``
turns them into records.
"""

import datetime
import json
import uuid
from typing import Any

from heddle.testing.memory import chains, timers
from heddle.testing.memory import tables as tables_module
from heddle.testing.memory.deployed import ScopeRow
from heddle.testing.memory.tables import Rows, RunRow, Statement, StepRow, Tables


def text(value: Any) -> str | None:
    """Give a JSON column as text."""
    return None if value is None else json.dumps(value, ensure_ascii=False)


def moment(value: float | None) -> datetime.datetime | None:
    """Give a time as an aware datetime."""
    return None if value is None else datetime.datetime.fromtimestamp(value, tz=datetime.UTC)


def own_run(tables: Tables, *, run_id: uuid.UUID, tenant_id: int) -> Rows:
    """Tell whether a run is this tenant's, and how it stands."""
    row = tables.runs.get(run_id)
    return [] if row is None or row.tenant_id != tenant_id else [(row.state, row.stopping)]


def run_views(tables: Tables, *, tenant_id: int, run_id: uuid.UUID | None, is_full: bool, **where: Any) -> Rows:
    """Show runs of a tenant, newest first."""
    rows = [row for row in tables.runs.values() if row.tenant_id == tenant_id and run_id in (None, row.id)]
    found = [_run_view(tables, row, is_full=is_full) for row in rows if _is_asked(row, where)]
    return sorted(found, key=lambda view: view[0], reverse=True)[: where["limit"]]


def _is_asked(row: RunRow, where: dict[str, Any]) -> bool:
    label = None if where["label"] is None else json.loads(where["label"])
    created_at = moment(row.created_at)
    assert created_at is not None, "a run has a birth"
    return (
        (where["before"] is None or row.id < where["before"])
        and where["workflow"] in (None, row.workflow)
        and where["state"] in (None, row.state)
        and (label is None or label.items() <= row.labels.items())
        and (where["created_after"] is None or created_at >= where["created_after"])
        and (where["created_before"] is None or created_at < where["created_before"])
    )


def _run_view(tables: Tables, row: RunRow, *, is_full: bool) -> tuple[Any, ...]:
    steps = list(row.steps.values())

    def count(*states: str) -> int:
        return sum(step.state in states for step in steps)

    head: tuple[Any, ...] = (
        row.id,
        row.workflow,
        row.version,
        row.priority,
        row.state,
        row.state == "queued" and (row.id, 1) in tables.leases,
        text(row.labels),
    )
    head += (text(row.error), row.is_degraded, row.cost_nano_usd)
    times = (row.created_at, row.started_at, row.finished_at, row.deadline_at, row.cancel_requested_at)
    values = (text(row.input), text(row.shape), text(timers.outputs_of(row, row.refs))) if is_full else (None,) * 3
    counts = (
        len(steps),
        count("succeeded", "skipped", "cancelled"),
        count("due", "pending"),
        count("blocked", "waiting", "unknown"),
        count("failed"),
        sum(step.attempts for step in steps),
        sum(max(0, step.attempts - 1) for step in steps),
    )
    family = (row.parent_run, row.parent_ordinal, row.traceparent)
    chain = (row.continued_from, row.continued_as, chains.latest(tables, row))
    difference = sum(_difference(tried) or 0 for step in steps for tried in step.tries.values())
    shown = (*head, *map(moment, times), *family, *values, *chain, *counts, row.is_activation_due, count("unknown"))
    return (*shown, difference if row.is_degraded else 0)


def _difference(tried: tables_module.AttemptRow) -> int | None:
    """Give what a fallback cost more than the first choice would have; None of a first choice."""
    if tried.tier == 0 or tried.cost_nano_usd is None or tried.primary_price_nano_usd is None:
        return None
    return tried.cost_nano_usd - tried.primary_price_nano_usd


def attempt_views(tables: Tables, *, run_id: uuid.UUID, after: int, last: int) -> Rows:
    """Show the attempts of a page of a run's calls."""
    rows: Rows = []
    for step in _calls(tables, run_id, after=after):
        if step.ordinal > last:
            break
        is_plain = (step.kind, step.state, step.attempts) == ("step", "succeeded", 1) and step.started_at is not None
        if is_plain and not step.tries:
            worker = tables.workers.get(step.worker_id or 0)
            times = map(moment, (step.started_at, None, step.finished_at))
            rows.append(
                (
                    step.ordinal,
                    1,
                    None,
                    None if worker is None else worker.name,
                    "done",
                    None,
                    None,
                    None,
                    *times,
                    0,
                    None,
                )
            )
        for number, tried in sorted(step.tries.items()):
            endpoint = tables.endpoints.get(tried.endpoint_id or 0)
            worker = tables.workers.get(tried.worker_id or 0)
            names = (None if endpoint is None else endpoint.name, None if worker is None else worker.name)
            times = map(moment, (tried.started_at, tried.sent_at, tried.finished_at))
            about = (tried.state, tried.handle, text(tried.fault), tried.cost_nano_usd)
            rows.append((step.ordinal, number, *names, *about, *times, tried.tier, _difference(tried)))
    return rows


def step_views(tables: Tables, *, run_id: uuid.UUID, after: int, limit: int) -> Rows:
    """Show the calls of a run after an ordinal."""
    rows: Rows = []
    for step in _calls(tables, run_id, after=after)[:limit]:
        key = (run_id, step.ordinal)
        head = (step.ordinal, step.kind, step.name, step.state, key in tables.leases, step.parents)
        values = (text(step.input), text(step.output), text(step.fault), step.note)
        times = (step.created_at, _due_at(tables, step), step.finished_at)
        reused = text((step.options or {}).get("reused"))
        rows.append((*head, *values, *map(moment, times), step.cost_nano_usd, step.child_run, reused))
    return rows


def _calls(tables: Tables, run_id: uuid.UUID, *, after: int) -> list[StepRow]:
    steps = tables.runs[run_id].steps.values()
    return sorted((step for step in steps if step.ordinal > after), key=lambda step: step.ordinal)


def _due_at(tables: Tables, step: StepRow) -> float | None:
    return min((at for key, at in tables.timers.items() if key[:2] == (step.run_id, step.ordinal)), default=None)


def event_views(tables: Tables, *, run_id: uuid.UUID, after_seq: int, limit: int) -> Rows:
    """Show what happened to a run after a point."""
    found = [event for event in tables.runs[run_id].events if event[0] > after_seq][:limit]
    return [(seq, name, ordinal, moment(at), text(detail)) for seq, name, ordinal, at, detail in found]


def endpoint_views(tables: Tables) -> Rows:
    """Show endpoints with their limits and health."""
    rows: Rows = []
    for endpoint in sorted(tables.endpoints.values(), key=lambda endpoint: endpoint.name):
        scopes = [tables.scopes[scope_id] for scope_id in endpoint.scope_ids]
        if not endpoint.is_enabled:
            continue
        in_flight = sum(slot.endpoint_id == endpoint.id for slot in tables.slots.values())
        least = [
            min((value for value in values if value is not None), default=None)
            for values in ([scope.concurrency for scope in scopes], [scope.requests.per_min for scope in scopes])
        ]
        paused = max(
            (until for scope in scopes for until in _pauses(tables, scope) if until > tables.now_s()), default=None
        )
        head = (endpoint.name, endpoint.adapter, endpoint.url, endpoint.secret_name, _models(tables, endpoint.id))
        rows.append(
            (*head, in_flight, *least, _worst(scopes), moment(paused), moment(endpoint.paused_at), endpoint.regions)
        )
    return rows


def _models(tables: Tables, endpoint_id: int) -> list[str] | None:
    return sorted(route.model for route in tables.routes if route.endpoint_id == endpoint_id) or None


def _pauses(tables: Tables, scope: ScopeRow) -> list[float]:
    told = [delta.frozen_until for delta in tables.deltas if delta.scope_id == scope.id]
    return [scope.frozen_until, *told] + ([] if scope.paused_until is None else [scope.paused_until])


def _worst(scopes: list[ScopeRow]) -> str:
    positions = {scope.breaker for scope in scopes}
    return next(position for position in ("open", "half_open", "closed") if position in positions)


def _gates(tables: Tables, model: str) -> Any:
    row = tables.models.get(model)
    return None if row is None else row.quality


def endpoints(tables: Tables) -> Rows:
    """Give every endpoint that is enabled or still has slots taken."""
    rows: Rows = []
    for row in sorted(tables.endpoints.values(), key=lambda row: row.id):
        if not row.is_enabled and not any(slot.endpoint_id == row.id for slot in tables.slots.values()):
            continue
        models = _models(tables, row.id)
        policies = {model: tables.models[model].policy for model in models or () if model in tables.models}
        head = (row.id, row.name, row.adapter, row.url, row.secret_name, row.callback_secret_name, row.timeout_s)
        gates = {model: found for model in models or () if (found := _gates(tables, model)) is not None}
        rows.append((*head, row.price_nano_usd, row.is_paid, row.options, models, policies or None, gates or None))
    return rows


def gauges(tables: Tables, *, lease_s: float) -> Rows:
    """Read what the gauges show; there are no other transactions and no partitions here."""
    now = tables.now_s()
    ready: dict[str, list[Any]] = {}
    for row in tables.ready_rows():
        entry = ready.setdefault(str(row.lane), [0, 0.0])
        entry[0] += 1
        entry[1] = max(entry[1], now - row.at)
    leases: dict[str, int] = {}
    for lease in tables.leases.values():
        leases[lease.purpose] = leases.get(lease.purpose, 0) + 1
    slots: dict[str, int] = {}
    for slot in tables.slots.values():
        name = tables.endpoints[slot.endpoint_id].name
        slots[name] = slots.get(name, 0) + 1
    alive = sum(row.state in ("alive", "draining") and row.seen_at > now - lease_s for row in tables.workers.values())
    unknown = sum(
        step.state == "unknown" and any(tried.state == "unknown" for tried in step.tries.values())
        for row in tables.runs.values()
        if row.is_live
        for step in row.steps.values()
    )
    breakers = {
        row.name: _worst([tables.scopes[scope_id] for scope_id in row.scope_ids]) for row in tables.endpoints.values()
    }
    late = sum(due_at < now - 5.0 for due_at in tables.timers.values())
    return [(ready or None, leases or None, slots or None, late, alive, unknown, breakers or None, 0.0, 1e9)]


STATEMENTS: dict[str, Statement] = {
    "own_run": own_run,
    "run_views": run_views,
    "attempt_views": attempt_views,
    "step_views": step_views,
    "event_views": event_views,
    "endpoint_views": endpoint_views,
    "endpoints": endpoints,
    "gauges": gauges,
}
