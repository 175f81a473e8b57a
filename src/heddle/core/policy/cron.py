"""Read cron expressions and find the times they name, in a time zone whose clocks are put forward and back.

Five fields, as in POSIX crontab(5): minute, hour, day of the month, month, day of the week; lists, ranges, steps, the
names of months and days, and the words ``@hourly``, ``@daily``, ``@weekly``, ``@monthly``, ``@yearly``. When both days
are named, either will do, as in every cron. Pure: the zone is handed in. What is asked when clocks change:

- A local time that does not exist (02:30 where 02:00 is followed by 03:00) is meant for the moment the clock jumps to;
  several such times are that one moment, once.
- A local time that comes twice is meant once, the first time.
- An expression for every hour follows the elapsed time instead: it passes over what does not exist and takes what
  comes twice twice.

An expression that names no time at all (31 February) is refused. Neighbours: ``schedule`` decides what to start.
"""

import calendar
import dataclasses
import datetime
import re
from collections.abc import Iterator

UTC = datetime.UTC
# The 29th of February is at most eight years away (1896 to 1904, 2096 to 2104).
_HORIZON_DAYS = 8 * 366 + 2
# No clock was ever put back by more than a day.
_OVERLAP = datetime.timedelta(hours=25)
_MINUTE = datetime.timedelta(minutes=1)
_DAY = datetime.timedelta(days=1)
_TERM = re.compile(r"(?:\*|(?P<low>[0-9A-Za-z]{1,3})(?:-(?P<high>[0-9A-Za-z]{1,3}))?)(?:/(?P<every>[0-9]{1,3}))?\Z")
_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_CHARACTERS_MAX = 200


class CronRefused(ValueError):
    """Say what is wrong with an expression, in a sentence that follows its name."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """Hold the values of each field, ascending; ``weekdays`` from 0 for Sunday. A day field that is ``*`` is open."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    is_day_open: bool
    is_weekday_open: bool

    @property
    def is_every_hour(self) -> bool:
        """Tell whether the expression goes by elapsed time."""
        return len(self.hours) == 24

    def has_day(self, day: datetime.date) -> bool:
        """Tell whether anything is on a day."""
        if day.month not in self.months:
            return False
        is_day, is_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.is_day_open or self.is_weekday_open:
            return is_day and is_weekday
        return is_day or is_weekday


def parse(text: str) -> Cron:
    """Read an expression. Raises CronRefused naming the field."""
    if len(text) > _CHARACTERS_MAX:
        raise CronRefused(f"has {len(text)} characters; {_CHARACTERS_MAX} are enough")
    fields = _WORDS.get(text.strip().lower(), text).split()
    if len(fields) != 5:
        raise CronRefused(
            f"is {text!r}; it must have five fields (minute, hour, day, month, weekday), or be one of "
            f"{', '.join(_WORDS)}"
        )
    minute, hour, day, month, weekday = fields
    found = Cron(
        minutes=_field("minute", minute, 0, 59, {}),
        hours=_field("hour", hour, 0, 23, {}),
        days=_field("day", day, 1, 31, {}),
        months=_field("month", month, 1, 12, _MONTHS),
        weekdays=tuple(sorted({value % 7 for value in _field("weekday", weekday, 0, 7, _WEEKDAYS)})),
        is_day_open=day == "*",
        is_weekday_open=weekday == "*",
    )
    longest = max(31 if number in (1, 3, 5, 7, 8, 10, 12) else 29 if number == 2 else 30 for number in found.months)
    needs_day = found.is_weekday_open or found.is_day_open
    if needs_day and found.days[0] > longest:
        raise CronRefused(f"is {text!r}, which never comes: no month of {month!r} has a day {found.days[0]}")
    return found


def _field(name: str, text: str, low: int, high: int, names: dict[str, int]) -> tuple[int, ...]:
    values: set[int] = set()
    for term in text.split(","):
        match = _TERM.match(term)
        if match is None:
            raise CronRefused(f"has the {name} {text!r}; it must be of numbers, ranges such as 1-5, steps and *")
        first, last = low, high
        if match["low"] is not None:
            first = _number(name, match["low"], low, high, names)
            last = first if match["high"] is None else _number(name, match["high"], low, high, names)
            if match["high"] is None and match["every"] is not None:
                last = high
        if first > last:
            raise CronRefused(f"has the {name} range {term!r}, which goes backwards")
        every = 1 if match["every"] is None else int(match["every"])
        if every == 0:
            raise CronRefused(f"has the {name} step {term!r}; a step is 1 or more")
        values.update(range(first, last + 1, every))
    return tuple(sorted(values))


