"""Decide what follows from what a provider tells of its own limits and of what a call used.

A provider knows its limits better than our configuration does, and may lie. So what it tells only ever lowers what we
allow, every number is bounded here, and what cannot be true is dropped and counted. This file refuses to read headers
(``providers.limits`` does) and to keep state: settle hands lessons to the store, the claim folds them into the scope's
buckets. Before it: an adapter's outcome. After it: ``ratelimit``.
"""

import enum
import math
from dataclasses import dataclass

from heddle.core.policy import bounds

UNITS_MAX = 1_000_000_000
"""The most units (requests, tokens, images) believed of one number: far above any limit known, far below overflow."""


class Dimension(enum.IntEnum):
    """Name what a limit counts, by the number it has in the store."""

    REQUESTS = 1
    TOKENS = 2
    IMAGES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Hold one limit as the provider states it: units a minute, units left, seconds until it is reset or full.

    Each is None when it was not told.
    """

    dimension: Dimension
    limit_per_min: int | None = None
    remaining: int | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Hold all that an answer tells besides its result.

    tokens, images: what the call used, None when not told. retry_after_s: until when nothing may be sent. refused: how
    many statements were no numbers or could not be true.
    """

    reports: tuple[Report, ...] = ()
    tokens: int | None = None
    images: int | None = None
    retry_after_s: float | None = None
    refused: int = 0


NOTHING = Told()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldOptions:
    """Hold how long a provider's word counts.

    believed_s: default 60, 1 to 3600 seconds; how long a limit counts at least, since a bucket that is full in 100 ms
        has the same limit afterwards. One window of every provider in RELIABILITY 3.
    believed_max_s: default 3600, 1 to 86400 seconds; the longest any word counts, a Retry-After included: a reset in
        the year 9999 stops an endpoint for an hour, and then one call asks again.
    """

    believed_s: float = 60.0
    believed_max_s: float = 3_600.0

    def __post_init__(self) -> None:
        """Refuse times out of range."""
        bounds.require(field="believed_s", value=self.believed_s, low=1, high=3600, unit="seconds")
        bounds.require(field="believed_max_s", value=self.believed_max_s, low=1, high=86_400, unit="seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Say what one report changes.

    limit_per_min counts until ``until_s`` from now. remaining lowers the bucket at once, which then fills at its rate.
    empty_s: nothing of this dimension goes for so long.
    """

    dimension: Dimension
    limit_per_min: int | None
    remaining: int | None
    until_s: float
    empty_s: float | None


def checked(report: Report) -> Report | None:
    """Drop from a report what cannot be true: limits below 1, negative counts and times, not-a-number.

    None when nothing is left. Numbers too large are brought down to ``UNITS_MAX``, since they limit nothing.
    """
    limit, remaining, reset_s = report.limit_per_min, report.remaining, report.reset_s
    limit = min(limit, UNITS_MAX) if limit is not None and limit >= 1 else None
    remaining = min(remaining, UNITS_MAX) if remaining is not None and remaining >= 0 else None
    reset_s = reset_s if reset_s is not None and math.isfinite(reset_s) and reset_s >= 0 else None
    if limit is None and remaining is None:
        return None
    return Report(dimension=report.dimension, limit_per_min=limit, remaining=remaining, reset_s=reset_s)


def learn(options: ToldOptions, report: Report) -> Lesson | None:
    """Turn a report into a lesson; None when nothing in it can be true.

    Two kinds of limits are told in the same words. A bucket that fills all the time tells as reset when it will be
    full; one window after another tells when the next begins. Only of the second does "0 left" mean that nothing goes
    before the reset: it is taken for one when the reset is later than a bucket would need to fill up.
    """
    known = checked(report)
    if known is None:
        return None
    reset_s = None if known.reset_s is None else min(known.reset_s, options.believed_max_s)
    is_window = reset_s is not None and not _is_filling(known, reset_s)
    return Lesson(
        dimension=known.dimension,
        limit_per_min=known.limit_per_min,
        remaining=known.remaining,
        until_s=min(options.believed_max_s, max(options.believed_s, reset_s or 0.0)),
        empty_s=reset_s if known.remaining == 0 and is_window else None,
    )


def frozen_s(options: ToldOptions, *, retry_after_s: float | None) -> float | None:
    """Give for how long a Retry-After stops every scope of the endpoint; None without one."""
    if retry_after_s is None or not retry_after_s > 0:
        return None
    return min(retry_after_s, options.believed_max_s)


def units(count: int | None) -> int | None:
    """Give a count of used units, brought into range; None for one that is not known or cannot be true."""
    return None if count is None or count < 0 else min(count, UNITS_MAX)


def _is_filling(report: Report, reset_s: float) -> bool:
    """Tell whether the reset is when a bucket filled at its rate would be full, give or take a tenth and a second."""
    if report.limit_per_min is None or report.remaining is None:
        return False
    full_s = 60.0 * (report.limit_per_min - min(report.remaining, report.limit_per_min)) / report.limit_per_min
    return reset_s <= full_s * 1.1 + 1.0
