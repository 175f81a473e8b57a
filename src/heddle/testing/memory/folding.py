"""Fold what was given back to scopes, judge their breakers, say what they have room for, and write it back.

The rules are those of ``sql/parts/fold.sql`` and ``sql/parts/limit.sql``, one law for claims and for the leader.
Neighbours: limits asks for rooms, settling gives back slots as deltas.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from heddle.testing.memory.deployed import NEVER_S, Bucket, Delta, ScopeRow
from heddle.testing.memory.tables import Tables

REQUESTS, TOKENS, IMAGES = 1, 2, 3
_MUCH = 2**31 - 1
Law = Mapping[str, float]


@dataclasses.dataclass(slots=True, kw_only=True)
class Rate:
    """Hold one rate limit of a scope as it counts now: ``units`` may go at once, ``is_whole``: nothing is in use."""

    bucket: Bucket
    rate: int
    tat: float
    told: int | None
    told_until: float
    units: int
    is_whole: bool


@dataclasses.dataclass(slots=True, kw_only=True)
class Roomed:
    """Hold a scope with its deltas counted in: where its breaker stands then, and what it has room for."""

    scope: ScopeRow
    now: float
    deltas: list[Delta]
    held: int
    new_silent: int
    row_failed: int
    is_new_window: bool
    seen_ok: int
    seen_failed: int
    frozen_to: float
    position: str = "closed"
    well_since: float = NEVER_S
    slots: int | None = None
    rates: dict[int, Rate] = dataclasses.field(default_factory=dict)
    room: int = 0


@dataclasses.dataclass(slots=True, kw_only=True)
class Spent:
    """Hold what one claim took from a scope. ``is_short``: a call did not fit into what is left."""

    taken: int = 0
    tokens: int = 0
    images: int = 0
    first_tries: int = 0
    retries: int = 0
    probe_s: float = 0.0
    is_short: bool = False


NOTHING_SPENT = Spent()


def fold(tables: Tables, scope: ScopeRow, law: Law) -> Roomed:
    """Take the deltas of a scope and say what it has room for."""
    now = tables.now_s()
    deltas = [delta for delta in tables.deltas if delta.scope_id == scope.id]
    tables.deltas = [delta for delta in tables.deltas if delta.scope_id != scope.id]
    news = [delta for delta in deltas if delta.epoch == scope.breaker_epoch]
    ok, failed = sum(delta.ok for delta in news), sum(delta.failed for delta in news)
    is_new_window = scope.window_at < now - law["breaker_window_s"]
    found = Roomed(
        scope=scope,
        now=now,
        deltas=deltas,
        held=scope.in_flight - sum(delta.released for delta in deltas),
        new_silent=sum(delta.silent for delta in news),
        row_failed=0 if ok else scope.failures_in_row + failed,
        is_new_window=is_new_window,
        seen_ok=ok + (0 if is_new_window else scope.window_ok),
        seen_failed=failed + (0 if is_new_window else scope.window_failed),
        frozen_to=max([scope.frozen_until, *(delta.frozen_until for delta in deltas)]),
    )
    found.position = _position(found, law, ok=ok, failed=failed)
    is_well_again = (scope.breaker, found.position) == ("half_open", "closed")
    found.well_since = now if is_well_again else scope.closed_at
    found.slots = _slots(found, law)
    owed = {TOKENS: sum(delta.tokens for delta in deltas), IMAGES: sum(delta.images for delta in deltas)}
    for dimension, bucket in ((REQUESTS, scope.requests), (TOKENS, scope.tokens), (IMAGES, scope.images)):
        rate = _rate(
            bucket,
            [delta for delta in deltas if delta.dimension == dimension],
            owed=owed.get(dimension, 0),
            now=now,
            told_max_s=law["told_max_s"],
        )
        if rate is not None:
            found.rates[dimension] = rate
    found.room = _room(found)
    return found


def _position(item: Roomed, law: Law, *, ok: int, failed: int) -> str:
    scope, seen = item.scope, item.seen_ok + item.seen_failed
    is_bad = item.row_failed >= law["breaker_consecutive"] or (
        seen >= law["breaker_samples"] and item.seen_failed >= law["breaker_ratio"] * seen
    )
    is_lost = scope.probe_until is not None and scope.probe_until <= item.now
    match scope.breaker:
        case "closed" if is_bad:
            return "open"
        case "half_open" if failed or (ok + item.new_silent == 0 and is_lost):
            return "open"
        case "half_open" if ok:
            return "closed"
        case "open" if scope.open_until <= item.now:
            return "half_open"
        case position:
            return position


def _slots(item: Roomed, law: Law) -> int | None:
    """Give the slots that count now: fewer after a recovery, and while failures come in a row."""
    scope, own = item.scope, item.scope.concurrency
    if item.position != "closed":
        return own
    well_s = item.now - item.well_since
    if well_s < law["ramp_s"]:
        whole = next(value for value in (own, scope.ramp_slots, int(law["ramp_slots_min"])) if value is not None)
        return max(1, math.floor(whole * (law["ramp_from"] + (1 - law["ramp_from"]) * well_s / law["ramp_s"])))
    if item.row_failed > 0 and item.seen_failed * 2 >= item.seen_ok:
        fewer = max(1, int(law["breaker_consecutive"]) - item.row_failed)
        return fewer if own is None else min(own, fewer)
    return own


def _rate(bucket: Bucket, told: Sequence[Delta], *, owed: int, now: float, told_max_s: float) -> Rate | None:
    """Say how a rate limit stands, with the true usage in the place of the estimate, and what the provider told."""
    limit = min((delta.limit_per_min for delta in told if delta.limit_per_min is not None), default=None)
    left = min((delta.remaining for delta in told if delta.remaining is not None), default=None)
    empty_until = max((delta.empty_until for delta in told if delta.empty_until is not None), default=None)
    is_lower = bucket.told is not None and bucket.told_until > now and limit is not None and bucket.told < limit
    standing = bucket
    if limit is not None and not is_lower:
        told_until = max((delta.told_until for delta in told if delta.told_until is not None), default=NEVER_S)
        standing = dataclasses.replace(bucket, told=limit, told_until=told_until)
    rate = standing.rate(now)
    if rate is None:
        return None
    burst = standing.burst_of(rate)
    tats = [bucket.tat + owed * 60.0 / rate]
    if left is not None:
        tats.append(max(delta.at for delta in told) + max(0, burst - left) * 60.0 / rate)
    if empty_until is not None:
        tats.append(empty_until + (burst - 1) * 60.0 / rate)
    tat = min(max(tats), max(bucket.tat, now + told_max_s))
    return Rate(
        bucket=bucket,
        rate=rate,
        tat=tat,
        told=standing.told,
        told_until=standing.told_until,
        units=max(0, math.floor(burst - (max(tat, now) - now) * rate / 60.0 + 1e-6)),
        is_whole=tat <= now,
    )


def _room(item: Roomed) -> int:
    scope, now = item.scope, item.now
    is_paused = scope.paused_until is not None and scope.paused_until > now
    is_spent = any(item.rates[each].units < 1 for each in (TOKENS, IMAGES) if each in item.rates)
    if is_paused or item.frozen_to > now or is_spent or item.position == "open":
        return 0
    room = _MUCH if item.slots is None else max(0, item.slots - item.held)
    if REQUESTS in item.rates:
        room = min(room, item.rates[REQUESTS].units)
    if item.position == "half_open":
        is_probed = scope.breaker == "half_open" and scope.probe_until is not None and scope.probe_until > now
        room = min(room, 0 if is_probed and item.new_silent == 0 else 1)
    return room


def write(item: Roomed, law: Law, spent: Spent = NOTHING_SPENT) -> None:
    """Write what was folded, judged and spent back to the scope."""
    scope, now, before = item.scope, item.now, item.scope.breaker
    # A breaker whose time is over turns half-open only with a call at hand, its probe.
    is_idle = (before, item.position) == ("open", "half_open") and spent.taken == 0
    final = "open" if is_idle else item.position
    is_empty = False
    used = {REQUESTS: spent.taken, TOKENS: spent.tokens, IMAGES: spent.images}
    for dimension, rate in item.rates.items():
        taken = used[dimension]
        rate.bucket.tat = max(rate.tat, now) + 60.0 * taken / rate.rate if taken else rate.tat
        rate.bucket.told, rate.bucket.told_until = rate.told, rate.told_until
        is_empty |= rate.units - taken < 1
    is_full = item.slots is not None and item.slots <= item.held + spent.taken
    is_full = is_full or is_empty or spent.is_short or item.frozen_to > now
    scope.full_since = (now if scope.full_since is None else scope.full_since) if is_full else None
    if final == "open" and before != "open":
        is_relapse = before == "half_open" or scope.closed_at > now - law["ramp_s"]
        scope.open_for_s = min(law["open_max_s"], scope.open_for_s * 2) if is_relapse else law["open_s"]
        scope.open_until = now + scope.open_for_s
        if before == "closed":
            scope.ramp_slots = max(scope.in_flight, int(law["ramp_slots_min"]))
    if final == "half_open" and spent.taken:
        scope.probe_until = now + spent.probe_s
    elif final == "half_open" and item.new_silent:
        scope.probe_until = None
    is_moved = final != before
    scope.in_flight, scope.frozen_until, scope.closed_at = item.held + spent.taken, item.frozen_to, item.well_since
    scope.breaker, scope.breaker_epoch = final, scope.breaker_epoch + int(is_moved)
    scope.failures_in_row = 0 if is_moved else item.row_failed
    scope.window_at = now if item.is_new_window else scope.window_at
    scope.window_ok, scope.window_failed = (0, 0) if is_moved else (item.seen_ok, item.seen_failed)
    _count(item, spent)


def _count(item: Roomed, spent: Spent) -> None:
    scope = item.scope
    scope.first_tries += spent.first_tries
    scope.retries += spent.retries
    for delta in item.deltas:
        scope.finished += delta.finished
        scope.finished_s += delta.finished_s
        scope.throttled += delta.throttled
        scope.tokens_used += delta.tokens_used
        scope.tokens_calls += delta.tokens_calls
