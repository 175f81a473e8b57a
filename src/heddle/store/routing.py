"""Keep scorecards of routes and their weights in PostgreSQL; part of ``PostgresStore``.

Decides nothing: the law is ``core.policy.objective``, ``canary`` and ``scorecard``. Neighbours: ``engine.routing``
above, ``store/sql/score_*.sql``, ``route_*.sql`` and ``canary_*.sql`` below.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from heddle.config import routing as routing_config
from heddle.core import ids
from heddle.core.policy import canary as canary_law
from heddle.core.policy import quality, scorecard
from heddle.ports import routing

LEADER = "leader"
"""Who the audit trail names for what the leader did by itself."""


class _Rows(Protocol):
    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]: ...


class PostgresRouting:
    """Post, fold, show and weigh for workers."""

    async def post_scores(self: _Rows, *, cards: Mapping[routing.CardKey, scorecard.Card]) -> None:
        """Add what a worker saw since it last told."""
        if not cards:
            return
        await self._rows(
            "score_post",
            {
                "endpoints": [endpoint_id for endpoint_id, _ in cards],
                "models": [model for _, model in cards],
                "counts": [numbers(card.counts) for card in cards.values()],
                "latencies": [numbers(card.latency) for card in cards.values()],
                "queues": [numbers(card.queue) for card in cards.values()],
            },
            stage="govern",
        )

    async def called_back(self: _Rows, *, attempts: Sequence[ids.AttemptId]) -> frozenset[ids.AttemptId]:
        """Tell for which attempts their provider has called back by now."""
        if not attempts:
            return frozenset()
        found = await self._rows(
            "score_called_back",
            {
                "run_ids": [each.run_id for each in attempts],
                "ordinals": [each.ordinal for each in attempts],
                "numbers": [each.number for each in attempts],
            },
            stage="govern",
        )
        return frozenset(ids.AttemptId(run_id=run, ordinal=ordinal, number=number) for run, ordinal, number in found)

    async def fold_scores(self: _Rows, *, half_life_s: float) -> int:
        """Fold what workers posted."""
        found = await self._rows("score_fold", {"half_life_s": half_life_s}, stage="govern")
        return int(found[0][0])

    async def route_facts(self: _Rows) -> list[routing.RouteFacts]:
        """Show every route of an enabled endpoint."""
        return [facts(row) for row in await self._rows("route_facts", {}, stage="govern")]

    async def weigh(self: _Rows, *, orders: Sequence[routing.RouteOrder]) -> int:
        """Write weights where they differ."""
        if not orders:
            return 0
        found = await self._rows(
            "route_weigh",
            {
                "models": [order.model for order in orders],
                "endpoints": [order.endpoint_id for order in orders],
                "weights": [order.weight for order in orders],
                "seen": [None if order.seen is None else order.seen.value for order in orders],
            },
            stage="govern",
        )
        return int(found[0][0])

    async def roll_back(self: _Rows, *, model: str, endpoint_id: int, tried: int, reason: str) -> bool:
        """End a running canary."""
        given = {"model": model, "endpoint": endpoint_id, "tried": tried, "reason": reason, "actor": LEADER}
        found = await self._rows("canary_roll_back", given, stage="govern")
        return bool(found[0][0])


def gates(found: Mapping[str, Mapping[str, object]] | None) -> dict[str, quality.QualityOptions]:
    """Read the gates of an endpoint's models."""
    return {model: routing_config.stored_gates(options) for model, options in (found or {}).items()}


def numbers(values: Sequence[float]) -> str:
    """Write the text form of one float8[] inside a text[]."""
    return "{" + ",".join(map(repr, values)) + "}"


def facts(row: Sequence[Any]) -> routing.RouteFacts:
    """Read one row of route_facts."""
    state, share, margin, tried, bad, baseline_tried, baseline_bad = row[11:18]
    counts, latency, queue, age_s = row[18:22]
    canary = None
    if state is not None:
        canary = routing.CanaryState(
            state=canary_law.State(state),
            share=share,
            margin=margin,
            tried=tried,
            bad=bad,
            baseline_tried=baseline_tried,
            baseline_bad=baseline_bad,
            reason=row[22],
        )
    return routing.RouteFacts(
        model=row[0],
        endpoint_id=row[1],
        endpoint=row[2],
        tier=row[3],
        weight=row[4],
        weight_now=row[5],
        is_canary=row[6],
        latency_max_s=row[7],
        objective=row[8],
        price_nano_usd=row[9],
        is_open=row[10],
        canary=canary,
        card=scorecard.card(counts or (), latency or (), queue or ()),
        card_age_s=age_s or 0.0,
    )
