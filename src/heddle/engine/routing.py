"""Weigh routes for the whole fleet, as the leader: by objective, by canary, from what calls came to.

Every few seconds it folds what workers posted, shares each tier by ``core.policy.objective``, gives a running canary
its part by ``core.policy.canary`` or rolls it back, and writes the weights that claims draw by. Nothing urgent waits
for it: breakers, rates and tiers hold by the claim itself, and without a leader the last weights stay in force.
Neighbours: ``engine.scores`` counts; claim reads what stands here.
"""

import itertools
from collections.abc import Sequence

from heddle.core.policy import canary, objective, scorecard
from heddle.core.policy.scorecard import Count
from heddle.engine import parts as parts_module
from heddle.engine import supervise, sweep
from heddle.ports import routing
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

_CANARY = canary.CanaryOptions()
_WEIGHT_LEAST = 1e-6

Tier = tuple[str, int]
"""A model and the number of one of its tiers."""


class Router:
    """Weigh for one worker; does something only while it leads."""

    def __init__(self, parts: parts_module.Parts, sweeper: sweep.Sweeper) -> None:
        self._parts = parts
        self._sweeper = sweeper
        self._shared: dict[Tier, objective.Shared] = {}
        self._options = objective.ObjectiveOptions(explore=parts.settings.route_explore_share)

    async def one_pass(self) -> None:
        """Weigh once when leading; wait for the next turn."""
        parts = self._parts
        await parts.is_alive.wait()
        if self._sweeper.is_leader:
            await self._weigh()
        else:
            self._shared.clear()
        await supervise.rest(parts, parts.settings.route_interval_s)

    async def _weigh(self) -> None:
        parts = self._parts
        await parts.store.fold_scores(half_life_s=parts.settings.score_half_life_s)
        facts = await parts.store.route_facts()
        ended: set[tuple[str, int]] = set()
        for each in facts:
            reason = verdict(each)
            tried = 0 if each.canary is None else each.canary.tried
            if reason is not None and await parts.store.roll_back(
                model=each.model, endpoint_id=each.endpoint_id, tried=tried, reason=reason
            ):
                ended.add((each.model, each.endpoint_id))
                recorder.count(metrics.CANARIES_ROLLED_BACK, endpoint=each.endpoint)
                recorder.event(events.CANARY_ROLLED_BACK, name=each.model, endpoint=each.endpoint, reason=reason)
        left = [each for each in facts if (each.model, each.endpoint_id) not in ended]
        await parts.store.weigh(orders=self.orders(left))

    def orders(self, facts: Sequence[routing.RouteFacts]) -> list[routing.RouteOrder]:
        """Give the weights that differ from those in force. ``facts``: in order of model and tier."""
        found: list[routing.RouteOrder] = []
        kept: dict[Tier, objective.Shared] = {}
        for tier, group in itertools.groupby(facts, key=lambda each: (each.model, each.tier)):
            routes = list(group)
            shared = self._share(tier, [each for each in routes if _is_plain(each)])
            if shared is not None:
                kept[tier] = shared
            weights = _weights(routes, shared)
            found += [
                routing.RouteOrder(
                    model=each.model,
                    endpoint_id=each.endpoint_id,
                    weight=weights[each.endpoint_id],
                    seen=None if each.canary is None else each.canary.state,
                )
                for each in routes
                if weights[each.endpoint_id] != each.weight_now
            ]
        self._shared = kept
        return found

    def _share(self, tier: Tier, routes: Sequence[routing.RouteFacts]) -> objective.Shared | None:
        if not routes:
            return None
        before = self._shared.get(tier)
        half_life_s = self._parts.settings.score_half_life_s
        candidates = [_candidate(each, before, half_life_s=half_life_s) for each in routes]
        return objective.share(self._options, objective.Objective(routes[0].objective), candidates)


def verdict(route: routing.RouteFacts) -> str | None:
    """Tell why a canary has to be rolled back; None while it need not be, and for any other route."""
    trial = _trial(route)
    return None if trial is None else canary.worse(_CANARY, trial)


def _trial(route: routing.RouteFacts) -> canary.Trial | None:
    state = route.canary
    if state is None or state.state is not canary.State.RUNNING:
        return None
    return canary.Trial(
        share=state.share,
        margin=state.margin,
        tried=state.tried,
        bad=state.bad,
        baseline_tried=state.baseline_tried,
        baseline_bad=state.baseline_bad,
    )


def _is_plain(route: routing.RouteFacts) -> bool:
    """Tell whether a route takes part by its weight: it is no canary, or one that was promoted."""
    return not route.is_canary if route.canary is None else route.canary.state is canary.State.PROMOTED


def _candidate(
    route: routing.RouteFacts, before: objective.Shared | None, *, half_life_s: float
) -> objective.Candidate:
    card = scorecard.faded(route.card, by_s=route.card_age_s, half_life_s=half_life_s)
    score = scorecard.score(card)
    judged = max(0.0, card.counts[Count.TRIED] - card.counts[Count.THROTTLED])
    return objective.Candidate(
        endpoint_id=route.endpoint_id,
        weight=route.weight,
        price_nano_usd=float(route.price_nano_usd),
        tried=judged,
        bad=min(judged, max(0.0, judged - card.counts[Count.OK])),
        ambiguous=card.counts[Count.AMBIGUOUS],
        cost_per_accepted_nano_usd=score.cost_per_accepted_nano_usd,
        latency_p95_s=score.latency_p95_s,
        latency_max_s=route.latency_max_s,
        is_open=route.is_open,
        is_best=before is not None and route.endpoint_id in before.best,
        was_slow=before is not None and route.endpoint_id in before.slow,
    )


def _weights(routes: Sequence[routing.RouteFacts], shared: objective.Shared | None) -> dict[int, float | None]:
    """Give every route of a tier its weight: plain ones share what running canaries leave, others get nothing."""
    found: dict[int, float | None] = {each.endpoint_id: 0.0 for each in routes}
    plain = [each for each in routes if _is_plain(each)]
    for each in plain:
        found[each.endpoint_id] = None if shared is None else _rounded(shared.weights[each.endpoint_id])
    tested = 0.0
    for each in routes:
        trial = _trial(each)
        if trial is not None:
            # One that is alone in its tier has nobody to leave the rest to: a pause would stop the model.
            part = canary.weight(_CANARY, trial) if plain else trial.share
            found[each.endpoint_id], tested = part, tested + part
    if tested > 0:
        total = sum(each.weight if shared is None else shared.weights[each.endpoint_id] for each in plain)
        for each in plain:
            own = each.weight if shared is None else shared.weights[each.endpoint_id]
            found[each.endpoint_id] = _rounded(own / total * (1 - tested))
    return found


def _rounded(weight: float) -> float:
    """Write a weight so that what did not change looks the same; never 0, which would be no route at all."""
    return max(_WEIGHT_LEAST, round(weight, 6))
