"""Decide how many calls a scope may have in flight, and adapt that number to what the provider bears.

Additive increase, multiplicative decrease (Chiu and Jain 1989; Netflix concurrency-limits, AIMDLimit and
Gradient2Limit; RELIABILITY 2.1, S18). Slots themselves are counted in the store; this file refuses to count them and
only says how many there are. Claim asks ``room``; it folds what settle reported with ``update``.
"""

import math
from dataclasses import dataclass

from heddle.core.policy import bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyOptions:
    """Hold the range of the limit and how fast it moves.

    floor, ceiling: no default, 1 to 100_000 slots, floor at most ceiling; equal ones fix the limit. The operator's
        word is trusted until the provider contradicts it, so the limit starts at the ceiling.
    backoff_ratio: default 0.9, 0.1 to 0.99; what is left of the limit after an overload (Netflix AIMDLimit: 0.9).
    backoff_every_s: default 1.0, 0 to 60 seconds; at most one decrease in that time, since the many calls in flight
        at one overload all report the same one. Ours: about one round trip.
    latency_tolerance: default 2.0, 1 to 100; a mean latency above this multiple of the long-run mean is an overload
        too. Netflix Gradient2 has 1.5 for services; inference time varies more with its input.
    latency_samples: default 600, 1 to 100_000 calls; the window of the long-run mean (Gradient2: 600).
    """

    floor: int
    ceiling: int
    backoff_ratio: float = 0.9
    backoff_every_s: float = 1.0
    latency_tolerance: float = 2.0
    latency_samples: int = 600

    def __post_init__(self) -> None:
        """Refuse ranges and rates out of range."""
        bounds.require(field="ceiling", value=self.ceiling, low=1, high=100_000, unit="slots")
        bounds.require(field="floor", value=self.floor, low=1, high=self.ceiling, unit="slots")
        bounds.require(field="backoff_ratio", value=self.backoff_ratio, low=0.1, high=0.99, unit="ratio")
        bounds.require(field="backoff_every_s", value=self.backoff_every_s, low=0, high=60, unit="seconds")
        bounds.require(field="latency_tolerance", value=self.latency_tolerance, low=1, high=100, unit="ratio")
        bounds.require(field="latency_samples", value=self.latency_samples, low=1, high=100_000, unit="calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveLimit:
    """Remember the limit (fractional between steps), the long-run mean latency and the last decrease."""

    limit: float
    mean_latency_s: float | None = None
    decreased_at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Report a batch of finished calls of one scope.

    ok: calls that ended well. overloaded: calls the provider refused or dropped for load (throttled, rejected for
    capacity, timed out). latency_s: mean duration of the ok ones, None without any. in_flight: calls in flight when
    they were made.
    """

    ok: int
    overloaded: int
    latency_s: float | None
    in_flight: int

    def __post_init__(self) -> None:
        """Refuse negative counts and a latency that does not belong to the count."""
        bounds.require_not_below(field="ok", value=self.ok, low=0, unit="calls")
        bounds.require_not_below(field="overloaded", value=self.overloaded, low=0, unit="calls")
        bounds.require_not_below(field="in_flight", value=self.in_flight, low=0, unit="calls")
        if (self.latency_s is None) != (self.ok == 0):
            raise ValueError(f"latency_s is {self.latency_s} with ok {self.ok}; give it exactly when ok is above 0")
        if self.latency_s is not None:
            bounds.require(field="latency_s", value=self.latency_s, low=0, high=1e9, unit="seconds")


def start(options: ConcurrencyOptions) -> AdaptiveLimit:
    """Return the limit of a scope that has not been called yet: the ceiling."""
    return AdaptiveLimit(limit=float(options.ceiling))


def slots(options: ConcurrencyOptions, state: AdaptiveLimit) -> int:
    """Return the whole slots of the scope, from floor to ceiling, also right after either has been changed."""
    return max(options.floor, min(options.ceiling, math.floor(state.limit)))


def room(options: ConcurrencyOptions, state: AdaptiveLimit, *, held: int) -> int:
    """Return how many more calls may start. Never negative, also when a lowered limit leaves more held than allowed."""
    return max(0, slots(options, state) - held)


def update(options: ConcurrencyOptions, state: AdaptiveLimit, *, sample: Sample, now_s: float) -> AdaptiveLimit:
    """Fold a batch of outcomes into the limit.

    Overload lowers it once per ``backoff_every_s``. Success raises it by one for each full round of calls, and only
    while at least half of it is in use: a limit nobody tests says nothing. Both stay between floor and ceiling.
    """
    mean_latency_s = _long_run_mean_s(options, state, sample)
    current = max(float(options.floor), min(float(options.ceiling), state.limit))
    if sample.overloaded > 0 or _is_slow(options, state, sample):
        is_same_overload = state.decreased_at_s is not None and now_s - state.decreased_at_s < options.backoff_every_s
        if is_same_overload:
            return AdaptiveLimit(limit=current, mean_latency_s=mean_latency_s, decreased_at_s=state.decreased_at_s)
        lowered = max(float(options.floor), current * options.backoff_ratio)
        return AdaptiveLimit(limit=lowered, mean_latency_s=mean_latency_s, decreased_at_s=now_s)
    if sample.in_flight * 2 >= current:
        current = min(float(options.ceiling), current + sample.ok / current)
    return AdaptiveLimit(limit=current, mean_latency_s=mean_latency_s, decreased_at_s=state.decreased_at_s)


def _is_slow(options: ConcurrencyOptions, state: AdaptiveLimit, sample: Sample) -> bool:
    if sample.latency_s is None or state.mean_latency_s is None:
        return False
    return sample.latency_s > state.mean_latency_s * options.latency_tolerance


def _long_run_mean_s(options: ConcurrencyOptions, state: AdaptiveLimit, sample: Sample) -> float | None:
    """Return the mean moved towards the sample by its share of the window, so that a lasting change becomes normal."""
    if sample.latency_s is None:
        return state.mean_latency_s
    if state.mean_latency_s is None:
        return sample.latency_s
    share = min(1.0, sample.ok / options.latency_samples)
    return state.mean_latency_s + (sample.latency_s - state.mean_latency_s) * share
