"""What the engine needs from the store about routes: to keep scorecards, to see every route, to write its weight.

Workers post what calls came to; the leader folds, decides (``core.policy``) and writes what follows. All calls may
raise ``StoreLost``. Part of ``ports.store.EngineStore``.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from heddle.core import ids
from heddle.core.policy import canary, scorecard

CardKey = tuple[int, str]
"""An endpoint's id and a model's name."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CanaryState:
    """Show what was decided about a route over the file. Counts are since it was started: its own calls, and those of
    the other routes of its tier. ``reason``: who or what brought it there.
    """

    state: canary.State
    share: float
    margin: float
    tried: int
    bad: int
    baseline_tried: int
    baseline_bad: int
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RouteFacts:
    """Show one route of an enabled endpoint, as the leader weighs it.

    ``weight``: the file's; ``weight_now``: the one in force, None for the file's. ``latency_max_s``: the lesser of the
    route's and the model's. ``is_open``: no breaker blocks and nobody paused it. ``card`` is ``card_age_s`` old.
    """

    model: str
    endpoint_id: int
    endpoint: str
    tier: int
    weight: float
    weight_now: float | None
    is_canary: bool
    latency_max_s: float | None
    objective: str
    price_nano_usd: int
    is_open: bool
    canary: CanaryState | None
    card: scorecard.Card
    card_age_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RouteOrder:
    """Give a route a weight, None for the file's, 0 for nothing. ``seen``: the canary's state it was decided for; where
    an operator has changed that meanwhile, nothing is written.
    """

    model: str
    endpoint_id: int
    weight: float | None
    seen: canary.State | None


class RoutingStore(Protocol):
    """Keep scorecards and weights of routes."""

    async def post_scores(self, *, cards: Mapping[CardKey, scorecard.Card]) -> None:
        """Add what a worker saw since it last told. A second call would count twice."""
        ...

    async def called_back(self, *, attempts: Sequence[ids.AttemptId]) -> frozenset[ids.AttemptId]:
        """Tell for which attempts their provider has called back by now."""
        ...

    async def fold_scores(self, *, half_life_s: float) -> int:
        """Fold what workers posted into cards and into counts of running canaries; give how many cards grew."""
        ...

    async def route_facts(self) -> list[RouteFacts]:
        """Show every route of an enabled endpoint."""
        ...

    async def weigh(self, *, orders: Sequence[RouteOrder]) -> int:
        """Write weights where they differ; give how many were written."""
        ...

    async def roll_back(self, *, model: str, endpoint_id: int, tried: int, reason: str) -> bool:
        """End a running canary and give its route nothing more, with a row in the audit trail; False when it no longer
        runs, or has been started anew since it was seen with ``tried`` calls.
        """
        ...
