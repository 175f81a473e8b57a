"""Decide which endpoint each ready step of a model goes to, and which have to wait.

Each step gets exactly one endpoint: routes are ranked by tier and, inside a tier, by a weighted draw; ready row k goes
to the route whose cumulative room covers k. A lower tier (a higher number) is used only while every route of every
higher tier is closed or has been full for longer than ``fallback_after_s``: a fallback costs money or quality and is
not extra capacity. This file refuses to count room; claim brings it, as the least of slots, rate and ramp.
"""

import enum
import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from heddle.core.policy import bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """Hold when work spills to a lower tier.

    fallback_after_s: default 5.0, 0 to 86400 seconds; how long a route must have been full, without a break, before
        the tier below may help. Ours: longer than the gaps between claims and settles, shorter than a person waits.
    """

    fallback_after_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse a time out of range."""
        bounds.require(field="fallback_after_s", value=self.fallback_after_s, low=0, high=86_400, unit="seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Describe one way from a model to an endpoint as it is at this claim.

    tier: 0 to 100, lowest first. weight: above 0 to 1_000_000, its share inside the tier. room: calls it can start
    now, at least 0. is_open: False for a breaker that blocks or a pause; its room then counts for nothing.
    full_since_s: when its room became 0, None while it has room.
    """

    endpoint: str
    tier: int
    weight: float
    room: int
    is_open: bool = True
    full_since_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse tiers, weights and rooms out of range."""
        bounds.require(field="tier", value=self.tier, low=0, high=100, unit="tier")
        bounds.require(field="weight", value=self.weight, low=1e-6, high=1e6, unit="weight")
        bounds.require_not_below(field="room", value=self.room, low=0, unit="calls")


class Waiting(enum.StrEnum):
    """Name why steps were left without an endpoint."""

    NO_ROUTE = "no_route"
    CLOSED = "closed"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Give ``count`` ready rows, from row ``first`` (0 is the first) on, to one endpoint."""

    endpoint: str
    first: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """Hold who got what, and how many rows wait for what.

    may_fall_back_at_s: when the next tier opens if nothing changes; None when no time alone would open one.
    """

    assignments: tuple[Assignment, ...]
    left: int
    waiting: Waiting | None
    may_fall_back_at_s: float | None = None


def rank(routes: Sequence[Route], *, rng: random.Random) -> tuple[Route, ...]:
    """Order routes by tier and, inside a tier, by a draw in which weight is the odds of being first.

    Efraimidis and Spirakis 2006: the smallest exponential variate with rate = weight comes first.
    """
    drawn = [(route.tier, -math.log(1.0 - rng.random()) / route.weight, route) for route in routes]
    return tuple(route for _, _, route in sorted(drawn, key=lambda entry: (entry[0], entry[1])))


def assign(options: RouteOptions, *, ranked: Sequence[Route], ready: int, now_s: float) -> Assigned:
    """Give each of ``ready`` rows, in order, an endpoint or a reason to wait.

    ranked: in the order of ``rank``; a tier out of order is a ValueError, as is a negative count.
    """
    bounds.require_not_below(field="ready", value=ready, low=0, unit="rows")
    if any(earlier.tier > later.tier for earlier, later in itertools.pairwise(ranked)):
        raise ValueError("ranked holds a higher tier number before a lower one; order the routes with rank()")
    assignments: list[Assignment] = []
    given = 0
    is_full = False
    may_fall_back_at_s: float | None = None
    for _, group in itertools.groupby(ranked, key=lambda route: route.tier):
        tier = tuple(group)
        for route in tier:
            count = min(_usable_room(route), ready - given)
            if count > 0:
                assignments.append(Assignment(endpoint=route.endpoint, first=given, count=count))
                given += count
        is_full = is_full or any(route.is_open for route in tier)
        opens_below_at_s = _opens_below_at_s(options, tier)
        if opens_below_at_s is None or now_s <= opens_below_at_s:
            is_last = tier[0].tier == ranked[-1].tier
            may_fall_back_at_s = None if is_last else opens_below_at_s
            break
    left = ready - given
    if left == 0:
        return Assigned(assignments=tuple(assignments), left=0, waiting=None)
    reason = Waiting.NO_ROUTE if not ranked else Waiting.FULL if is_full else Waiting.CLOSED
    return Assigned(assignments=tuple(assignments), left=left, waiting=reason, may_fall_back_at_s=may_fall_back_at_s)


def _usable_room(route: Route) -> int:
    return route.room if route.is_open else 0


def _opens_below_at_s(options: RouteOptions, tier: tuple[Route, ...]) -> float | None:
    """Return the instant after which the next tier may be used: minus infinity if this one is closed, None if never.

    A route with room, or one that became full by this very claim, keeps the tiers below shut.
    """
    latest_s = -math.inf
    for route in tier:
        if not route.is_open:
            continue
        if route.room > 0 or route.full_since_s is None:
            return None
        latest_s = max(latest_s, route.full_since_s + options.fallback_after_s)
    return latest_s
