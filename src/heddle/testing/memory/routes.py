"""Keep scorecards, canaries and weights of routes: the statements of ``store.routing`` and of operators' canaries.

The law of fading and adding is ``core.policy.scorecard``. Neighbours: ``deploying`` writes routes, ``limits`` reads
their weights.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from heddle.core.policy import scorecard
from heddle.core.policy.scorecard import Count
from heddle.testing.memory.deployed import CanaryRow, RouteRow, ScoreRow
from heddle.testing.memory.tables import Rows, Statement, Tables


def _numbers(text: str) -> list[float]:
    return [float(each) for each in text.strip("{}").split(",") if each]


def score_called_back(
    tables: Tables, *, run_ids: Sequence[uuid.UUID], ordinals: Sequence[int], numbers: Sequence[int]
) -> Rows:
    """Tell for which attempts their provider has called back."""
    found: Rows = []
    for run_id, ordinal, number in sorted(zip(run_ids, ordinals, numbers, strict=True)):
        step = tables.step(run_id, ordinal)
        tried = None if step is None else step.tries.get(number)
        if tried is None:
            continue
        if tried.called_back_at is not None or (tried.endpoint_id, tried.handle) in tables.strays:
            found.append((run_id, ordinal, number))
    return found


def score_post(
    tables: Tables,
    *,
    endpoints: Sequence[int],
    models: Sequence[str],
    counts: Sequence[str],
    latencies: Sequence[str],
    queues: Sequence[str],
) -> Rows:
    """Keep what a worker saw until it is folded."""
    now = tables.now_s()
    for endpoint_id, model, *told in zip(endpoints, models, counts, latencies, queues, strict=True):
        first, second, third = (_numbers(each) for each in told)
        row = ScoreRow(counts=first, latency=second, queue=third, at=now)
        tables.score_deltas.append((endpoint_id, model, row))
    return []


def score_fold(tables: Tables, *, half_life_s: float) -> Rows:
    """Fold what workers posted into the cards and the counts of running canaries."""
    deltas, tables.score_deltas[:] = list(tables.score_deltas), []
    now = tables.now_s()
    sums: dict[tuple[int, str], scorecard.Card] = {}
    for endpoint_id, model, row in deltas:
        if endpoint_id not in tables.endpoints:
            continue
        _count_canary(tables, endpoint_id, model, row)
        key = (endpoint_id, model)
        card = scorecard.card(row.counts, row.latency, row.queue)
        sums[key] = scorecard.plus(sums[key], card) if key in sums else card
    for key, card in sums.items():
        known = tables.scores.get(key)
        if known is not None:
            before = scorecard.card(known.counts, known.latency, known.queue)
            card = scorecard.plus(scorecard.faded(before, by_s=now - known.at, half_life_s=half_life_s), card)
        tables.scores[key] = ScoreRow(counts=card.counts, latency=card.latency, queue=card.queue, at=now)
    return [(len(sums),)]


def _route(tables: Tables, model: str, endpoint_id: int) -> RouteRow | None:
    return next((row for row in tables.routes if (row.model, row.endpoint_id) == (model, endpoint_id)), None)


def _count_canary(tables: Tables, endpoint_id: int, model: str, told: ScoreRow) -> None:
    route = _route(tables, model, endpoint_id)
    for canary in tables.canaries.values():
        own = _route(tables, canary.model, canary.endpoint_id)
        if canary.state != "running" or canary.model != model or told.at < canary.started_at:
            continue
        if route is None or own is None or route.tier != own.tier:
            continue
        tried = int(told.counts[Count.TRIED] - told.counts[Count.THROTTLED])
        bad = tried - int(told.counts[Count.OK])
        if canary.endpoint_id == endpoint_id:
            canary.tried, canary.bad = canary.tried + tried, canary.bad + bad
        else:
            canary.baseline_tried += tried
            canary.baseline_bad += bad


def route_facts(tables: Tables) -> Rows:
    """Show every route of an enabled endpoint."""
    now = tables.now_s()
    rows: Rows = []
    for route in sorted(tables.routes, key=lambda row: (row.model, row.tier, row.endpoint_id)):
        endpoint, model = tables.endpoints[route.endpoint_id], tables.models.get(route.model)
        if not endpoint.is_enabled:
            continue
        scopes = [tables.scopes[scope_id] for scope_id in endpoint.scope_ids]
        is_open = endpoint.paused_at is None and not any(
            scope.breaker != "closed" or (scope.paused_until is not None and scope.paused_until > now)
            for scope in scopes
        )
        limits_s = [
            each for each in (route.latency_max_s, None if model is None else model.deadline_s) if each is not None
        ]
        score = tables.scores.get((route.endpoint_id, route.model))
        canary = tables.canaries.get((route.model, route.endpoint_id))
        head = (route.model, route.endpoint_id, endpoint.name, route.tier, route.weight, route.weight_now)
        about = (route.is_canary, min(limits_s, default=None), "weights" if model is None else model.objective)
        card = (None,) * 4 if score is None else (score.counts, score.latency, score.queue, now - score.at)
        price = endpoint.price_nano_usd if route.price_nano_usd is None else route.price_nano_usd
        reason = "" if canary is None else canary.reason
        rows.append((*head, *about, price, is_open, *_shown(canary), *card, reason))
    return rows


def _shown(canary: CanaryRow | None) -> tuple[Any, ...]:
    if canary is None:
        return (None,) * 7
    head = (canary.state, canary.share, canary.margin, canary.tried, canary.bad)
    return (*head, canary.baseline_tried, canary.baseline_bad)


def servable_models(tables: Tables, *, tenant_id: int) -> Rows:
    """Name the models that can be served for a tenant."""
    tenant = tables.tenants.get(tenant_id)
    found = set[str]()
    for route in tables.routes if tenant is not None else ():
        endpoint, model = tables.endpoints[route.endpoint_id], tables.models.get(route.model)
        is_paused = endpoint.paused_at is not None or (model is not None and model.paused_at is not None)
        if (
            endpoint.is_enabled
            and not is_paused
            and route.weight_in_force > 0
            and tenant is not None
            and tenant.rule in route.rules
        ):
            found.add(route.model)
    return [(name,) for name in sorted(found)]


def route_weigh(
    tables: Tables,
    *,
    models: Sequence[str],
    endpoints: Sequence[int],
    weights: Sequence[float | None],
    seen: Sequence[str | None],
) -> Rows:
    """Write weights where they differ and no operator has changed a canary meanwhile."""
    written = 0
    for model, endpoint_id, weight, state in zip(models, endpoints, weights, seen, strict=True):
        route, canary = _route(tables, model, endpoint_id), tables.canaries.get((model, endpoint_id))
        is_as_seen = state == (None if canary is None else canary.state)
        if route is not None and is_as_seen and route.weight_now != weight:
            route.weight_now = weight
            written += 1
    return [(written,)]


def canary_roll_back(tables: Tables, *, model: str, endpoint: int, tried: int, reason: str, actor: str) -> Rows:
    """End a running canary; there is no audit trail here, so ``actor`` is not kept."""
    canary, route = tables.canaries.get((model, endpoint)), _route(tables, model, endpoint)
    if canary is None or canary.state != "running" or canary.tried < tried or not actor:
        return [(0,)]
    canary.state, canary.reason, canary.changed_at = "rolled_back", reason, tables.now_s()
    if route is not None:
        route.weight_now = 0.0
    return [(1,)]


STATEMENTS: dict[str, Statement] = {
    "score_called_back": score_called_back,
    "score_post": score_post,
    "score_fold": score_fold,
    "route_facts": route_facts,
    "servable_models": servable_models,
    "route_weigh": route_weigh,
    "canary_roll_back": canary_roll_back,
}
