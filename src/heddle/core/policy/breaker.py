"""Decide whether an endpoint may be called, from what its recent calls came to.

Closed, open, half-open, with an epoch that counts every change: an outcome belongs to the epoch its call was claimed
in, and one of an older epoch changes nothing, so calls that were in flight when the breaker opened can neither reopen
nor close it. The state is shared by all workers (one row per scope); this file refuses to know which faults count, and
is told numbers. Claim asks ``admit`` under the row lock and folds settle's reports with ``record``. While a scope
recovers, ``ramped`` gives back its limit by and by (RELIABILITY R15, R17; Envoy outlier detection for the numbers,
S12, S14).
"""

import enum
import math
from dataclasses import dataclass, replace

from heddle.core.policy import bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOptions:
    """Hold when the breaker opens, for how long, and how it comes back.

    consecutive: default 5, 1 to 1000 failures; opens after so many without a success between (Envoy: 5).
    failure_ratio: default 0.5, 0.01 to 1; opens when at least this share of the window failed (RELIABILITY R15).
    failure_samples: default 20, 1 to 100_000 calls; the fewest in the window for the share to count (R15).
    window_s: default 10, 1 to 60 whole seconds; how long an outcome counts (Envoy sweeps every 10 s).
    open_s: default 30, 0.1 to 3600 seconds; how long the first opening lasts (Envoy base ejection: 30 s).
    open_max_s: default 300, open_s to 86400 seconds; where doubling stops (Envoy: 300 s).
    probe_s: default 60, 0.1 to 3600 seconds; a probe that has not reported by then has failed. Ours: it must outlast
        the endpoint's own call timeout, so set it with that.
    ramp_s: default 30, 0 to 3600 seconds; from closing to the full limit (DESIGN 3.7).
    ramp_from: default 0.1, 0.01 to 1; share of the limit at the instant of closing (DESIGN 3.7).
    """

    consecutive: int = 5
    failure_ratio: float = 0.5
    failure_samples: int = 20
    window_s: int = 10
    open_s: float = 30.0
    open_max_s: float = 300.0
    probe_s: float = 60.0
    ramp_s: float = 30.0
    ramp_from: float = 0.1

    def __post_init__(self) -> None:
        """Refuse thresholds and times out of range."""
        bounds.require(field="consecutive", value=self.consecutive, low=1, high=1000, unit="failures")
        bounds.require(field="failure_ratio", value=self.failure_ratio, low=0.01, high=1, unit="ratio")
        bounds.require(field="failure_samples", value=self.failure_samples, low=1, high=100_000, unit="calls")
        bounds.require(field="window_s", value=self.window_s, low=1, high=60, unit="whole seconds")
        bounds.require(field="open_s", value=self.open_s, low=0.1, high=3600, unit="seconds")
        bounds.require(field="open_max_s", value=self.open_max_s, low=self.open_s, high=86_400, unit="seconds")
        bounds.require(field="probe_s", value=self.probe_s, low=0.1, high=3600, unit="seconds")
        bounds.require(field="ramp_s", value=self.ramp_s, low=0, high=3600, unit="seconds")
        bounds.require(field="ramp_from", value=self.ramp_from, low=0.01, high=1, unit="ratio")


