"""Decide how many calls a scope may have in flight, and adapt that number to what the provider bears.

Every service has a knee: up to it more calls in flight mean more calls done, beyond it they only wait, or worse. The
law looks for it by latency, as Vegas and Gradient2 do (Brakmo and Peterson 1995; Netflix concurrency-limits;
RELIABILITY 2.1, S18): it remembers what a call takes when nothing queues, and once calls take ``latency_tolerance``
times that, it goes back by the very ratio, which by Little's law is where the queue ends, and at most to where calls
were still quick. Below the knee it found last it grows quickly, near it slowly. Latencies vary by themselves, and what
looked like a queue may have been chance: each way down is a trial, and if calls are as slow with fewer of them, they
were not queueing. Slots themselves are counted in the store; this file refuses to count them and only says how many
there are. The leader's govern asks ``update`` and writes the number; claim only reads it.
"""

import math
from dataclasses import dataclass, replace

from heddle.core.policy import bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyOptions:
    """Hold the range of the limit and how it moves. Numbers without a source are ours, from simulated
    services with a knee (tests/property/core/test_policy_concurrency.py) and tests/fault/test_knee.py.

    floor, ceiling: no default, 1 to 100_000 slots, floor at most ceiling; equal ones fix the limit. It starts at the
        floor and doubles until it meets the knee: too many calls at once are what a service with one bears least.
    latency_tolerance: default 1.2, 1 to 100; a mean latency above this multiple of the unqueued one is an overload.
    backoff_ratio: default 0.7, 0.1 to 0.99; what is left of the limit after calls were throttled.
    backoff_every_s: default 1.0, 0 to 60 seconds; at most one decrease for throttling in that time, since the many
        calls in flight at one overload all report the same one.
    samples: default 20, 1 to 100_000 calls; the fewest whose mean says anything; a limit above it wants as many, and
        half are enough until the first knee is met.
    stalled_s: default 1.0, 0.1 to 3600 seconds; next to nothing ended for so long while calls were in flight: an
        overload. It takes at least one and a half usual latencies, and six more shared among the calls in flight.
    """

    floor: int
    ceiling: int
    latency_tolerance: float = 1.2
    backoff_ratio: float = 0.7
    backoff_every_s: float = 1.0
    samples: int = 20
    stalled_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse ranges and rates out of range."""
        bounds.require(field="ceiling", value=self.ceiling, low=1, high=100_000, unit="slots")
        bounds.require(field="floor", value=self.floor, low=1, high=self.ceiling, unit="slots")
        bounds.require(field="latency_tolerance", value=self.latency_tolerance, low=1, high=100, unit="ratio")
        bounds.require(field="backoff_ratio", value=self.backoff_ratio, low=0.1, high=0.99, unit="ratio")
        bounds.require(field="backoff_every_s", value=self.backoff_every_s, low=0, high=60, unit="seconds")
        bounds.require(field="samples", value=self.samples, low=1, high=100_000, unit="calls")
        bounds.require(field="stalled_s", value=self.stalled_s, low=0.1, high=3600, unit="seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Remember what was before a way down, until calls have shown whether it was a queue: the limit, the mean latency
    then, and the knee that was believed in.
    """

    limit: float
    latency_s: float
    knee: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveLimit:
    """Remember the limit (fractional between steps) and what the next step needs.

    base_s: mean latency when nothing queues, None before the first sample. knee: where the last overloads ended, None
    before the first. near: steps since then taken close to it. slow: samples in a row that were a little too slow.
    ok, latency_sum_s: calls that ended since the last full sample. stuck_s: call-seconds in flight of late, less what
    the calls that ended account for if they were slow; nothing while as many end as should. decreased_at_s: when
    throttling last lowered it. trial: the last way down, while it is not proved. quick: the last limit at which calls
    were quick, None when that is long ago. deaf_until_s: what ends before then began under another limit. at_s,
    in_flight: the last report's.
    """

    limit: float
    base_s: float | None = None
    knee: float | None = None
    near: int = 0
    slow: int = 0
    ok: int = 0
    latency_sum_s: float = 0.0
    stuck_s: float = 0.0
    decreased_at_s: float | None = None
    trial: Trial | None = None
    quick: float | None = None
    deaf_until_s: float = -math.inf
    at_s: float | None = None
    in_flight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Report the calls of one scope that finished since the last report.

    ok: calls that ended well. overloaded: calls the provider refused for load. latency_sum_s: of the ok ones together.
    in_flight: calls in flight now. is_full: more would have started had there been room: between a settle and the next
    claim slots stand empty that are wanted all the same.
    """

    ok: int
    overloaded: int
    latency_sum_s: float
    in_flight: int
    is_full: bool = False

    def __post_init__(self) -> None:
        """Refuse negative counts and times."""
        bounds.require_not_below(field="ok", value=self.ok, low=0, unit="calls")
        bounds.require_not_below(field="overloaded", value=self.overloaded, low=0, unit="calls")
        bounds.require_not_below(field="in_flight", value=self.in_flight, low=0, unit="calls")
        bounds.require(field="latency_sum_s", value=self.latency_sum_s, low=0, high=1e12, unit="seconds")


_SLOW_AT_ONCE = 1.5  # So far above the unqueued latency one sample is enough; chance explains less (half a tolerance).
_PLAINLY_SLOW, _FEW = 2.0, 0.25  # A mean of twice the unqueued latency needs no full sample, but this part of one.
_BACKOFF_LEAST = 0.5
_BASE_DOWN, _BASE_UP, _BASE_UP_FAR, _BASE_AT_FLOOR = 0.1, 0.005, 0.05, 0.2
_QUICK_AT_MOST, _QUICK_RATIO_MOST = 0.85, 2.0
_PATIENCE, _PATIENCE_SHARED, _SLOW_CALL = 1.5, 6.0, 4.0
_DEAF_GROWTH, _DEAF_DOWN = 1.1, 1.5
_IN_USE = 0.8
_START_GROWTH, _FAR_GROWTH, _NEAR_GROWTH, _NEAR_FACTOR, _NEAR_GROWTH_MOST = 0.5, 0.15, 0.01, 1.15, 0.25
_FAR = 0.85
_NEAR_STEPS_MAX = 100


def start(options: ConcurrencyOptions) -> AdaptiveLimit:
    """Return the limit of a scope that has not been called yet: the floor."""
    return AdaptiveLimit(limit=float(options.floor))


def slots(options: ConcurrencyOptions, state: AdaptiveLimit) -> int:
    """Return the whole slots of the scope, from floor to ceiling, also right after either has been changed."""
    return max(options.floor, min(options.ceiling, math.floor(state.limit)))


def room(options: ConcurrencyOptions, state: AdaptiveLimit, *, held: int) -> int:
    """Return how many more calls may start. Never negative, also when a lowered limit leaves more held than allowed."""
    return max(0, slots(options, state) - held)


def update(options: ConcurrencyOptions, state: AdaptiveLimit, *, sample: Sample, now_s: float) -> AdaptiveLimit:
    """Fold what finished into the limit; it stays between floor and ceiling.

    Throttling and a stall lower it at once. Latency is judged when enough calls have ended to say something. It grows
    only while it is in use: a limit nobody tests says nothing.
    """
    current = replace(
        state,
        limit=max(float(options.floor), min(float(options.ceiling), state.limit)),
        ok=state.ok + sample.ok,
        latency_sum_s=state.latency_sum_s + sample.latency_sum_s,
        stuck_s=_stuck_s(options, state, sample, now_s=now_s),
        at_s=now_s,
        in_flight=sample.in_flight,
    )
    if sample.overloaded or _is_stalled(options, current):
        return _throttled(options, current, now_s=now_s)
    if now_s < current.deaf_until_s:
        return replace(current, ok=0, latency_sum_s=0.0)
    # On the way to the first knee half as many are enough: it ends at the first sample that is too slow anyway.
    needed = options.samples if current.knee is not None else options.samples / 2
    if current.ok < max(needed, current.limit) and not _is_plainly_slow(options, current):
        return current
    latency_s = current.latency_sum_s / current.ok
    judged = _judged(options, replace(current, ok=0, latency_sum_s=0.0), sample, latency_s=latency_s)
    if judged.limit < current.limit:
        return replace(judged, deaf_until_s=now_s + _DEAF_DOWN * latency_s)
    return replace(judged, deaf_until_s=now_s + latency_s) if judged.limit > _DEAF_GROWTH * current.limit else judged


def _judged(options: ConcurrencyOptions, state: AdaptiveLimit, sample: Sample, *, latency_s: float) -> AdaptiveLimit:
    """Move by what a full sample says."""
    if state.trial is not None:
        trial, state = state.trial, replace(state, trial=None)
        if _was_no_queue(state, trial, latency_s=latency_s):
            assert state.base_s is not None
            base_s = max(state.base_s, (trial.latency_s + latency_s) / 2)
            return replace(state, limit=trial.limit, knee=trial.knee, base_s=base_s, near=0)
    base_s = _base_s(options, state, latency_s)
    judged = replace(state, base_s=base_s)
    ratio = latency_s / base_s if base_s > 0 else 1.0
    if ratio > options.latency_tolerance:
        return _slowed(options, judged, latency_s=latency_s, ratio=ratio)
    if not sample.is_full and sample.in_flight < _IN_USE * math.floor(judged.limit):
        return replace(judged, slow=0)
    return _grown(options, judged)


def _was_no_queue(state: AdaptiveLimit, trial: Trial, *, latency_s: float) -> bool:
    """Tell whether a way down was for nothing: less than half of what Little's law promises of a queue came of it."""
    assert state.base_s is not None
    promised = state.limit / trial.limit
    return latency_s > trial.latency_s * (1 + promised) / 2 and latency_s < _SLOW_AT_ONCE * state.base_s


