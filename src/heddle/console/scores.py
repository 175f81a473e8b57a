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
    """Hold one row: ``cells`` are its numbers, each with the head of its column, the same in every row."""

    model: str
    endpoint: str
    objective: str
    tier: int
    weight: str
    canary: str
    tone: str
    reason: str
    cells: tuple[tuple[str, str], ...]


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


def _cells(score: scorecard.Score) -> tuple[tuple[str, str], ...]:
    cost = score.cost_per_accepted_nano_usd
    return (
        ("Calls", f"{score.tried:.0f}"),
        ("Good", _share(score.success_rate)),
        ("Unknown", _share(score.ambiguous_rate)),
        ("Throttled", _share(score.throttled_rate)),
        ("Refused by gates", _share(score.rejected_rate)),
        ("Callback missed", _share(score.missed_callback_rate)),
        ("Median", _time(score.latency_p50_s)),
        ("p95", _time(score.latency_p95_s)),
        ("p99", _time(score.latency_p99_s)),
        ("Their line p95", _time(score.queue_p95_s)),
        ("USD a good one", _UNKNOWN if cost is None else money.usd(round(cost))),
    )


def _share(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.1%}"


def _time(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.3g} s"
