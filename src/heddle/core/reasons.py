"""Hold the facts that an explanation is made of, and the explanation: what ``why`` reads and gives.

Values only; ``why`` decides. Times are seconds, counted from the moment of the look.
"""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from heddle.core import run as run_law
from heddle.core.policy import lineup


class Cause(enum.StrEnum):
    """Name what a run or a call waits for."""

    OVER = "over"
    ENDING = "ending"
    NO_WORKER = "no_worker"
    NOT_LOADED = "not_loaded"
    STOPPING = "stopping"
    START_TIME = "start_time"
    ACTIVATING = "activating"
    IN_LINE = "in_line"
    HELD = "held"
    NO_ROUTE = "no_route"
    SLOTS_FULL = "slots_full"
    RATE_LIMITED = "rate_limited"
    PAUSED = "paused"
    BREAKER_OPEN = "breaker_open"
    PROBE_OUT = "probe_out"
    AT_PROVIDER = "at_provider"
    OUTCOME_UNKNOWN = "outcome_unknown"
    RETRY_TIME = "retry_time"
    SLEEPING = "sleeping"
    SIGNAL = "signal"
    CHILD = "child"


class Confidence(enum.StrEnum):
    """Say how much an estimate is worth."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class Eta:
    """Estimate when something happens: ``until`` names it, times are seconds from now."""

    until: str
    likely_s: float
    low_s: float
    high_s: float
    confidence: Confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Give one link of the chain: its cause and a clause that can stand in a sentence."""

    cause: Cause
    clause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Say what a run waits for: one sentence, the chain from the run down to the last cause, an estimate if any."""

    sentence: str
    chain: tuple[Reason, ...]
    eta: Eta | None = None

    def __str__(self) -> str:
        """Give the sentence."""
        return self.sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Hold what is known of how long steps of a lane were held: mean, mean of squares, how many were seen."""

    mean_s: float
    square_s2: float
    count: float

    @property
    def deviation_s(self) -> float:
        """Return the standard deviation."""
        return math.sqrt(max(0.0, self.square_s2 - self.mean_s**2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Hold where something stands in its lane. ``before``: of the same tenant, None when it is further than was counted
    or not in line at this moment. ``lane``: as it was measured ``measured_ago_s`` ago, None when it never was.
    """

    before: int | None = None
    waited_s: float = 0.0
    lane: lineup.LaneLoad | None = None
    measured_ago_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Hold one scope of an endpoint. Times are seconds from now; None or below zero means over. ``frozen_in_s``: its
    provider has asked for it; ``is_short``: no room was left for a call, by a limit other than those that are shown.
    """

    name: str
    concurrency: int | None = None
    in_flight: int = 0
    per_min: int | None = None
    rate_in_s: float | None = None
    frozen_in_s: float | None = None
    is_short: bool = False
    breaker: str = "closed"
    open_in_s: float | None = None
    probe_in_s: float | None = None
    paused_in_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Hold one endpoint a model is routed to, with its scopes. ``is_paused``: by an operator, until one resumes it."""

    name: str
    tier: int
    after_s: float
    scopes: tuple[Scope, ...]
    is_paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Hold one open call of a run as it stands. ``regions``: where its tenant's calls must go, empty for anywhere."""

    ordinal: int
    kind: str
    name: str
    state: str
    note: str = ""
    fault: str | None = None
    purpose: str | None = None
    held_s: float = 0.0
    timers: Mapping[str, float] = field(default_factory=dict)
    is_loaded: bool = True
    endpoint: str | None = None
    accepted_ago_s: float | None = None
    unknown_ago_s: float | None = None
    looked_ago_s: float | None = None
    held: Held | None = None
    endpoints: tuple[Endpoint, ...] = ()
    regions: tuple[str, ...] = ()
    is_model_paused: bool = False
    place: Place = field(default_factory=Place)
    child: "Explanation | None" = None
    child_run: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Hold a run as it stands. ``activating_s``: for how long a worker has been on its function, None for not.
    ``is_sending_paused``: all model calls are, since a restore.
    """

    state: run_law.RunState
    workflow: str
    version: int
    tenant: int
    weight: int
    workers: int
    is_loaded: bool
    is_activation_due: bool
    stopping: str | None = None
    error: str | None = None
    activating_s: float | None = None
    timers: Mapping[str, float] = field(default_factory=dict)
    place: Place = field(default_factory=Place)
    calls: Sequence[Call] = ()
    is_tenant_paused: bool = False
    is_sending_paused: bool = False
