"""Keep limits and breakers: fold what was given back, judge breakers, give rooms; fold_idle and recount.

The rules are those of ``claim_model.sql`` and ``fold_idle.sql``. Neighbours: claims asks for rooms, settling gives
back slots as deltas.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from heddle.testing.memory.tables import Delta, EndpointRow, RouteRow, Rows, ScopeRow, Statement, Tables

_WINDOW_S = 10.0
_FAILURES_IN_ROW = 5
_WINDOW_LEAST = 20
_OPEN_FIRST_S = 30.0
_OPEN_MOST_S = 300.0
_PROBE_S = 60.0
_IDLE_S = 1.0


@dataclasses.dataclass(slots=True, kw_only=True)
class Judged:
    """Hold a scope with what was given back to it counted in, and where its breaker stands then."""

    scope: ScopeRow
    position: str
    is_new_window: bool


def _folded(tables: Tables, scope: ScopeRow) -> tuple[int, int, int]:
    """Take a scope's deltas: released slots, and what its endpoints showed in this epoch of the breaker."""
    mine = [delta for delta in tables.deltas if delta.scope_id == scope.id]
    tables.deltas = [delta for delta in tables.deltas if delta.scope_id != scope.id]
    current = [delta for delta in mine if delta.epoch == scope.breaker_epoch]
    released = sum(delta.released for delta in mine)
    return released, sum(delta.ok for delta in current), sum(delta.failed for delta in current)


def _pending(tables: Tables, scope: ScopeRow) -> list[Delta]:
    return [delta for delta in tables.deltas if delta.scope_id == scope.id]


def _is_open(tables: Tables, endpoint: EndpointRow) -> bool:
    now = tables.now_s()
    if not endpoint.is_enabled:
        return False
    for scope in (tables.scopes[scope_id] for scope_id in endpoint.scope_ids):
        is_paused = scope.paused_until is not None and scope.paused_until > now
        is_broken = scope.breaker == "open" and scope.open_until is not None and scope.open_until > now
        is_probed = scope.breaker == "half_open" and scope.probe_until is not None and scope.probe_until > now
        told = any(d.epoch == scope.breaker_epoch and d.ok + d.failed > 0 for d in _pending(tables, scope))
        if is_paused or is_broken or (is_probed and not told):
            return False
    return True


def _is_full(tables: Tables, endpoint: EndpointRow) -> bool:
    return any(
        scope.concurrency is not None
        and scope.concurrency <= scope.in_flight - sum(delta.released for delta in _pending(tables, scope))
        for scope in (tables.scopes[scope_id] for scope_id in endpoint.scope_ids)
    )


def usable(tables: Tables, models: set[str]) -> list[RouteRow]:
    """List the routes that may be taken now: open, not full, and no preferred one that is open or only just full."""
    now = tables.now_s()
    routes = [route for route in tables.routes if route.model in models]
    standing = {
        route.endpoint_id: (
            _is_open(tables, tables.endpoints[route.endpoint_id]),
            _is_full(tables, tables.endpoints[route.endpoint_id]),
        )
        for route in routes
    }
    found: list[RouteRow] = []
    for route in routes:
        is_open, is_full = standing[route.endpoint_id]
        after_s = tables.models.get(route.model, ("", 30.0))[1]
        preferred = [other for other in routes if other.model == route.model and other.tier < route.tier]
        if is_open and not is_full and not any(_bars(tables, other, standing, now - after_s) for other in preferred):
            found.append(route)
    return found


def _bars(tables: Tables, route: RouteRow, standing: Mapping[int, tuple[bool, bool]], full_before: float) -> bool:
    """Tell whether a preferred route keeps work from a lower one: it is open, and not full for long."""
    is_open, is_full = standing[route.endpoint_id]
    scopes = (tables.scopes[scope_id] for scope_id in tables.endpoints[route.endpoint_id].scope_ids)
    full_since = min((scope.full_since for scope in scopes if scope.full_since is not None), default=math.inf)
    return is_open and not (is_full and full_since < full_before)


def picked(tables: Tables, routes: Sequence[RouteRow], *, most: int) -> list[EndpointRow]:
    """Draw endpoints that share no scope with one drawn before."""
    drawn = sorted({route.endpoint_id for route in routes})
    tables.rng.shuffle(drawn)
    found: list[EndpointRow] = []
    taken: set[int] = set()
    for endpoint_id in drawn:
        endpoint = tables.endpoints[endpoint_id]
        if not taken & set(endpoint.scope_ids) and len(found) < most:
            found.append(endpoint)
        taken |= set(endpoint.scope_ids)
    return found


def judge(tables: Tables, endpoints: Sequence[EndpointRow]) -> dict[int, Judged]:
    """Count in what was given back to the scopes of endpoints, and say where their breakers stand now."""
    found: dict[int, Judged] = {}
    for scope_id in sorted({scope_id for endpoint in endpoints for scope_id in endpoint.scope_ids}):
        scope, now = tables.scopes[scope_id], tables.now_s()
        released, ok, failed = _folded(tables, scope)
        scope.in_flight -= released
        scope.failures_in_row = 0 if ok else scope.failures_in_row + failed
        is_new_window = scope.window_at < now - _WINDOW_S
        scope.window_ok = ok + (0 if is_new_window else scope.window_ok)
        scope.window_failed = failed + (0 if is_new_window else scope.window_failed)
        found[scope_id] = Judged(
            scope=scope, position=_position(scope, ok=ok, failed=failed, now=now), is_new_window=is_new_window
        )
    return found