def _number(name: str, text: str, low: int, high: int, names: dict[str, int]) -> int:
    value = names.get(text.lower())
    if value is None:
        if not text.isascii() or not text.isdigit():
            raise CronRefused(f"has the {name} {text!r}, which is no number" + (" and no name" if names else ""))
        value = int(text)
    if not low <= value <= high:
        raise CronRefused(f"has the {name} {value}; it must be from {low} to {high}")
    return value


def next_after(cron: Cron, at: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    """Give the first time after ``at`` (aware), in UTC."""
    found = _next_by_clock(cron, at, zone) if cron.is_every_hour else _next_by_wall(cron, at, zone)
    assert found is not None, "an expression that names no time is refused when it is read"
    return found


def back_from(cron: Cron, at: datetime.datetime, zone: datetime.tzinfo) -> Iterator[datetime.datetime]:
    """Give the times that are not after ``at`` (aware), in UTC, the latest first, at most eight years back.

    It is one walk, however many are taken: each costs as much as the minutes and days that were passed over for it.
    """
    found = _back_by_clock(cron, at, zone) if cron.is_every_hour else _back_by_wall(cron, at, zone)
    before: datetime.datetime | None = None
    for moment in found:
        # Several wall times in a gap are one moment.
        if moment != before:
            before = moment
            yield moment


def last_until(cron: Cron, at: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    """Give the last time that is not after ``at`` (aware), in UTC."""
    found = next(back_from(cron, at, zone), None)
    assert found is not None, "an expression that names no time is refused when it is read"
    return found


def _days(first: datetime.date, step: int) -> Iterator[datetime.date]:
    for offset in range(_HORIZON_DAYS):
        yield first + datetime.timedelta(days=step * offset)


def _next_by_wall(cron: Cron, at: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime | None:
    # The moment a wall time is meant for never goes back as the wall time goes on, so the first one found is the first.
    wall = at.astimezone(zone).replace(tzinfo=None)
    for day in _days(wall.date(), 1):
        if not cron.has_day(day):
            continue
        for hour in cron.hours:
            for minute in cron.minutes:
                meant = datetime.datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - a wall time
                if meant > wall and (moment := instant(meant, zone)) > at:
                    return moment
    return None


def _back_by_wall(cron: Cron, at: datetime.datetime, zone: datetime.tzinfo) -> Iterator[datetime.datetime]:
    wall = at.astimezone(zone).replace(tzinfo=None) + _OVERLAP
    for day in _days(wall.date(), -1):
        if not cron.has_day(day):
            continue
        for hour in reversed(cron.hours):
            for minute in reversed(cron.minutes):
                meant = datetime.datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - a wall time
                if meant <= wall and (moment := instant(meant, zone)) <= at:
                    yield moment


def _next_by_clock(cron: Cron, at: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime | None:
    moment = _whole_minute(at) + _MINUTE
    for _ in range(_HORIZON_DAYS + 60 * 26):
        local = moment.astimezone(zone)
        if not cron.has_day(local.date()):
            moment = max(moment + _MINUTE, instant(_midnight(local.date() + _DAY), zone))
        elif local.minute in cron.minutes:
            return moment
        else:
            moment += _MINUTE
    return None


def _back_by_clock(cron: Cron, at: datetime.datetime, zone: datetime.tzinfo) -> Iterator[datetime.datetime]:
    moment = _whole_minute(at)
    first = moment - _DAY * _HORIZON_DAYS
    while moment > first:
        local = moment.astimezone(zone)
        if not cron.has_day(local.date()):
            moment = min(moment - _MINUTE, instant(_midnight(local.date()), zone) - _MINUTE)
            continue
        if local.minute in cron.minutes:
            yield moment
        moment -= _MINUTE


def _whole_minute(at: datetime.datetime) -> datetime.datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a wall time


def instant(wall: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    """Give the moment, in UTC, that a wall time without a zone is meant for: the first of two, the end of a gap."""
    moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    # In a gap (PEP 495): read with the offset before it the time lies after the jump, with the one after it before.
    before, after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), moment
    offset = after.astimezone(zone).utcoffset()
    while after - before > datetime.timedelta(seconds=1):
        middle = before + (after - before) / 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after
