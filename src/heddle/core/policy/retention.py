"""Decide which weekly partitions must exist, and which may go.

Weeks begin on Monday, 00:00 UTC, and are numbered from the epoch, so boundaries never depend on a time zone or on when
somebody looked. A partition goes only when its time is over and nothing in it lives; what keeps one is named, so that
stragglers are shown and not deleted. This file refuses to touch tables: ``heddle migrate`` and the sweep create,
detach and drop what it names (DESIGN 3.2), and readiness asks ``is_short``.
"""

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from heddle.core.policy import bounds

WEEK_S = 604_800
_MONDAY_S = 4 * 86_400
"""The first Monday after the epoch, which was a Thursday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionOptions:
    """Hold how far ahead partitions exist and how long they stay.

    weeks_ahead: default 4, 1 to 12 weeks after the present one (DESIGN 3.2).
    weeks_kept: default 4, 1 to 14 whole weeks before the present one. Ours: a month to look back.
    attached_max: default 16, 3 to 60 partitions; ahead, present and kept together must fit (DESIGN 3.2; the prototype
        lost 28 % of its steps/s between 1 and 60 partitions, DESIGN 3.1).
    """

    weeks_ahead: int = 4
    weeks_kept: int = 4
    attached_max: int = 16

    def __post_init__(self) -> None:
        """Refuse numbers of weeks out of range or more together than may be attached."""
        bounds.require(field="weeks_ahead", value=self.weeks_ahead, low=1, high=12, unit="weeks")
        bounds.require(field="weeks_kept", value=self.weeks_kept, low=1, high=14, unit="weeks")
        # One partition more than the weeks named: the present one.
        needed = self.weeks_ahead + self.weeks_kept + 1
        bounds.require(field="attached_max", value=self.attached_max, low=needed, high=60, unit="partitions")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Week:
    """Name one week by its number; week 0 begins on Monday, 5 January 1970."""

    number: int

    @property
    def starts_at_s(self) -> int:
        """Return the first second of the week, since the epoch."""
        return _MONDAY_S + self.number * WEEK_S

    @property
    def ends_at_s(self) -> int:
        """Return the first second of the next week."""
        return self.starts_at_s + WEEK_S

    @property
    def label(self) -> str:
        """Return the ISO 8601 year and week, such as ``2026w47``, as used in the names of tables."""
        year, week, _ = dt.datetime.fromtimestamp(self.starts_at_s, tz=dt.UTC).isocalendar()
        return f"{year:04d}w{week:02d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFacts:
    """Report what still lives in one week: rows of each kind that forbid its removal."""

    week: Week
    open_runs: int = 0
    unknown_steps: int = 0
    undelivered_webhooks: int = 0
    open_reservations: int = 0

    def __post_init__(self) -> None:
        """Refuse negative counts."""
        for name in ("open_runs", "unknown_steps", "undelivered_webhooks", "open_reservations"):
            bounds.require_not_below(field=name, value=getattr(self, name), low=0, unit="rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Straggler:
    """Name a week that should be gone and the sentence that says what keeps it."""

    week: Week
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Hold the weeks that may be detached and dropped, oldest first, and those that are kept beyond their time."""

    removable: tuple[Week, ...]
    stragglers: tuple[Straggler, ...]


def week_of(*, now_s: float) -> Week:
    """Return the week an instant lies in; a boundary belongs to the week it begins."""
    return Week(number=int((now_s - _MONDAY_S) // WEEK_S))


def to_create(options: RetentionOptions, *, existing: Collection[Week], now_s: float) -> tuple[Week, ...]:
    """Return the weeks that have to exist now and do not, oldest first: the present one and ``weeks_ahead`` more.

    A past week is never created: no new run can have an id in it.
    """
    present = week_of(now_s=now_s).number
    wanted = (Week(number=number) for number in range(present, present + options.weeks_ahead + 1))
    return tuple(week for week in wanted if week not in existing)


def to_remove(options: RetentionOptions, *, partitions: Iterable[PartitionFacts], now_s: float) -> Removal:
    """Return the weeks whose time is over, apart by whether anything still lives in them."""
    oldest_kept = week_of(now_s=now_s).number - options.weeks_kept
    over = sorted((facts for facts in partitions if facts.week.number < oldest_kept), key=lambda facts: facts.week)
    return Removal(
        removable=tuple(facts.week for facts in over if not _living(facts)),
        stragglers=tuple(Straggler(week=facts.week, reason=_living(facts)) for facts in over if _living(facts)),
    )


def covered_s(*, existing: Collection[Week], now_s: float) -> float:
    """Return for how many seconds from now partitions exist without a gap; 0.0 if there is none for now."""
    week = week_of(now_s=now_s)
    if week not in existing:
        return 0.0
    # Bounded by the collection: each turn finds one more of its members.
    while Week(number=week.number + 1) in existing:
        week = Week(number=week.number + 1)
    return week.ends_at_s - now_s


def is_short(*, existing: Collection[Week], now_s: float) -> bool:
    """Tell whether less than a week is left ahead, which readiness must name (DESIGN 3.2)."""
    return covered_s(existing=existing, now_s=now_s) < WEEK_S


def _living(facts: PartitionFacts) -> str:
    """Say what lives in the week, empty if nothing does."""
    counts = (
        (facts.open_runs, "open runs"),
        (facts.unknown_steps, "steps of unknown outcome"),
        (facts.undelivered_webhooks, "undelivered webhooks"),
        (facts.open_reservations, "open reservations"),
    )
    return ", ".join(f"{what}: {count}" for count, what in counts if count)
