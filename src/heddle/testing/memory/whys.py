"""Read what one explanation of a run needs: the statement ``why``. The load of lanes is not measured here.

Neighbours: ``store.why`` makes facts of the row, ``core.why`` a sentence.
"""

import uuid
from typing import Any

from heddle.testing.memory.tables import Rows, RunRow, Statement, StepRow, Tables
from heddle.testing.memory.views import text

_LOOK_BACK_S = 30.0
_CALLS_SHOWN = 20
_ORDER = ("unknown", "pending", "due", "waiting")


def why(tables: Tables, *, run_id: uuid.UUID, tenant_id: int, **_trusted: float) -> Rows:
    """Read what one explanation of a run needs."""
    row = tables.runs.get(run_id)
    if row is None or row.tenant_id != tenant_id:
        return []
    now = tables.now_s()
    alive = [each for each in tables.workers.values() if each.state == "alive" and each.seen_at > now - _LOOK_BACK_S]
    name, lease = f"{row.workflow}@{row.version}", tables.leases.get((run_id, 0))
    calls = [step for step in row.steps.values() if step.state in _ORDER]
    calls.sort(key=lambda step: (_ORDER.index(step.state), step.ordinal))
    calls = sorted(calls[:_CALLS_SHOWN], key=lambda step: step.ordinal)
    seats = [(0, row.lane)] if row.is_activation_due and row.is_live else []
    seats += [(step.ordinal, step.lane) for step in calls if step.state == "due"]
    places = {str(ordinal): _place(tables, row, ordinal, lane) for ordinal, lane in seats}
    head = (row.state, row.stopping, row.workflow, row.version, None if row.error is None else row.error["message"])
    stand = (row.tenant_id, row.is_activation_due, tables.tenants[row.tenant_id].weight, len(alive))
    is_loaded = any(name in each.detail.get("workflows", ()) for each in alive)
    activating_s = None if lease is None else now - lease.claimed_at
    shown = [_call(tables, step, now) for step in calls]
    return [
        (
            *(*head, *stand, is_loaded, activating_s, text(_timers(tables, row.id, 0))),
            *(text(places or None), text(shown or None)),
            *(tables.tenants[row.tenant_id].paused_at is not None, _IS_SENDING_PAUSED),
        )
    ]


def _timers(tables: Tables, run_id: uuid.UUID, ordinal: int) -> dict[str, float] | None:
    found = {key[2]: due_at - tables.now_s() for key, due_at in tables.timers.items() if key[:2] == (run_id, ordinal)}
    return found or None


def _place(tables: Tables, row: RunRow, ordinal: int, lane: int) -> dict[str, Any]:
    """Give a place in its tenant's line; nothing is known of how fast the lane drains."""
    line = tables.ready.get(lane, {}).get(row.tenant_id, [])
    places = [place for place, each in enumerate(line) if (each.run_id, each.ordinal) == (row.id, ordinal)]
    place = places[0] if places else None
    waited_s = None if place is None else max(0.0, tables.now_s() - line[place].at)
    return {"place": place, "waited_s": waited_s, "kind": None, "measured_ago_s": None}


def _call(tables: Tables, step: StepRow, now: float) -> dict[str, Any]:
    lease = tables.leases.get((step.run_id, step.ordinal))
    last = step.tries[max(step.tries)] if step.tries else None
    attempt = None
    if last is not None:
        endpoint = None if last.endpoint_id is None else tables.endpoints[last.endpoint_id].name
        attempt = {"state": last.state, "number": last.number, "endpoint": endpoint}
        attempt["accepted_ago_s"] = None if last.accepted_at is None else now - last.accepted_at
        attempt["unknown_ago_s"] = None if last.unknown_at is None else now - last.unknown_at
    looked = [
        at for _, name, ordinal, at, _ in tables.runs[step.run_id].events if (name, ordinal) == (_LOOKED, step.ordinal)
    ]
    return {
        "ordinal": step.ordinal,
        "kind": step.kind,
        "name": step.name,
        "version": step.version,
        "state": step.state,
        "note": step.note,
        "fault": None if step.fault is None else step.fault["fault"],
        "child_run": None if step.child_run is None else str(step.child_run),
        "purpose": None if lease is None else lease.purpose,
        "held_s": None if lease is None else now - lease.claimed_at,
        "timers": _timers(tables, step.run_id, step.ordinal),
        "is_loaded": True,
        "attempt": attempt,
        "looked_ago_s": now - looked[-1] if looked and step.state == "pending" else None,
        "held": None,
        "endpoints": _endpoints(tables, step) if (step.kind, step.state) == ("model", "due") else None,
        "is_model_paused": step.kind == "model" and _is_model_paused(tables, step.name),
        "regions": tables.tenants[step.tenant_id].regions if (step.kind, step.state) == ("model", "due") else None,
    }


_LOOKED = "step.pending"
_IS_SENDING_PAUSED = False  # a database that was restored is not simulated


def _is_model_paused(tables: Tables, name: str) -> bool:
    model = tables.models.get(name)
    return model is not None and model.paused_at is not None


def _endpoints(tables: Tables, step: StepRow) -> list[dict[str, Any]] | None:
    now, model = tables.now_s(), tables.models.get(step.name)
    rule = tables.tenants[step.tenant_id].rule
    routes = [route for route in tables.routes if route.model == step.name and rule in route.rules]
    routes = [route for route in routes if route.weight_in_force > 0]
    routes = [route for route in routes if tables.endpoints[route.endpoint_id].is_enabled]
    routes.sort(key=lambda route: (route.tier, tables.endpoints[route.endpoint_id].name))
    found = []
    for route in routes:
        endpoint = tables.endpoints[route.endpoint_id]
        scopes = []
        for scope in (tables.scopes[scope_id] for scope_id in sorted(endpoint.scope_ids)):
            deltas = [delta for delta in tables.deltas if delta.scope_id == scope.id]
            frozen_until = max([scope.frozen_until, *(delta.frozen_until for delta in deltas)])
            per_min, rate_in_s = scope.requests.per_min, None
            if per_min is not None:
                rate_in_s = max(0.0, scope.requests.tat - now - 60.0 / per_min * (scope.requests.burst - 1))
            scopes.append(
                {
                    "scope": scope.name,
                    "concurrency": scope.concurrency,
                    "in_flight": scope.in_flight - sum(delta.released for delta in deltas),
                    "per_min": per_min,
                    "rate_in_s": rate_in_s,
                    "frozen_in_s": frozen_until - now,
                    "is_short": scope.full_since is not None
                    and (scope.tokens.per_min is not None or scope.images.per_min is not None),
                    "breaker": scope.breaker,
                    "open_in_s": scope.open_until - now if scope.breaker == "open" else None,
                    "probe_in_s": None if scope.probe_until is None else scope.probe_until - now,
                    "paused_in_s": None if scope.paused_until is None else scope.paused_until - now,
                }
            )
        after_s = 30.0 if model is None else model.fallback_after_s
        standing = {"tier": route.tier, "after_s": after_s, "is_paused": endpoint.paused_at is not None}
        found.append({"endpoint": endpoint.name, **standing, "scopes": scopes})
    return found or None


STATEMENTS: dict[str, Statement] = {"why": why}
