"""Write routes, what their calls came to, and their canaries as the JSON of the contract.

Reads nothing and decides nothing. Before it: an endpoint's view. After it: ``render``.
"""

from typing import Any

from heddle.client import money
from heddle.core.policy import scorecard
from heddle.ports import routing


def route(facts: routing.RouteFacts) -> dict[str, Any]:
    """Write one route: its weight in force, what it is weighed by, its scorecard."""
    return {
        "model": facts.model,
        "tier": facts.tier,
        "weight": facts.weight,
        "weight_now": facts.weight if facts.weight_now is None else facts.weight_now,
        "objective": facts.objective,
        "latency_max_s": facts.latency_max_s,
        "canary": None if facts.canary is None else canary(facts.canary),
        "score": score(scorecard.score(facts.card)),
    }


def score(found: scorecard.Score) -> dict[str, Any]:
    """Write a score: rates from 0 to 1, times in seconds, money as a decimal string; null for what is not known."""
    cost = found.cost_per_accepted_nano_usd
    return {
        "calls": round(found.tried, 1),
        "success_rate": _rounded(found.success_rate),
        "ambiguous_rate": _rounded(found.ambiguous_rate),
        "throttled_rate": _rounded(found.throttled_rate),
        "quality_refused_rate": _rounded(found.rejected_rate),
        "missed_callback_rate": _rounded(found.missed_callback_rate),
        "latency_p50_s": _rounded(found.latency_p50_s),
        "latency_p95_s": _rounded(found.latency_p95_s),
        "latency_p99_s": _rounded(found.latency_p99_s),
        "queue_p95_s": _rounded(found.queue_p95_s),
        "cost_per_accepted_usd": None if cost is None else money.usd(round(cost)),
    }


def canary(state: routing.CanaryState) -> dict[str, Any]:
    """Write what was decided about a route over the file, and what was counted since."""
    return {
        "state": state.state.value,
        "share": state.share,
        "margin": state.margin,
        "calls": state.tried,
        "bad": state.bad,
        "baseline_calls": state.baseline_tried,
        "baseline_bad": state.baseline_bad,
        "reason": state.reason,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
