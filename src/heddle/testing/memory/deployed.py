"""Hold what is deployed and how it stands: scopes with their limits, slots, endpoints, routes, models, tenants.

Times are seconds since 1970 of the store's own clock. Neighbours: ``tables`` holds these rows, ``folding`` keeps them.
"""

import dataclasses
from typing import Any

from heddle.core.policy import price

NEVER_S = -1e18


@dataclasses.dataclass(slots=True, kw_only=True)
class Bucket:
    """Hold one rate limit of a scope: its own, when it is used up to, and what the provider told of it."""

    per_min: int | None = None
    burst: int = 1
    tat: float = NEVER_S
    told: int | None = None
    told_until: float = NEVER_S

    def rate(self, now: float) -> int | None:
        """Give the limit that counts now, None for none; told limits count for a scope without one of its own."""
        if self.told is None or self.told_until <= now:
            return self.per_min
        return self.told if self.per_min is None else min(self.per_min, self.told)

    def burst_of(self, rate: int) -> float:
        """Give the burst at a rate."""
        return self.burst if rate == self.per_min else 1 + rate // 120


@dataclasses.dataclass(slots=True, kw_only=True)
class ScopeRow:
    """Hold the limits of one scope and how much of them is used."""

    id: int
    name: str
    concurrency: int | None
    concurrency_min: int | None = None
    concurrency_max: int | None = None
    requests: Bucket = dataclasses.field(default_factory=Bucket)
    tokens: Bucket = dataclasses.field(default_factory=Bucket)
    images: Bucket = dataclasses.field(default_factory=Bucket)
    in_flight: int = 0
    full_since: float | None = None
    paused_until: float | None = None
    frozen_until: float = NEVER_S
    breaker: str = "closed"
    breaker_epoch: int = 0
    failures_in_row: int = 0
    window_at: float = NEVER_S
    window_ok: int = 0
    window_failed: int = 0
    open_until: float = NEVER_S
    open_for_s: float = 30.0
    probe_until: float | None = None
    closed_at: float = NEVER_S
    ramp_slots: int | None = None
    first_tries: int = 0
    retries: int = 0
    retries_upto: int = 0
    governed_at: float = NEVER_S
    finished: int = 0
    finished_s: float = 0.0
    throttled: int = 0
    tokens_used: int = 0
    tokens_calls: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """Hold what one write gave back to a scope, or what a provider told of one of its limits (``dimension``)."""

    scope_id: int
    epoch: int
    at: float
    released: int = 0
    ok: int = 0
    failed: int = 0
    silent: int = 0
    throttled: int = 0
    finished: int = 0
    finished_s: float = 0.0
    tokens: int = 0
    tokens_used: int = 0
    tokens_calls: int = 0
    images: int = 0
    frozen_until: float = NEVER_S
    dimension: int | None = None
    limit_per_min: int | None = None
    remaining: int | None = None
    told_until: float | None = None
    empty_until: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SlotRow:
    """Hold one slot: the epochs of its scopes' breakers when it was taken, and what was reserved of their rates."""

    endpoint_id: int
    epochs: tuple[int, ...] = ()
    tokens: int = 0
    images: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Hold what a settlement tells of the endpoint that a slot was for."""

    breaker: int = 0
    is_throttled: bool = False
    latency_s: float | None = None
    tokens: int | None = None
    images: int | None = None
    frozen_s: float | None = None
    is_silent: bool = False


NOTHING_SHOWN = Shown()


@dataclasses.dataclass(slots=True, kw_only=True)
class TenantRow:
    """Hold one tenant."""

    id: int
    name: str
    weight: int = 1
    runs_per_min: int | None = None
    open_runs_max: int | None = None
    budget_nano_usd_per_day: int | None = None
    budget_nano_usd_per_month: int | None = None
    paused_at: float | None = None
    regions: list[str] | None = None
    rule: int = 0


@dataclasses.dataclass(slots=True, kw_only=True)
class ModelRow:
    """Hold what a model's owner chose."""

    name: str
    policy: str | None = None
    fallback_after_s: float = 30.0
    tokens: int | None = None
    images: int | None = None
    output_tokens: int | None = None
    paused_at: float | None = None
    objective: str = "weights"
    deadline_s: float | None = None
    quality: Any = None


@dataclasses.dataclass(slots=True, kw_only=True)
class EndpointRow:
    """Hold one endpoint."""

    id: int
    name: str
    adapter: str
    url: str
    secret_name: str | None
    callback_secret_name: str | None
    timeout_s: float
    price_nano_usd: int
    is_paid: bool
    options: dict[str, Any]
    scope_ids: list[int]
    poll_lane: int
    is_list_priced: bool = False
    is_enabled: bool = True
    paused_at: float | None = None
    regions: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True, kw_only=True)
class RouteRow:
    """Send a model to an endpoint. ``rules``: whose calls may go there, by rule of regions; 0 stands for no rule."""

    model: str
    endpoint_id: int
    tier: int
    weight: float
    price_nano_usd: int | None = None
    rates: price.Price | None = None
    weight_now: float | None = None
    is_canary: bool = False
    latency_max_s: float | None = None
    rules: list[int] = dataclasses.field(default_factory=lambda: [0])

    @property
    def weight_in_force(self) -> float:
        """Give the weight that the leader found, else the file's."""
        return self.weight if self.weight_now is None else self.weight_now


@dataclasses.dataclass(slots=True, kw_only=True)
class ScoreRow:
    """Hold what calls of a model at an endpoint came to, faded."""

    counts: list[float]
    latency: list[float]
    queue: list[float]
    at: float


@dataclasses.dataclass(slots=True, kw_only=True)
class CanaryRow:
    """Hold what was decided about one route over the file, and what its calls and the others' came to meanwhile."""

    model: str
    endpoint_id: int
    state: str
    share: float
    margin: float
    started_at: float
    changed_at: float
    tried: int = 0
    bad: int = 0
    baseline_tried: int = 0
    baseline_bad: int = 0
    reason: str = ""


@dataclasses.dataclass(slots=True, kw_only=True)
class WorkflowRow:
    """Hold what a workflow may spend in a day, of all tenants."""

    id: int
    name: str
    budget_nano_usd_per_day: int | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class QueueClock:
    """Hold the virtual time of one tenant in one lane."""

    v: float = 0.0
    is_idle: bool = False
