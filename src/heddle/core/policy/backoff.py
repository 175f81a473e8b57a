"""Decide how long to wait before the next try of something that just failed.

Full jitter, because it spreads a herd best for the same mean work (AWS Builders' Library, "Timeouts, retries and
backoff with jitter"). This file refuses to decide whether there is a next try; ``retry`` does, and calls it. Used
by settle for attempts, by deliver for webhooks and by pollers.
"""

import math
import random
from dataclasses import dataclass

from heddle.core.policy import bounds

_DOUBLINGS_MAX = 62
"""Beyond this many doublings every base has long passed every cap; it keeps the power a finite float."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffOptions:
    """Hold the first ceiling of each cause and the last ceiling of both.

    transient_base_s: default 0.05, 0.001 to 60 seconds; the longest wait after the first failure
        (AWS retry behaviour of 2026: 50 ms transient; RELIABILITY 2.1, S10).
    throttled_base_s: default 1.0, 0.001 to 600 seconds; the same after being told to slow down (same source: 1 s).
    cap_s: default 20.0, from the larger base to 3600 seconds; no ceiling grows past it
        (AWS SDK constant MAXIMUM_RETRY_DELAY, 20 s). A Retry-After may: it is a bound from below.
    """

    transient_base_s: float = 0.05
    throttled_base_s: float = 1.0
    cap_s: float = 20.0

    def __post_init__(self) -> None:
        """Refuse bases and caps out of range, and a cap below a base."""
        bounds.require(field="transient_base_s", value=self.transient_base_s, low=0.001, high=60, unit="seconds")
        bounds.require(field="throttled_base_s", value=self.throttled_base_s, low=0.001, high=600, unit="seconds")
        largest_base_s = max(self.transient_base_s, self.throttled_base_s)
        bounds.require(field="cap_s", value=self.cap_s, low=largest_base_s, high=3600, unit="seconds")


DEFAULTS = BackoffOptions()
"""What an endpoint that says nothing about its waits gets."""


def ceiling_s(*, attempt_number: int, is_throttled: bool, options: BackoffOptions = DEFAULTS) -> float:
    """Return the longest wait after a failed try, before any Retry-After.

    attempt_number: of the try that failed, from 1; each further one doubles the base, up to the cap.
    is_throttled: the try failed because it was told to slow down, which waits from a longer base.
    Raises ValueError for an attempt_number below 1.
    """
    bounds.require_not_below(field="attempt_number", value=attempt_number, low=1, unit="count")
    base_s = options.throttled_base_s if is_throttled else options.transient_base_s
    return min(options.cap_s, base_s * 2.0 ** min(attempt_number - 1, _DOUBLINGS_MAX))


def delay_s(
    *,
    attempt_number: int,
    is_throttled: bool,
    retry_after_s: float | None,
    rng: random.Random,
    at_most_s: float = math.inf,
    options: BackoffOptions = DEFAULTS,
) -> float:
    """Draw the wait before the next try.

    attempt_number, is_throttled: as for ``ceiling_s``.
    retry_after_s: what the other side asked for, at least 0, or None. It is a bound from below and the jitter comes on
        top: waiting exactly that long would bring everybody who was refused back at the same instant.
    at_most_s: a wait that is still useful (infinity if any is); jitter is squeezed under it, so that chance never
        turns a try that fits before the deadline into one that does not. It never squeezes a Retry-After.
    Raises ValueError for a Retry-After that is negative, infinite or not a number.
    """
    lower_s = 0.0 if retry_after_s is None else retry_after_s
    if not 0 <= lower_s < math.inf:
        raise ValueError(f"retry_after_s is {retry_after_s}; it must be a finite number of seconds, at least 0")
    ceiling = ceiling_s(attempt_number=attempt_number, is_throttled=is_throttled, options=options)
    return lower_s + min(ceiling, max(0.0, at_most_s - lower_s)) * rng.random()