class Position(enum.StrEnum):
    """Name where the breaker stands. Half-open means that one probe is out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """Count the outcomes of one whole second."""

    second: int
    ok: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Remember position, epoch and what the next decision needs.

    epoch: number of changes so far. seconds: outcomes of the window while closed, oldest first, at most window_s.
    consecutive: failures since the last success. until_s: end of the opening, or of the probe's lease; None while
    closed. openings: how often it opened since it was last well. closed_at_s: when it last closed; None if it never
    opened.
    """

    position: Position = Position.CLOSED
    epoch: int = 0
    seconds: tuple[Second, ...] = ()
    consecutive: int = 0
    until_s: float | None = None
    openings: int = 0
    closed_at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Say that calls may be made, each carrying this epoch, within ``ramped`` limits."""

    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Say that exactly one call may be made, carrying this epoch, and by when it has to report."""

    epoch: int
    report_by_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Say that no call may be made and when to ask again."""

    retry_at_s: float


def admit(options: BreakerOptions, state: Breaker, *, now_s: float) -> tuple[Breaker, Allowed | Probe | Blocked]:
    """Decide whether a call may be made now. Ask only with a call at hand: the answer may hand out the one probe.

    A probe whose time is over without a report has failed: the breaker opens again, for twice as long.
    """
    if state.position is Position.CLOSED:
        return state, Allowed(epoch=state.epoch)
    until_s = _until_s(state)
    if now_s < until_s:
        return state, Blocked(retry_at_s=until_s)
    if state.position is Position.HALF_OPEN:
        reopened = _opened(options, state, now_s=now_s)
        return reopened, Blocked(retry_at_s=_until_s(reopened))
    report_by_s = now_s + options.probe_s
    probing = replace(state, position=Position.HALF_OPEN, epoch=state.epoch + 1, until_s=report_by_s)
    return probing, Probe(epoch=probing.epoch, report_by_s=report_by_s)


def record(options: BreakerOptions, state: Breaker, *, ok: int, failed: int, epoch: int, now_s: float) -> Breaker:
    """Fold outcomes of calls that were claimed in one epoch.

    ok, failed: at least 0; order within the batch is unknown, so any success in it ends a row of failures.
    Outcomes of an older epoch change nothing. Raises ValueError for negative counts or an epoch not yet reached.
    """
    bounds.require_not_below(field="ok", value=ok, low=0, unit="calls")
    bounds.require_not_below(field="failed", value=failed, low=0, unit="calls")
    bounds.require(field="epoch", value=epoch, low=0, high=state.epoch, unit="changes")
    if epoch < state.epoch or ok + failed == 0 or state.position is Position.OPEN:
        return state
    if state.position is Position.HALF_OPEN:
        return _opened(options, state, now_s=now_s) if failed else _closed(state, now_s=now_s)
    counted = replace(
        state,
        seconds=_with_outcomes(options, state, ok=ok, failed=failed, now_s=now_s),
        consecutive=0 if ok else state.consecutive + failed,
    )
    return _opened(options, counted, now_s=now_s) if _must_open(options, counted) else counted


def probe_unsent(state: Breaker, *, epoch: int, now_s: float) -> Breaker:
    """Take back a probe that was claimed and never sent, so that the next claim may probe at once.

    Changes nothing when the epoch has moved on or no probe is out. A second call changes nothing.
    """
    if state.position is not Position.HALF_OPEN or epoch != state.epoch:
        return state
    return replace(state, position=Position.OPEN, epoch=state.epoch + 1, until_s=now_s)


def ramped(options: BreakerOptions, state: Breaker, *, limit: int, now_s: float) -> int:
    """Return how much of a limit on calls in flight may be used now.

    Nothing while open, one while half-open, and after closing from ``ramp_from`` of the limit to all of it along a
    straight line, at least 1 (if the limit is).
    """
    if state.position is Position.OPEN:
        return 0
    if state.position is Position.HALF_OPEN:
        return min(1, limit)
    if not _is_ramping(options, state, now_s=now_s) or state.closed_at_s is None:
        return limit
    elapsed = max(0.0, now_s - state.closed_at_s) / options.ramp_s
    share = options.ramp_from + (1.0 - options.ramp_from) * elapsed
    return min(limit, max(1, math.floor(limit * share)))


def _must_open(options: BreakerOptions, state: Breaker) -> bool:
    if state.consecutive >= options.consecutive:
        return True
    failed = sum(entry.failed for entry in state.seconds)
    total = failed + sum(entry.ok for entry in state.seconds)
    return total >= options.failure_samples and failed >= options.failure_ratio * total


def _opened(options: BreakerOptions, state: Breaker, *, now_s: float) -> Breaker:
    """Open, for twice as long as last time unless the scope had been well for a whole ramp since."""
    was_well = state.position is Position.CLOSED and not _is_ramping(options, state, now_s=now_s)
    openings = 1 if was_well else state.openings + 1
    # The exponent is bounded so that a scope that has been sick for a year does not overflow the float.
    open_s = min(options.open_max_s, options.open_s * 2.0 ** min(openings - 1, 62))
    return Breaker(
        position=Position.OPEN,
        epoch=state.epoch + 1,
        until_s=now_s + open_s,
        openings=openings,
        closed_at_s=state.closed_at_s,
    )


def _closed(state: Breaker, *, now_s: float) -> Breaker:
    return Breaker(position=Position.CLOSED, epoch=state.epoch + 1, openings=state.openings, closed_at_s=now_s)


def _is_ramping(options: BreakerOptions, state: Breaker, *, now_s: float) -> bool:
    return state.closed_at_s is not None and now_s - state.closed_at_s < options.ramp_s


def _until_s(state: Breaker) -> float:
    assert state.until_s is not None, "only a closed breaker has no end"
    return state.until_s


def _with_outcomes(
    options: BreakerOptions, state: Breaker, *, ok: int, failed: int, now_s: float
) -> tuple[Second, ...]:
    """Add to the second of now and forget what left the window. A clock that steps back adds to the newest second."""
    newest = math.floor(now_s)
    if state.seconds:
        newest = max(newest, state.seconds[-1].second)
    kept = tuple(entry for entry in state.seconds if newest - options.window_s < entry.second < newest)
    if state.seconds and state.seconds[-1].second == newest:
        ok, failed = ok + state.seconds[-1].ok, failed + state.seconds[-1].failed
    return (*kept, Second(second=newest, ok=ok, failed=failed))
