"""Decides from a seed what happens to each request, job and callback of the simulator.

Every decision is a pure function of (seed, job key, count): the same seed replays the same bad day, in whatever order
requests arrive. Nothing here waits, fails or is counted; `jobs_api` and `callbacks` carry the decisions out.
"""

import enum
import math
import random
from dataclasses import dataclass, fields

LATENCY_SPREAD = 0.35
LATENCY_MAX_S = 3_600.0


class SubmitFault(enum.StrEnum):
    """What may go wrong while a job is submitted."""

    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    CUT = "cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often each fault happens, as shares from 0 to 1.

    throttled: 429 before acceptance; server_error: 500 before acceptance; cut: accepted and paid, the connection cut
    before the answer; failed: the job ends failed; slow: the job takes slow_factor times as long. The rest concern
    callbacks: lost, sent twice, sent late_s later, preceded by one with a forged signature.
    """

    throttled: float = 0.0
    server_error: float = 0.0
    cut: float = 0.0
    failed: float = 0.0
    slow: float = 0.0
    callback_lost: float = 0.0
    callback_duplicated: float = 0.0
    callback_late: float = 0.0
    callback_forged: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shares outside 0 to 1, and sums beyond 1 where only one of several can happen."""
        for field in fields(self):
            if not 0.0 <= getattr(self, field.name) <= 1.0:
                raise ValueError(f"Rate {field.name} must be from 0 to 1, not {getattr(self, field.name)}.")
        if self.throttled + self.server_error + self.cut > 1.0 + 1e-9:
            raise ValueError("Rates throttled, server_error and cut must not add up to more than 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The simulator's character. latency_s is the median time of a job; late_s how much later a late callback comes."""

    seed: int
    rates: Rates
    latency_s: float = 1.5
    slow_factor: float = 6.0
    late_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse times below zero and factors below one."""
        if not 0.0 <= self.latency_s <= LATENCY_MAX_S or not 0.0 <= self.late_s <= LATENCY_MAX_S:
            raise ValueError(f"Latency and lateness must be from 0 to {LATENCY_MAX_S:.0f} s.")
        if self.slow_factor < 1.0:
            raise ValueError(f"The slow factor must be at least 1, not {self.slow_factor}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """The course of one job: how long it takes, whether it fails, and whether it is a slow one."""

    latency_s: float
    is_failed: bool
    is_slow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackFate:
    """The course of one job's callback: how many true copies go out, how much later, and whether a forgery precedes."""

    copies: int
    delay_s: float
    is_forged_first: bool


def spread_evenly(*, fault_rate: float, callback_fault_rate: float) -> Rates:
    """Split one rate over the five faults of requests and jobs, and another over the four of callbacks."""
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


def submit_fault(*, plan: Plan, key: str, count: int) -> SubmitFault | None:
    """Decide what goes wrong with the count-th request (from 0) that carries this job key; None for nothing."""
    draw = _chance(plan, "submit", key, count).random()
    for fault, rate in (
        (SubmitFault.THROTTLED, plan.rates.throttled),
        (SubmitFault.SERVER_ERROR, plan.rates.server_error),
        (SubmitFault.CUT, plan.rates.cut),
    ):
        if draw < rate:
            return fault
        draw -= rate
    return None


def job_fate(*, plan: Plan, key: str, count: int) -> Fate:
    """Decide the course of the count-th job (from 0) accepted for this job key: log-normal around the median."""
    chance = _chance(plan, "job", key, count)
    latency_s = plan.latency_s * math.exp(chance.gauss(0.0, LATENCY_SPREAD))
    is_slow = chance.random() < plan.rates.slow
    is_failed = chance.random() < plan.rates.failed
    return Fate(
        latency_s=min(LATENCY_MAX_S, latency_s * (plan.slow_factor if is_slow else 1.0)),
        is_failed=is_failed,
        is_slow=is_slow,
    )


def callback_fate(*, plan: Plan, key: str) -> CallbackFate:
    """Decide the course of a job's callback; key is the job's id, so that two jobs never share one."""
    chance = _chance(plan, "callback", key, 0)
    is_lost = chance.random() < plan.rates.callback_lost
    is_duplicated = chance.random() < plan.rates.callback_duplicated
    is_late = chance.random() < plan.rates.callback_late
    is_forged_first = chance.random() < plan.rates.callback_forged
    return CallbackFate(
        copies=0 if is_lost else 2 if is_duplicated else 1,
        delay_s=plan.late_s if is_late else 0.0,
        is_forged_first=is_forged_first,
    )


def _chance(plan: Plan, topic: str, key: str, count: int) -> random.Random:
    # Seeding with a string goes through SHA-512, so neighbouring keys and counts give unrelated draws.
    return random.Random(f"{plan.seed}/{topic}/{count}/{key}")  # noqa: S311  chance to be repeated, not to be kept secret