def _is_plainly_slow(options: ConcurrencyOptions, state: AdaptiveLimit) -> bool:
    """Tell whether a few calls say it already: at few in flight a full sample of slow ones takes many latencies."""
    if state.base_s is None or state.knee is None or state.ok < options.samples * _FEW:
        return False
    return state.latency_sum_s > _PLAINLY_SLOW * state.base_s * state.ok


def _stuck_s(options: ConcurrencyOptions, state: AdaptiveLimit, sample: Sample, *, now_s: float) -> float:
    """Add up the call-seconds that no ended call accounts for: a sum that only trouble lets grow (Page's CUSUM)."""
    if state.at_s is None or state.base_s is None:
        return 0.0
    held_s = min(state.in_flight, sample.in_flight) * (now_s - state.at_s)
    return max(0.0, state.stuck_s + held_s - sample.ok * max(options.stalled_s, _SLOW_CALL * state.base_s))


def _is_stalled(options: ConcurrencyOptions, state: AdaptiveLimit) -> bool:
    if not state.in_flight or state.base_s is None:
        return False
    patience_s = (_PATIENCE + _PATIENCE_SHARED / state.in_flight) * state.base_s
    return state.stuck_s >= state.in_flight * max(options.stalled_s, patience_s)


def _throttled(options: ConcurrencyOptions, state: AdaptiveLimit, *, now_s: float) -> AdaptiveLimit:
    if state.decreased_at_s is not None and now_s - state.decreased_at_s < options.backoff_every_s:
        return state
    lowered = max(float(options.floor), state.limit * options.backoff_ratio)
    return replace(_lowered(state, limit=lowered), decreased_at_s=now_s)


