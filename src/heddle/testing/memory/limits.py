"""Say where model calls may go now, and keep the leader's books: fold_idle, the recount, scope_counters and govern.

The rules are those of ``claim_model.sql``. Neighbours: folding has the law of scopes, model_claims takes what has room.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from heddle.testing.memory import folding
from heddle.testing.memory.deployed import Delta, EndpointRow, RouteRow, ScopeRow
from heddle.testing.memory.tables import Rows, Statement, Tables

_IDLE_S = 1.0
_FALLBACK_AFTER_S = 30.0


@dataclasses.dataclass(slots=True, kw_only=True)
class Open:
    """Hold an endpoint that calls may go to, and what its scopes have left together; None: not limited."""

    endpoint: EndpointRow
    room: int
    tokens_left: int | None
    is_tokens_whole: bool
    images_left: int | None
    is_images_whole: bool
    retries_left: int | None
    tokens_mean: int | None
    epochs: tuple[int, ...]


def _pending(tables: Tables, scope: ScopeRow) -> list[Delta]:
    return [delta for delta in tables.deltas if delta.scope_id == scope.id]


def _is_open(tables: Tables, endpoint: EndpointRow) -> bool:
    now = tables.now_s()
    if not endpoint.is_enabled or endpoint.paused_at is not None:
        return False
    for scope in (tables.scopes[scope_id] for scope_id in endpoint.scope_ids):
        is_paused = scope.paused_until is not None and scope.paused_until > now
        is_broken = scope.breaker == "open" and scope.open_until > now
        is_probed = scope.breaker == "half_open" and scope.probe_until is not None and scope.probe_until > now
        told = any(d.epoch == scope.breaker_epoch and d.ok + d.failed + d.silent > 0 for d in _pending(tables, scope))
        if is_paused or is_broken or (is_probed and not told):
            return False
    return True


def _is_full(tables: Tables, endpoint: EndpointRow) -> bool:
    now = tables.now_s()
    for scope in (tables.scopes[scope_id] for scope_id in endpoint.scope_ids):
        deltas = _pending(tables, scope)
        held = scope.in_flight - sum(delta.released for delta in deltas)
        frozen_until = max([scope.frozen_until, *(delta.frozen_until for delta in deltas)])
        if (scope.concurrency is not None and scope.concurrency <= held) or frozen_until > now:
            return True
        for bucket in (scope.requests, scope.tokens, scope.images):
            rate = bucket.rate(now)
            if rate is not None and bucket.tat > now + (bucket.burst_of(rate) - 1) * 60.0 / rate:
                return True
    return False


Usable = tuple[int, RouteRow]
"""A rule of regions, and a route that calls of its tenants may take."""


def ways(tables: Tables, models: set[str]) -> list[RouteRow]:
    """List the routes of models; one of weight 0 is as if it were not there."""
    return [route for route in tables.routes if route.model in models and route.weight_in_force > 0]


def usable(tables: Tables, models: set[str]) -> list[Usable]:
    """List the routes that may be taken now: open, not full, and no preferred one that is open or only just full."""
    now = tables.now_s()
    routes = ways(tables, models)
    standing = {
        route.endpoint_id: (
            _is_open(tables, tables.endpoints[route.endpoint_id]),
            _is_full(tables, tables.endpoints[route.endpoint_id]),
        )
        for route in routes
    }
    found: list[Usable] = []
    for rule, route in ((rule, each) for each in routes for rule in each.rules):
        is_open, is_full = standing[route.endpoint_id]
        model = tables.models.get(route.model)
        after_s = _FALLBACK_AFTER_S if model is None else model.fallback_after_s
        preferred = [
            other for other in routes if other.model == route.model and other.tier < route.tier and rule in other.rules
        ]
        if is_open and not is_full and not any(_bars(tables, other, standing, now - after_s) for other in preferred):
            found.append((rule, route))
    return found


def _bars(tables: Tables, route: RouteRow, standing: Mapping[int, tuple[bool, bool]], full_before: float) -> bool:
    """Tell whether a preferred route keeps work from a lower one: it is open, and not full for long."""
    is_open, is_full = standing[route.endpoint_id]
    scopes = (tables.scopes[scope_id] for scope_id in tables.endpoints[route.endpoint_id].scope_ids)
    full_since = min((scope.full_since for scope in scopes if scope.full_since is not None), default=math.inf)
    return is_open and not (is_full and full_since < full_before)


def picked(tables: Tables, routes: Sequence[Usable], *, most: int) -> list[EndpointRow]:
    """Draw endpoints that share no scope with one drawn before."""
    drawn = sorted({route.endpoint_id for _, route in routes})
    tables.rng.shuffle(drawn)
    found: list[EndpointRow] = []
    taken: set[int] = set()
    for endpoint_id in drawn:
        endpoint = tables.endpoints[endpoint_id]
        if not taken & set(endpoint.scope_ids) and len(found) < most:
            found.append(endpoint)
        taken |= set(endpoint.scope_ids)
    return found


def opened(
    endpoints: Sequence[EndpointRow], roomed: Mapping[int, folding.Roomed], *, want: int, governed_s: float
) -> dict[int, Open]:
    """Give what each endpoint may take now, those with no room left out."""
    found: dict[int, Open] = {}
    for endpoint in endpoints:
        scopes = [roomed[scope_id] for scope_id in endpoint.scope_ids]
        room = min([want, *(item.room for item in scopes)])
        if room <= 0:
            continue
        tokens, images = (
            [item.rates[dimension] for item in scopes if dimension in item.rates]
            for dimension in (folding.TOKENS, folding.IMAGES)
        )
        governed = [item.scope for item in scopes if item.scope.governed_at > item.now - governed_s]
        means = [
            math.ceil(item.scope.tokens_used / item.scope.tokens_calls) for item in scopes if item.scope.tokens_calls
        ]
        found[endpoint.id] = Open(
            endpoint=endpoint,
            room=room,
            tokens_left=min((rate.units for rate in tokens), default=None),
            is_tokens_whole=all(rate.is_whole for rate in tokens),
            images_left=min((rate.units for rate in images), default=None),
            is_images_whole=all(rate.is_whole for rate in images),
            retries_left=min((max(0, scope.retries_upto - scope.retries) for scope in governed), default=None),
            tokens_mean=max(means, default=None),
            epochs=tuple(item.scope.breaker_epoch + int(item.position != item.scope.breaker) for item in scopes),
        )
    return found


def fold_idle(tables: Tables, **law: float) -> Rows:
    """Fold deltas of scopes that no claim has touched for a second."""
    idle = sorted({delta.scope_id for delta in tables.deltas if delta.at < tables.now_s() - _IDLE_S})
    for scope_id in idle:
        folding.write(folding.fold(tables, tables.scopes[scope_id], law), law)
    return [(len(idle),)]


def lock_scopes(tables: Tables) -> Rows:
    """Name every scope; here no claim holds one."""
    return [(scope_id,) for scope_id in sorted(tables.scopes)]


def recount(tables: Tables, *, ids: Sequence[int]) -> Rows:
    """Recount the slots of scopes and correct drift."""
    rows: Rows = []
    for scope in (tables.scopes[scope_id] for scope_id in ids):
        slots = sum(scope.id in tables.endpoints[slot.endpoint_id].scope_ids for slot in tables.slots.values())
        counted = slots + sum(delta.released for delta in _pending(tables, scope))
        if counted != scope.in_flight:
            rows.append((scope.name, scope.in_flight, counted))
            scope.in_flight = counted
    return rows


def scope_counters(tables: Tables) -> Rows:
    """Read what each scope did since it exists, what is not folded yet included."""
    listed = {scope_id for row in tables.endpoints.values() if row.is_enabled for scope_id in row.scope_ids}
    rows: Rows = []
    for scope in (tables.scopes[scope_id] for scope_id in sorted(listed)):
        deltas = _pending(tables, scope)
        floor = None if scope.concurrency_max is None else scope.concurrency_min
        held = max(0, scope.in_flight - sum(delta.released for delta in deltas))
        head = (scope.id, scope.name, scope.concurrency, floor, scope.concurrency_max, held)
        counts = (
            scope.finished + sum(delta.finished for delta in deltas),
            scope.finished_s + sum(delta.finished_s for delta in deltas),
            scope.throttled + sum(delta.throttled for delta in deltas),
        )
        rows.append((*head, scope.full_since is not None, *counts, scope.first_tries, scope.retries))
    return rows


def govern(tables: Tables, *, ids: Sequence[int], slots: Sequence[int | None], uptos: Sequence[int]) -> Rows:
    """Write what the leader decided for scopes."""
    governed = 0
    for scope_id, wanted, upto in zip(ids, slots, uptos, strict=True):
        scope = tables.scopes.get(scope_id)
        if scope is None:
            continue
        if scope.concurrency_max is not None and wanted is not None:
            scope.concurrency = min(scope.concurrency_max, max(scope.concurrency_min or 1, wanted))
        scope.retries_upto, scope.governed_at = upto, tables.now_s()
        governed += 1
    return [(governed,)]


STATEMENTS: dict[str, Statement] = {
    "fold_idle": fold_idle,
    "lock_scopes": lock_scopes,
    "recount": recount,
    "scope_counters": scope_counters,
    "govern": govern,
}
