"""Decide how many units a scope's rate limit allows now, and when the next ones go.

The generic cell rate algorithm (ITU-T I.371, annex A) in whole microseconds: the whole state is one instant, the
theoretical arrival time, so it fits one column and its arithmetic has no drift. Requests, tokens and images per minute
are each one bucket. This file refuses to hold a queue or to know which provider it is: claim asks ``available`` to
size its batch and ``take`` to charge it, settle corrects estimates with ``correct``, and answers of the provider can
only lower what is left (``observe_remaining``, ``freeze``).

The bound. With calls no larger than the burst, any half-open window of 60 s holds at most limit + burst - 1 units as
they are claimed. The bar of DESIGN 3.4 is limit plus one second's rate as the provider sees them; the default burst is
half a second's, 1 + limit // 120, and leaves the other half for the time between claim and arrival. A call larger
than the burst goes when the bucket is full and is charged whole afterwards, so one window can hold up to
limit + (largest call) - 1; over time the rate is still the limit.
"""

from dataclasses import dataclass

from heddle.core.policy import bounds

MINUTE_US = 60_000_000
"""The window of every limit, in microseconds: providers state theirs per minute (RELIABILITY 3, S33 to S35)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Hold one limit of a scope.

    limit_per_min: no default, 1 to 1_000_000_000 units; requests, tokens or images a minute, as the provider states.
    burst: default None, which is 1 + limit_per_min // 120; 1 to limit_per_min + 1 units; how many may go at one
        instant after a pause. The default keeps any 60 s within limit + rate x 1 s although calls take their time.
    """

    limit_per_min: int
    burst: int | None = None

    def __post_init__(self) -> None:
        """Refuse limits and bursts out of range."""
        bounds.require(field="limit_per_min", value=self.limit_per_min, low=1, high=1_000_000_000, unit="units/min")
        if self.burst is not None:
            bounds.require(field="burst", value=self.burst, low=1, high=self.limit_per_min + 1, unit="units")

    @property
    def burst_units(self) -> int:
        """Return the units that may go at one instant from a full bucket."""
        return 1 + self.limit_per_min // 120 if self.burst is None else self.burst


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Remember the theoretical arrival time, microseconds since the epoch: when the bucket is full again.

    The default is a bucket that has never been used.
    """

    full_at_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Say that the units may be sent now and are charged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """Say that nothing was charged, and when the same units would go if nobody else takes any."""

    retry_at_us: int


def available(limit: RateLimit, bucket: Bucket, *, now_us: int) -> int:
    """Return how many units ``take`` would grant at this instant, from 0 to the burst.

    A full bucket also grants one call larger than the burst; this count does not show that.
    """
    room_us = now_us + _charge_us(limit, units=limit.burst_units) - max(bucket.full_at_us, now_us)
    return max(0, min(limit.burst_units, room_us * limit.limit_per_min // MINUTE_US))


def take(limit: RateLimit, bucket: Bucket, *, units: int, now_us: int) -> tuple[Bucket, Taken | NotYet]:
    """Charge all the units or none.

    units: at least 1. More than the burst are granted when the bucket is full, and are charged whole.
    Raises ValueError for fewer than one unit.
    """
    bounds.require_not_below(field="units", value=units, low=1, unit="count")
    charge_us = _charge_us(limit, units=units)
    # A charge above the burst could never pass; it is let through at the instant the bucket is full.
    tolerance_us = max(_charge_us(limit, units=limit.burst_units), charge_us)
    full_at_us = max(bucket.full_at_us, now_us) + charge_us
    if full_at_us <= now_us + tolerance_us:
        return Bucket(full_at_us=full_at_us), Taken()
    return bucket, NotYet(retry_at_us=bucket.full_at_us + charge_us - tolerance_us)


def correct(limit: RateLimit, bucket: Bucket, *, estimated_units: int, actual_units: int) -> Bucket:
    """Replace an estimate that was charged by the true number.

    Both at least 0. Less than estimated gives time back (rounded down, never more than was charged); more charges the
    rest even beyond the burst, for it has been used. Raises ValueError for negative counts.
    """
    bounds.require_not_below(field="estimated_units", value=estimated_units, low=0, unit="count")
    bounds.require_not_below(field="actual_units", value=actual_units, low=0, unit="count")
    surplus = estimated_units - actual_units
    if surplus > 0:
        return Bucket(full_at_us=bucket.full_at_us - surplus * MINUTE_US // limit.limit_per_min)
    return Bucket(full_at_us=bucket.full_at_us + _charge_us(limit, units=-surplus))


def observe_remaining(limit: RateLimit, bucket: Bucket, *, remaining_units: int, now_us: int) -> Bucket:
    """Lower what is left to what the provider says is left; never raise it (RELIABILITY R21).

    remaining_units: at least 0; at or above the burst it changes nothing. Raises ValueError for a negative count.
    """
    bounds.require_not_below(field="remaining_units", value=remaining_units, low=0, unit="count")
    used = limit.burst_units - min(remaining_units, limit.burst_units)
    return Bucket(full_at_us=max(bucket.full_at_us, now_us + _charge_us(limit, units=used)))


def freeze(limit: RateLimit, bucket: Bucket, *, until_us: int) -> Bucket:
    """Grant nothing before an instant, as a 429 with Retry-After demands; from then on the bucket fills from empty.

    A second freeze can only prolong.
    """
    empty_until_us = until_us + _charge_us(limit, units=limit.burst_units) - _charge_us(limit, units=1)
    return Bucket(full_at_us=max(bucket.full_at_us, empty_until_us))


def _charge_us(limit: RateLimit, *, units: int) -> int:
    """Return the time that units cost, rounded up, so that rounding can only slow down."""
    return -(-units * MINUTE_US // limit.limit_per_min)
