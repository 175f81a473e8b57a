"""Decide whether what we metered and what a provider reports are the same money, endpoint by endpoint.

Three things page a person: both differ by more than allowed, calls were paid and nothing was booked (a meter that is
silent looks like a cheap day), and money was spent under an account of the provider that we do not know. Days without a
report say nothing about a difference. This file refuses to know where the numbers are from. Before it: the leader, with
the sums of the last days. After it: gauges, alerts and ``heddle spend show``.
"""

import datetime
import enum
from collections.abc import Sequence
from dataclasses import dataclass

from heddle.core.policy import bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceOptions:
    """Hold when a difference is one.

    divergence_ratio_max: default 0.02, 0.0001 to 10; share of the larger of both sums. divergence_nano_usd_min: default
    1 USD; a smaller difference is none, whatever its share. silent_calls_min: default 20, 1 to 1,000,000; calls of one
    day without a cent from which a meter is called silent. Ours.
    """

    divergence_ratio_max: float = 0.02
    divergence_nano_usd_min: int = 1_000_000_000
    silent_calls_min: int = 20

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        bounds.require(field="divergence_ratio_max", value=self.divergence_ratio_max, low=0.0001, high=10, unit="ratio")
        bounds.require(
            field="divergence_nano_usd_min", value=self.divergence_nano_usd_min, low=0, high=2**62, unit="nano-USD"
        )
        bounds.require(field="silent_calls_min", value=self.silent_calls_min, low=1, high=1_000_000, unit="calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySpend:
    """Hold one day of one endpoint, in nano-USD.

    metered: charged and adjusted less refunded. reported: what the provider says, under all its accounts; None without
    a report. unknown: the part of it under accounts that are not ours. calls: paid calls that ended with a charge.
    """

    day: datetime.date
    calls: int = 0
    metered_nano_usd: int = 0
    reported_nano_usd: int | None = None
    unknown_nano_usd: int = 0


class Alarm(enum.StrEnum):
    """Name what a person has to look at."""

    DIVERGING = "diverging"
    SILENT = "silent"
    UNKNOWN_KEY = "unknown_key"


def difference_nano_usd(days: Sequence[DaySpend]) -> int:
    """Return how much more was reported than metered, over the days with a report; negative when less was."""
    return sum(day.reported_nano_usd - day.metered_nano_usd for day in days if day.reported_nano_usd is not None)


def divergence(days: Sequence[DaySpend]) -> float | None:
    """Return the difference as a share of the larger sum, over the days with a report; None when no day has one."""
    reported = [day for day in days if day.reported_nano_usd is not None]
    if not reported:
        return None
    larger = max(
        abs(sum(day.metered_nano_usd for day in reported)), abs(sum(day.reported_nano_usd or 0 for day in reported))
    )
    return abs(difference_nano_usd(reported)) / larger if larger else 0.0


def alarms(options: InvoiceOptions, days: Sequence[DaySpend]) -> frozenset[Alarm]:
    """Tell what is wrong with the days of one endpoint."""
    found: set[Alarm] = set()
    share = divergence(days)
    is_large = abs(difference_nano_usd(days)) >= options.divergence_nano_usd_min
    if share is not None and share > options.divergence_ratio_max and is_large:
        found.add(Alarm.DIVERGING)
    if any(day.calls >= options.silent_calls_min and day.metered_nano_usd == 0 for day in days):
        found.add(Alarm.SILENT)
    if any(day.unknown_nano_usd > 0 for day in days):
        found.add(Alarm.UNKNOWN_KEY)
    return frozenset(found)
