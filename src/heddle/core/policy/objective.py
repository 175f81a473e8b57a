"""Decide how the calls of a model are shared among the routes of one tier, by what its owner wants most.

``weights`` is what the file says. ``cheapest`` sends to the lowest price of an accepted output among the routes that
are fast enough, ``fastest`` to the lowest 95th percentile, ``most_reliable`` to the lowest share of failures that is
still plausible. The best route, and those as good as it, get everything but a share for exploring: without it no one
would learn that another has become better. A route that is best stays so until another is better by ``lead``, so that
two alike do not flap. Tiers, room and breakers are the claim's (``route``); this file only gives weights. Neighbours:
``engine.routing`` brings scores and writes the weights, ``store/sql/claim_model.sql`` reads them.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from heddle.core.policy import bounds, proportion


class Objective(enum.StrEnum):
    """Name what the owner of a model wants most."""

    WEIGHTS = "weights"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    MOST_RELIABLE = "most_reliable"


_LEAST, _PROBED = 1e-5, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveOptions:
    """Hold when one route is better than another. All numbers are ours.

    explore: default 0.05, 0 to 0.5; share of a tier that goes to routes that are not the best. At 0 it still is one in
        100,000, and one in a hundred while one of them is closed, or nobody would see that it is well again.
    samples: default 20, 1 to 100_000; the fewest ended calls for what was measured of a route to count.
    lead: default 0.1, 0 to 1; how much better another route must be to take the place of the best.
    tie: default 0.02, 0 to 1; how much worse a route may be and still share with the best.
    failures_max: default 0.2, 0.01 to 1; share of failures above which a route is neither cheap nor fast.
    slow_lead: default 0.1, 0 to 1; how far below its limit a route that was too slow must come to count again.
    z: default 1.64, 0 to 6; of the normal distribution, how cautious a share of failures is read.
    """

    explore: float = 0.05
    samples: int = 20
    lead: float = 0.1
    tie: float = 0.02
    failures_max: float = 0.2
    slow_lead: float = 0.1
    z: float = 1.64

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        bounds.require(field="explore", value=self.explore, low=0, high=0.5, unit="share")
        bounds.require(field="samples", value=self.samples, low=1, high=100_000, unit="calls")
        bounds.require(field="lead", value=self.lead, low=0, high=1, unit="share")
        bounds.require(field="tie", value=self.tie, low=0, high=1, unit="share")
        bounds.require(field="failures_max", value=self.failures_max, low=0.01, high=1, unit="share")
        bounds.require(field="slow_lead", value=self.slow_lead, low=0, high=1, unit="share")
        bounds.require(field="z", value=self.z, low=0, high=6, unit="deviations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Report one route of a tier.

    weight: the file's. price: of one call. tried, bad: ended calls and those of them that gave nothing acceptable.
    ambiguous: calls of unknown outcome; they count twice, since a person may have to look. latency_p95_s and
    latency_max_s: None for not known and for no limit. is_open: False for a breaker that blocks or a pause. is_best:
    the last decision sent to it. was_slow: the last decision held it to be too slow.
    """

    endpoint_id: int
    weight: float
    price_nano_usd: float
    tried: float = 0.0
    bad: float = 0.0
    ambiguous: float = 0.0
    cost_per_accepted_nano_usd: float | None = None
    latency_p95_s: float | None = None
    latency_max_s: float | None = None
    is_open: bool = True
    is_best: bool = False
    was_slow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Say how a tier is shared: weights by endpoint, which were the best, which are too slow."""

    weights: dict[int, float]
    best: frozenset[int]
    slow: frozenset[int]


def share(options: ObjectiveOptions, objective: Objective, candidates: Sequence[Candidate]) -> Shared | None:
    """Share one tier; None: by the weights of the file, because nothing else is wanted or nothing is known yet.

    A tier of one route has nothing to share. Weights add up to 1.
    """
    if objective is Objective.WEIGHTS or len(candidates) < 2:
        return None
    slow = frozenset(each.endpoint_id for each in candidates if _is_slow(options, each))
    sound = [each for each in candidates if each.is_open and each.endpoint_id not in slow]
    if objective is not Objective.MOST_RELIABLE:
        sound = [each for each in sound if not _fails(options, each)] or sound
    if not sound:
        # None keeps its limit or none is open: what is fastest is the least harm.
        objective, sound = Objective.FASTEST, [each for each in candidates if each.is_open] or list(candidates)
    costs = {each.endpoint_id: cost for each in sound if (cost := _cost(options, objective, each)) is not None}
    if not costs and not slow:
        return None
    held = {each.endpoint_id for each in sound if each.is_best}
    # What is not known yet is better than what is known to be too slow.
    best = _best(options, costs, held=held) if costs else {each.endpoint_id for each in sound}
    return Shared(weights=_weights(options, candidates, best), best=frozenset(best), slow=slow)


def _is_slow(options: ObjectiveOptions, each: Candidate) -> bool:
    if each.latency_max_s is None or each.latency_p95_s is None or each.tried < options.samples:
        return False
    limit_s = each.latency_max_s * (1 - options.slow_lead if each.was_slow else 1)
    return each.latency_p95_s > limit_s


def _fails(options: ObjectiveOptions, each: Candidate) -> bool:
    low, _ = proportion.wilson(bad=each.bad, tried=each.tried, z=options.z)
    return each.tried >= options.samples and low > options.failures_max


def _cost(options: ObjectiveOptions, objective: Objective, each: Candidate) -> float | None:
    """Give what is to be low; None while it is not known. A price is known before the first call is made."""
    is_known = each.tried >= options.samples
    match objective:
        case Objective.CHEAPEST:
            measured = each.cost_per_accepted_nano_usd if is_known else None
            return each.price_nano_usd if measured is None else measured
        case Objective.FASTEST:
            return each.latency_p95_s if is_known else None
        case Objective.MOST_RELIABLE:
            if not is_known:
                return None
            bad = min(each.tried, each.bad + each.ambiguous)
            return proportion.wilson(bad=bad, tried=each.tried, z=options.z)[1]
        case Objective.WEIGHTS:
            raise AssertionError("weights are not compared")


def _best(options: ObjectiveOptions, costs: dict[int, float], *, held: set[int]) -> set[int]:
    """Choose the lowest and those as low; one that was chosen before stays within ``lead``."""
    lowest = min(costs.values())
    kept = {each for each in held if each in costs and costs[each] <= lowest * (1 + options.lead)}
    if kept:
        return kept
    return {each for each, cost in costs.items() if cost <= lowest * (1 + options.tie)}


def _weights(options: ObjectiveOptions, candidates: Sequence[Candidate], best: set[int]) -> dict[int, float]:
    """Share by the file's weights within the best and within the rest, which get what is for exploring."""
    rest = {each.endpoint_id: each.weight for each in candidates if each.endpoint_id not in best}
    first = {each.endpoint_id: each.weight for each in candidates if each.endpoint_id in best}
    # A route without any weight is as if it were not there: it could not take what the best has no room for, and one
    # whose breaker has opened would never be sent the call that closes it.
    has_closed = any(not each.is_open and each.endpoint_id in rest for each in candidates)
    explore = max(options.explore, _PROBED if has_closed else _LEAST) if rest else 0.0
    shared: dict[int, float] = {}
    for group, part in ((first, 1 - explore), (rest, explore)):
        total = sum(group.values())
        shared |= {endpoint: part * weight / total for endpoint, weight in group.items()}
    return shared