def _slowed(options: ConcurrencyOptions, state: AdaptiveLimit, *, latency_s: float, ratio: float) -> AdaptiveLimit:
    """Go back to where the queue ends, on trial; what is slow at the floor is not queueing, and becomes the normal."""
    if ratio < _SLOW_AT_ONCE and state.slow == 0:
        return replace(state, slow=1)
    assert state.base_s is not None
    base_s = state.base_s
    if state.limit <= options.floor:
        base_s += _BASE_AT_FLOOR * (latency_s - base_s)
    lowered = max(float(options.floor), state.limit * max(_BACKOFF_LEAST, 1 / ratio))
    if state.quick is not None and ratio < _QUICK_RATIO_MOST:
        lowered = max(lowered, min(state.quick, _QUICK_AT_MOST * state.limit))
    made = replace(_lowered(state, limit=lowered), base_s=base_s, quick=None)
    if lowered >= state.limit:
        return made
    return replace(made, trial=Trial(limit=state.limit, latency_s=latency_s, knee=state.knee))


def _lowered(state: AdaptiveLimit, *, limit: float) -> AdaptiveLimit:
    knee = limit if state.knee is None else (state.knee + limit) / 2
    return replace(state, limit=limit, knee=knee, near=0, slow=0, ok=0, latency_sum_s=0.0, stuck_s=0.0)


def _grown(options: ConcurrencyOptions, state: AdaptiveLimit) -> AdaptiveLimit:
    near = state.near
    if state.knee is None:
        growth = _START_GROWTH
    elif state.limit < _FAR * state.knee:
        growth = _FAR_GROWTH
    else:
        near = min(_NEAR_STEPS_MAX, near + 1)
        growth = min(_NEAR_GROWTH_MOST, _NEAR_GROWTH * _NEAR_FACTOR**near)
    grown = min(float(options.ceiling), state.limit * (1 + growth))
    return replace(state, limit=grown, near=near, slow=0, quick=state.limit)


def _base_s(options: ConcurrencyOptions, state: AdaptiveLimit, latency_s: float) -> float:
    """Follow the latency of unqueued calls: down by a tenth of the way; up hardly at all near the knee, where more is
    mostly queue, and a little below it.
    """
    base_s = state.base_s
    if base_s is None:
        return latency_s
    if latency_s < base_s:
        return base_s + _BASE_DOWN * (latency_s - base_s)
    is_far = state.knee is None or state.limit < _FAR * state.knee
    is_usual = latency_s < options.latency_tolerance * base_s
    return base_s + (_BASE_UP_FAR if is_far and is_usual else _BASE_UP) * (latency_s - base_s)
