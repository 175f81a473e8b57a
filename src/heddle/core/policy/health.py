"""Decide how a dependency is, in one word and one sentence, from its recent outcomes.

For people and for readiness; it refuses to stop calls, which ``breaker`` does. Old evidence fades, but the last
outcome is kept until a newer one comes: silence after a failure is not health. The sweep and ``heddle doctor`` ask.
"""

import enum
import statistics
from dataclasses import dataclass

from heddle.core.policy import bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthOptions:
    """Hold what counts as degraded and as down. All numbers are ours but where a source is named.

    window_s: default 60, 1 to 3600 seconds; how long an outcome counts.
    outcomes_max: default 100, 1 to 1000; the most outcomes remembered.
    samples: default 5, 1 to outcomes_max; the fewest for a share to count.
    degraded_ratio: default 0.1, 0.001 to 1; share of failures from which it is degraded.
    down_ratio: default 0.5, degraded_ratio to 1; share from which it is down (as the breaker's, RELIABILITY R15).
    down_consecutive: default 3, 1 to outcomes_max; failures at the end of the window from which it is down.
    slow_s: default None, or 0.001 to 86400 seconds; a median duration above this is degraded.
    """

    window_s: float = 60.0
    outcomes_max: int = 100
    samples: int = 5
    degraded_ratio: float = 0.1
    down_ratio: float = 0.5
    down_consecutive: int = 3
    slow_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse windows and shares out of range."""
        bounds.require(field="window_s", value=self.window_s, low=1, high=3600, unit="seconds")
        bounds.require(field="outcomes_max", value=self.outcomes_max, low=1, high=1000, unit="outcomes")
        bounds.require(field="samples", value=self.samples, low=1, high=self.outcomes_max, unit="outcomes")
        bounds.require(field="degraded_ratio", value=self.degraded_ratio, low=0.001, high=1, unit="ratio")
        bounds.require(field="down_ratio", value=self.down_ratio, low=self.degraded_ratio, high=1, unit="ratio")
        bounds.require(
            field="down_consecutive", value=self.down_consecutive, low=1, high=self.outcomes_max, unit="outcomes"
        )
        if self.slow_s is not None:
            bounds.require(field="slow_s", value=self.slow_s, low=0.001, high=86_400, unit="seconds")


class Condition(enum.StrEnum):
    """Name how a dependency is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Report one use of the dependency: when it ended, whether well, how long it took."""

    at_s: float
    is_ok: bool
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """Remember the last outcomes, oldest first, at most outcomes_max."""

    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Say how the dependency is and why, in one sentence without a full stop."""

    condition: Condition
    reason: str


def observe(options: HealthOptions, recent: Recent, *, outcome: Outcome) -> Recent:
    """Add an outcome and forget those that no longer count."""
    oldest_s = outcome.at_s - options.window_s
    kept = tuple(entry for entry in recent.outcomes if entry.at_s > oldest_s)
    return Recent(outcomes=(*kept, outcome)[-options.outcomes_max :])


def judge(options: HealthOptions, recent: Recent, *, now_s: float) -> Health:
    """Decide how the dependency is now. The worst finding wins; nothing known is healthy, and says so."""
    if not recent.outcomes:
        return Health(condition=Condition.HEALTHY, reason="not used yet")
    window = tuple(entry for entry in recent.outcomes if entry.at_s > now_s - options.window_s)
    if not window:
        return _judge_silence(recent.outcomes[-1], now_s=now_s)
    failed = sum(not entry.is_ok for entry in window)
    trailing = _trailing_failures(window)
    if trailing >= options.down_consecutive:
        return Health(condition=Condition.DOWN, reason=f"the last {trailing} of {len(window)} calls failed")
    share = failed / len(window)
    has_samples = len(window) >= options.samples
    sentence = f"{failed} of the last {len(window)} calls failed"
    if has_samples and share >= options.down_ratio:
        return Health(condition=Condition.DOWN, reason=sentence)
    if has_samples and share >= options.degraded_ratio:
        return Health(condition=Condition.DEGRADED, reason=sentence)
    median_s = statistics.median(entry.duration_s for entry in window)
    if options.slow_s is not None and has_samples and median_s > options.slow_s:
        return Health(
            condition=Condition.DEGRADED,
            reason=f"the median of the last {len(window)} calls is {median_s:.3g} s; {options.slow_s:.3g} s is slow",
        )
    return Health(condition=Condition.HEALTHY, reason=sentence)


def _judge_silence(last: Outcome, *, now_s: float) -> Health:
    age_s = now_s - last.at_s
    if last.is_ok:
        return Health(condition=Condition.HEALTHY, reason=f"last used {age_s:.0f} s ago, and well")
    return Health(condition=Condition.DOWN, reason=f"the last call failed {age_s:.0f} s ago and none was made since")


def _trailing_failures(window: tuple[Outcome, ...]) -> int:
    """Count the failures since the last success."""
    count = 0
    for entry in reversed(window):
        if entry.is_ok:
            break
        count += 1
    return count
