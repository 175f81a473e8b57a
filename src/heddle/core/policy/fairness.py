"""Decide whose step is claimed next: between the tenants of a lane, and between classes.

Tenants of a lane share by weighted fair queueing, charged at the claim: each has a clock ``v`` that advances by price
over weight of what it took, and the lowest clock goes first (start-time fair queueing, Goyal 1996; RELIABILITY R18).
Nothing is given back and only claim writes clocks (DESIGN 3.3). Classes share the places of a claim by
``run.CLASS_SHARE`` as floors, so that nothing starves; what a class leaves goes to the highest that has work. This
file refuses to look at limits; ``route`` does, after it.
"""

import heapq
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heddle.core import run
from heddle.core.policy import bounds

CLASSES = (run.Priority.INTERACTIVE, run.Priority.STANDARD, run.Priority.BATCH)
"""The classes from the first to be served to the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessOptions:
    """Hold how wide a claim looks and what a free step costs in fairness.

    tenants_max: default 16, 1 to 1000 tenants of a lane a claim looks at, lowest clocks first (DESIGN 3.3).
    price_floor_nano_usd: default 100_000 (0.0001 USD), 1_000 to 1_000_000_000; the least a step is charged, so that
        free steps take turns too. Ours: far below any priced call, and large enough that a weight divides it.
    """

    tenants_max: int = 16
    price_floor_nano_usd: int = 100_000

    def __post_init__(self) -> None:
        """Refuse widths and prices out of range."""
        bounds.require(field="tenants_max", value=self.tenants_max, low=1, high=1000, unit="tenants")
        bounds.require(
            field="price_floor_nano_usd", value=self.price_floor_nano_usd, low=1_000, high=10**9, unit="nano-USD"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneTenant:
    """Describe a tenant that has work ready in a lane.

    weight: 1 to 1000; twice the weight gets twice the service. v: its clock in nano-USD per weight.
    prices_nano_usd: of its ready steps, in the order they became ready; as many as the claim could take is enough.
    """

    tenant: str
    weight: int
    v: int
    prices_nano_usd: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a weight out of range and prices below zero."""
        bounds.require(field="weight", value=self.weight, low=1, high=1000, unit="weight")
        for price in self.prices_nano_usd:
            bounds.require_not_below(field="prices_nano_usd", value=price, low=0, unit="nano-USD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picks:
    """Hold whose heads were taken, in order (a tenant appears once for each), and the clocks that moved."""

    tenants: tuple[str, ...]
    clocks: Mapping[str, int]


def restart(*, v: int, lane_v: int | None) -> int:
    """Return the clock of a tenant whose work becomes ready after it had none.

    lane_v: the lowest clock of those with ready work in the lane, None without any. Idleness earns nothing: the clock
    never restarts behind the lane, and never loses what was charged.
    """
    return v if lane_v is None else max(v, lane_v)


def charge(options: FairnessOptions, *, price_nano_usd: int, weight: int) -> int:
    """Return by how much a step moves its tenant's clock: price, at least the floor, over weight, rounded up."""
    return -(-max(price_nano_usd, options.price_floor_nano_usd) // weight)


def pick(options: FairnessOptions, *, tenants: Sequence[LaneTenant], places: int) -> Picks:
    """Take up to ``places`` heads, each time of the tenant with the lowest clock, and charge it.

    Ties go to the tenant whose name sorts first. Only the ``tenants_max`` lowest clocks are looked at. Raises
    ValueError for a negative number of places or a tenant named twice.
    """
    bounds.require_not_below(field="places", value=places, low=0, unit="places")
    if len({entry.tenant for entry in tenants}) != len(tenants):
        raise ValueError("tenants names one tenant twice; a lane has one clock for each")
    backlogged = (entry for entry in tenants if entry.prices_nano_usd)
    lowest = heapq.nsmallest(options.tenants_max, backlogged, key=lambda entry: (entry.v, entry.tenant))
    heap = [(entry.v, entry.tenant, 0, entry) for entry in lowest]
    heapq.heapify(heap)
    order: list[str] = []
    clocks: dict[str, int] = {}
    while heap and len(order) < places:
        v, name, taken, entry = heapq.heappop(heap)
        v += charge(options, price_nano_usd=entry.prices_nano_usd[taken], weight=entry.weight)
        order.append(name)
        clocks[name] = v
        if taken + 1 < len(entry.prices_nano_usd):
            heapq.heappush(heap, (v, name, taken + 1, entry))
    return Picks(tenants=tuple(order), clocks=clocks)


def share_places(*, waiting: Mapping[run.Priority, int], places: int, rng: random.Random) -> dict[run.Priority, int]:
    """Divide the places of one claim between classes.

    waiting: ready steps of each class, at least 0; an absent class has none. Floors are the shares of
    ``run.CLASS_SHARE`` among the classes that wait; a fraction of a place is drawn (one draw, systematic sampling), so
    a worker with a single place still serves every class in proportion over time. Returns a number for each class, 0
    included; together they are min(places, all that waits). Raises ValueError for negative numbers.
    """
    bounds.require_not_below(field="places", value=places, low=0, unit="places")
    for count in waiting.values():
        bounds.require_not_below(field="waiting", value=count, low=0, unit="steps")
    present = [priority for priority in CLASSES if waiting.get(priority, 0) > 0]
    given = dict.fromkeys(CLASSES, 0)
    if not present:
        return given
    total_share = sum(run.CLASS_SHARE[priority] for priority in present)
    offset = rng.random()
    passed, share_so_far = 0, 0
    for priority in present:
        share_so_far += run.CLASS_SHARE[priority]
        # The last class ends exactly at places: the sum of shares is whole, and the offset cannot push it over.
        reached = places if share_so_far == total_share else math.floor(places * share_so_far / total_share + offset)
        reached = min(reached, places)
        given[priority] = min(reached - passed, waiting[priority])
        passed = reached
    free = places - sum(given.values())
    for priority in present:
        more = min(free, waiting[priority] - given[priority])
        given[priority] += more
        free -= more
    return given
