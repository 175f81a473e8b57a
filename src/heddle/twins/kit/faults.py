"""Decide from a seed what happens to each request, job and callback of a twin.

Every decision is a pure function of (seed, topic, key, count): the same seed replays the same bad day, in whatever
order requests arrive. Only storms depend on the clock too, since being throttled is a matter of when. Nothing here
waits, fails or is counted: ``server``, ``jobs`` and ``callbacks`` carry the decisions out.
"""

import enum
import math
import random
from dataclasses import dataclass, fields

LATENCY_SPREAD = 0.35
TIME_MAX_S = 86_400.0
CUT_AT_MAX_BYTES = 64 * 1024**2


class RequestFault(enum.StrEnum):
    """What may go wrong with a request that costs money. From ``HANG`` on it is accepted and paid all the same."""

    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    HANG = "hang"
    DRIP = "drip"
    CUT = "cut"
    WRONG_TYPE = "wrong_type"
    HUGE = "huge"
    LIE = "lie"


IS_BEFORE_ACCEPTANCE = frozenset({RequestFault.THROTTLED, RequestFault.SERVER_ERROR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often each fault happens, as shares from 0 to 1.

    Requests, of which one has at most one: throttled, 429 in the vendor's own words; server_error, 5xx before
    acceptance; hang, accepted and never answered; drip, answered byte by byte; cut, the connection cut inside the
    answer; wrong_type, a page where JSON should be; huge, a body larger than any cap; lie, the vendor's own lie.
    Questions: ask_failed, a question about a job is answered 503. Jobs: failed; stuck, never leaves the queue; slow.
    Callbacks: lost, sent twice, late, out of order, preceded by a forged one.
    """

    throttled: float = 0.0
    server_error: float = 0.0
    hang: float = 0.0
    drip: float = 0.0
    cut: float = 0.0
    wrong_type: float = 0.0
    huge: float = 0.0
    lie: float = 0.0
    ask_failed: float = 0.0
    failed: float = 0.0
    stuck: float = 0.0
    slow: float = 0.0
    callback_lost: float = 0.0
    callback_duplicated: float = 0.0
    callback_late: float = 0.0
    callback_reordered: float = 0.0
    callback_forged: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shares outside 0 to 1, and sums beyond 1 where only one of several can happen."""
        for field in fields(self):
            if not 0.0 <= getattr(self, field.name) <= 1.0:
                raise ValueError(f"Rate {field.name} must be from 0 to 1, not {getattr(self, field.name)}.")
        if sum(getattr(self, fault.value) for fault in RequestFault) > 1.0 + 1e-9:
            raise ValueError(f"Rates {', '.join(RequestFault)} must not add up to more than 1.")


def spread_evenly(*, fault_rate: float, callback_fault_rate: float) -> Rates:
    """Split one rate over five faults of requests and jobs, and another over four of callbacks."""
    share, callback_share = fault_rate / 5, callback_fault_rate / 4
    return Rates(
        throttled=share,
        server_error=share,
        cut=share,
        failed=share,
        slow=share,
        callback_lost=callback_share,
        callback_duplicated=callback_share,
        callback_late=callback_share,
        callback_forged=callback_share,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A twin's character.

    latency_s: median time of a job or an answer. slow_factor: how many times longer a slow job takes. late_s: how much
    later a late callback comes. storm_s: throttling comes in storms of this length, 0 for each request by itself.
    cut_at_bytes: how many bytes of the answer, its head included, arrive before a cut. drip_s: time between two bytes.
    """

    seed: int = 0
    rates: Rates = Rates()
    latency_s: float = 1.0
    slow_factor: float = 6.0
    late_s: float = 5.0
    storm_s: float = 0.0
    cut_at_bytes: int = 0
    drip_s: float = 0.05

    def __post_init__(self) -> None:
        """Refuse times and sizes out of range."""
        for name in ("latency_s", "late_s", "storm_s", "drip_s"):
            if not 0.0 <= getattr(self, name) <= TIME_MAX_S:
                raise ValueError(f"{name} must be from 0 to {TIME_MAX_S:.0f} s, not {getattr(self, name)}.")
        if self.slow_factor < 1.0:
            raise ValueError(f"The slow factor must be at least 1, not {self.slow_factor}.")
        if not 0 <= self.cut_at_bytes <= CUT_AT_MAX_BYTES:
            raise ValueError(f"A cut is after 0 to {CUT_AT_MAX_BYTES} bytes, not {self.cut_at_bytes}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """The course of one job: how long it takes, whether it fails, and whether it never leaves the queue."""

    latency_s: float
    is_failed: bool = False
    is_stuck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackFate:
    """The course of one job's callbacks."""

    copies: int
    delay_s: float
    is_reordered: bool
    is_forged_first: bool


def request_fault(*, plan: Plan, key: str, count: int, now_s: float) -> RequestFault | None:
    """Decide what goes wrong with the count-th request (from 0) of this key; None for nothing."""
    if plan.storm_s > 0.0 and _is_storm(plan, now_s):
        return RequestFault.THROTTLED
    draw = _chance(plan, "request", key, count).random()
    for fault in RequestFault:
        if fault is RequestFault.THROTTLED and plan.storm_s > 0.0:
            continue
        rate = getattr(plan.rates, fault.value)
        if draw < rate:
            return fault
        draw -= rate
    return None


def storm_left_s(*, plan: Plan, now_s: float) -> float:
    """Tell how long the storm of now goes on, at least a second; a second for throttling without storms."""
    if plan.storm_s <= 0.0:
        return 1.0
    return max(1.0, plan.storm_s - now_s % plan.storm_s)


def _is_storm(plan: Plan, now_s: float) -> bool:
    """Cut time into pieces of storm_s, of which the share ``throttled`` is stormy."""
    piece = math.floor(now_s / plan.storm_s)
    return _chance(plan, "storm", "", piece).random() < plan.rates.throttled


def is_ask_failed(*, plan: Plan, key: str, count: int) -> bool:
    """Decide whether the count-th question about a job goes wrong."""
    return _chance(plan, "ask", key, count).random() < plan.rates.ask_failed


def job_fate(*, plan: Plan, key: str, count: int) -> Fate:
    """Decide the course of the count-th job (from 0) accepted for this key: log-normal around the median."""
    chance = _chance(plan, "job", key, count)
    latency_s = plan.latency_s * math.exp(chance.gauss(0.0, LATENCY_SPREAD))
    is_slow = chance.random() < plan.rates.slow
    is_failed = chance.random() < plan.rates.failed
    is_stuck = chance.random() < plan.rates.stuck
    return Fate(
        latency_s=min(TIME_MAX_S, latency_s * (plan.slow_factor if is_slow else 1.0)),
        is_failed=is_failed,
        is_stuck=is_stuck,
    )


def callback_fate(*, plan: Plan, key: str) -> CallbackFate:
    """Decide the course of a job's callbacks; key is the job's id, so that two jobs never share one."""
    chance = _chance(plan, "callback", key, 0)
    is_lost = chance.random() < plan.rates.callback_lost
    is_duplicated = chance.random() < plan.rates.callback_duplicated
    is_late = chance.random() < plan.rates.callback_late
    is_reordered = chance.random() < plan.rates.callback_reordered
    is_forged_first = chance.random() < plan.rates.callback_forged
    return CallbackFate(
        copies=0 if is_lost else 2 if is_duplicated else 1,
        delay_s=plan.late_s if is_late else 0.0,
        is_reordered=is_reordered,
        is_forged_first=is_forged_first,
    )


def _chance(plan: Plan, topic: str, key: str, count: int) -> random.Random:
    # Seeding with a string goes through SHA-512, so neighbouring keys and counts give unrelated draws.
    return random.Random(f"{plan.seed}/{topic}/{count}/{key}")  # noqa: S311  chance to be repeated, not to be kept secret
