"""Read the facts that ``core.why`` explains a run by: its own, and those of the child runs it waits for.

Decides nothing. Neighbours: the doors above, ``store/sql/why.sql`` below.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from heddle.core import reasons, why
from heddle.core import run as run_law
from heddle.core.policy import lineup
from heddle.store import load, reading

Rows = Callable[[str, dict[str, Any]], list[tuple[Any, ...]]]


def explain(rows: Rows, *, run_id: uuid.UUID, tenant_id: int, depth: int = 0) -> reasons.Explanation | None:
    """Explain a run; None when the tenant has none of this id. One look at the store for each child run below."""
    found = rows("why", {"run_id": run_id, "tenant_id": tenant_id, "trusted_s": load.TRUSTED_S})
    if not found:
        return None
    (
        state,
        stopping,
        workflow,
        version,
        error,
        tenant,
        is_activation_due,
        weight,
        workers,
        is_loaded,
        activating_s,
        timers,
        places,
        calls,
        is_tenant_paused,
        is_sending_paused,
    ) = found[0]
    seats = reading.decode(places) or {}

    def child_of(call: Mapping[str, Any]) -> reasons.Explanation | None:
        if call["child_run"] is None or depth + 1 >= why.DEPTH_MAX:
            return None
        return explain(rows, run_id=uuid.UUID(call["child_run"]), tenant_id=tenant_id, depth=depth + 1)

    return why.explain(
        reasons.Run(
            state=run_law.RunState(state),
            workflow=workflow,
            version=version,
            tenant=tenant,
            weight=weight,
            workers=workers,
            is_loaded=is_loaded,
            is_activation_due=is_activation_due,
            stopping=stopping,
            error=error,
            activating_s=activating_s,
            timers=reading.decode(timers) or {},
            place=_place(seats.get("0")),
            calls=[
                _call(call, place=_place(seats.get(str(call["ordinal"]))), child=child_of(call))
                for call in reading.decode(calls) or []
            ],
            is_tenant_paused=is_tenant_paused,
            is_sending_paused=is_sending_paused,
        )
    )


def _call(call: Mapping[str, Any], *, place: reasons.Place, child: reasons.Explanation | None) -> reasons.Call:
    attempt = call["attempt"] or {}
    return reasons.Call(
        ordinal=call["ordinal"],
        kind=call["kind"],
        name=call["name"],
        state=call["state"],
        note=call["note"],
        fault=call["fault"],
        purpose=call["purpose"],
        held_s=call["held_s"] or 0.0,
        timers=call["timers"] or {},
        is_loaded=call["is_loaded"],
        endpoint=attempt.get("endpoint"),
        accepted_ago_s=attempt.get("accepted_ago_s"),
        unknown_ago_s=attempt.get("unknown_ago_s"),
        looked_ago_s=call["looked_ago_s"],
        held=None if call["held"] is None else reasons.Held(**call["held"]),
        endpoints=tuple(
            reasons.Endpoint(
                name=each["endpoint"],
                tier=each["tier"],
                after_s=each["after_s"],
                is_paused=each["is_paused"],
                scopes=tuple(reasons.Scope(name=scope.pop("scope"), **scope) for scope in each["scopes"] or ()),
            )
            for each in call["endpoints"] or ()
        ),
        regions=tuple(call["regions"] or ()),
        is_model_paused=call["is_model_paused"],
        place=place,
        child=child,
        child_run=call["child_run"],
    )


def _place(seat: Mapping[str, Any] | None) -> reasons.Place:
    if seat is None:
        return reasons.Place()
    measured_ago_s = seat["measured_ago_s"]
    return reasons.Place(
        before=seat["place"],
        waited_s=seat["waited_s"] or 0.0,
        lane=None if seat["kind"] is None else _lane(seat),
        **({} if measured_ago_s is None else {"measured_ago_s": measured_ago_s}),
    )


def _lane(seat: Mapping[str, Any]) -> lineup.LaneLoad:
    return lineup.LaneLoad(
        kind=seat["kind"],
        name="",
        version=0,
        priority=run_law.Priority.STANDARD,
        queued=seat["queued"],
        drained_per_s=seat["drained_per_s"],
        tenants={int(tenant): _line(line) for tenant, line in seat["tenants"].items()},
        rest=None if seat["rest"] is None else _line(seat["rest"]),
    )


def _line(found: Any) -> lineup.TenantLine:
    queued, age_s, weight = found
    return lineup.TenantLine(queued=queued, oldest_age_s=float(age_s), weight=weight)