def _position(scope: ScopeRow, *, ok: int, failed: int, now: float) -> str:
    seen = scope.window_ok + scope.window_failed
    is_bad = scope.failures_in_row >= _FAILURES_IN_ROW or (seen >= _WINDOW_LEAST and scope.window_failed * 2 >= seen)
    match scope.breaker:
        case "closed" if is_bad:
            return "open"
        case "half_open" if failed:
            return "open"
        case "half_open" if ok:
            return "closed"
        case "open" if scope.open_until is not None and scope.open_until <= now:
            return "half_open"
        case _:
            return scope.breaker


def rooms(
    tables: Tables, endpoints: Sequence[EndpointRow], judged: Mapping[int, Judged], *, want: int
) -> dict[int, int]:
    """Give how many calls each endpoint may take now, those with no room left out."""
    found = {
        endpoint.id: min(_room(judged[scope_id], want=want, now=tables.now_s()) for scope_id in endpoint.scope_ids)
        for endpoint in endpoints
    }
    return {endpoint_id: room for endpoint_id, room in found.items() if room > 0}


def _room(judged: Judged, *, want: int, now: float) -> int:
    scope, room = judged.scope, want
    if scope.concurrency is not None:
        room = min(room, max(0, scope.concurrency - scope.in_flight))
    if scope.requests_per_min is not None:
        burst_s = 60.0 / scope.requests_per_min * scope.requests_burst
        left_s = now + burst_s - max(scope.tat, now)
        room = min(room, max(0, math.floor(left_s * scope.requests_per_min / 60.0 + 1e-6)))
    if judged.position == "open" or (scope.paused_until is not None and scope.paused_until > now):
        return 0
    if judged.position == "half_open":
        return min(room, 0 if scope.probe_until is not None and scope.probe_until > now else 1)
    return room


def write(tables: Tables, judged: Mapping[int, Judged], spent: Mapping[int, int]) -> None:
    """Write what a claim took from scopes, and the moves of their breakers."""
    now = tables.now_s()
    for scope_id, item in judged.items():
        scope, taken, before = item.scope, spent.get(scope_id, 0), item.scope.breaker
        scope.in_flight += taken
        if scope.requests_per_min is not None and taken:
            scope.tat = max(scope.tat, now) + 60.0 / scope.requests_per_min * taken
        is_full = scope.concurrency is not None and scope.in_flight >= scope.concurrency
        scope.full_since = (now if scope.full_since is None else scope.full_since) if is_full else None
        scope.window_at = now if item.is_new_window else scope.window_at
        if item.position != before:
            move_breaker(scope, item.position, now=now)
        if item.position == "half_open" and taken:
            scope.probe_until = now + _PROBE_S


def move_breaker(scope: ScopeRow, position: str, *, now: float) -> None:
    """Move a breaker: a new epoch begins, in which nothing has been seen yet."""
    if position == "open":
        is_relapse = scope.breaker == "half_open"
        scope.open_for_s = min(_OPEN_MOST_S, scope.open_for_s * 2) if is_relapse else _OPEN_FIRST_S
        scope.open_until = now + scope.open_for_s
    scope.breaker, scope.breaker_epoch = position, scope.breaker_epoch + 1
    scope.failures_in_row = scope.window_ok = scope.window_failed = 0


def fold_idle(tables: Tables, **_law: float) -> Rows:
    """Fold deltas of scopes that no claim has touched for a second."""
    now = tables.now_s()
    for scope_id in sorted({delta.scope_id for delta in tables.deltas if delta.at < now - _IDLE_S}):
        scope = tables.scopes[scope_id]
        released, ok, failed = _folded(tables, scope)
        scope.in_flight -= released
        scope.failures_in_row = 0 if ok else scope.failures_in_row + failed
        scope.window_ok += ok
        scope.window_failed += failed
        if scope.breaker == "half_open" and (ok or failed):
            move_breaker(scope, "open" if failed else "closed", now=now)
        is_full = scope.concurrency is not None and scope.in_flight >= scope.concurrency
        scope.full_since = scope.full_since if is_full else None
    return []


def recount(tables: Tables) -> Rows:
    """Recount the slots of every scope and correct drift."""
    rows: Rows = []
    for scope in tables.scopes.values():
        slots = sum(scope.id in tables.endpoints[endpoint_id].scope_ids for endpoint_id in tables.slots.values())
        counted = slots + sum(delta.released for delta in _pending(tables, scope))
        if counted != scope.in_flight:
            rows.append((scope.name, scope.in_flight, counted))
            scope.in_flight = counted
    return rows


def scope_counters(tables: Tables) -> Rows:
    """Give no counters: nothing adapts here, and retries have no budget."""
    return []


STATEMENTS: dict[str, Statement] = {"fold_idle": fold_idle, "recount": recount, "scope_counters": scope_counters}
