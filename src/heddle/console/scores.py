"""Write routes and their scorecards in words and numbers for the page of models.

Decides nothing. Before it: an endpoint's view. After it: the template ``models.html``.
"""

import dataclasses
from collections.abc import Iterable

from heddle.client import money
from heddle.core.policy import canary, scorecard
from heddle.ports import records, routing

_UNKNOWN = "\N{EN DASH}"
_STATES = {
    canary.State.RUNNING: ("wait", "Running"),
    canary.State.PROMOTED: ("good", "Promoted"),
    canary.State.ROLLED_BACK: ("bad", "Rolled back"),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RouteShown:
    """Hold one row: ``cells`` are its numbers in the order of the table's heads."""

    model: str
    endpoint: str
    objective: str
    tier: int
    weight: str
    canary: str
    tone: str
    reason: str
    cells: tuple[str, ...]


def routes(endpoints: Iterable[records.EndpointView]) -> list[RouteShown]:
    """Give a row for each route, by model, tier and endpoint."""
    found = [each for endpoint in endpoints for each in endpoint.routes]
    return [_route(each) for each in sorted(found, key=lambda each: (each.model, each.tier, each.endpoint))]


def _route(facts: routing.RouteFacts) -> RouteShown:
    state = facts.canary
    tone, word = ("wait", "Not started") if facts.is_canary else ("", "")
    if state is not None:
        tone, word = _STATES[state.state]
        if state.state is canary.State.RUNNING:
            word = f"{word}, {state.share:.3g} of its tier: {state.bad} of {state.tried} bad"
    return RouteShown(
        model=facts.model,
        endpoint=facts.endpoint,
        objective=facts.objective.replace("_", " "),
        tier=facts.tier,
        weight=f"{facts.weight if facts.weight_now is None else facts.weight_now:.3g}",
        canary=word,
        tone=tone,
        reason="" if state is None else state.reason,
        cells=_cells(scorecard.score(facts.card)),
    )


def _cells(score: scorecard.Score) -> tuple[str, ...]:
    cost = score.cost_per_accepted_nano_usd
    return (
        f"{score.tried:.0f}",
        *map(
            _share,
            (
                score.success_rate,
                score.ambiguous_rate,
                score.throttled_rate,
                score.rejected_rate,
                score.missed_callback_rate,
            ),
        ),
        *map(_time, (score.latency_p50_s, score.latency_p95_s, score.latency_p99_s, score.queue_p95_s)),
        _UNKNOWN if cost is None else money.usd(round(cost)),
    )


def _share(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.1%}"


def _time(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.3g} s"
