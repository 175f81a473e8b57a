"""Cron times, checked against a look at every minute; and what is asked when clocks are put forward and back."""

import datetime
import itertools
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from heddle.core.policy import cron

UTC = datetime.UTC
PARIS = zoneinfo.ZoneInfo("Europe/Paris")
ZONES = [
    zoneinfo.ZoneInfo(name)
    for name in ("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
]
MINUTE = datetime.timedelta(minutes=1)
# Days around which clocks of some zone were put forward or back; on 30 December 2011 Apia had no day at all.
TURNS = [
    "2026-03-08",
    "2026-03-29",
    "2026-04-05",
    "2026-10-04",
    "2026-10-25",
    "2026-11-01",
    "2011-12-30",
    "2024-02-29",
]


def utc(text: str) -> datetime.datetime:
    """Read an instant."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(text: str, since: str, count: int, zone: datetime.tzinfo = PARIS) -> list[str]:
    """List so many times after one, as they are in UTC."""
    when, at, found = cron.parse(text), utc(since), []
    for _ in range(count):
        at = cron.next_after(when, at, zone)
        found.append(f"{at:%m-%d %H:%M}")
    return found


def every_minute(when: cron.Cron, since: datetime.datetime, zone: datetime.tzinfo, days: int) -> set[datetime.datetime]:
    """Look at every minute of some days, and say by the rules which are meant."""
    meant: set[datetime.datetime] = set()
    start = since - datetime.timedelta(days=2)
    if when.is_every_hour:
        for offset in range((days + 4) * 1_440):
            moment = start + offset * MINUTE
            local = moment.astimezone(zone)
            if when.has_day(local.date()) and local.minute in when.minutes:
                meant.add(moment)
        return meant
    # By the wall: what each wall time is meant for is found by walking over the instants that exist.
    walls: dict[datetime.datetime, datetime.datetime] = {}
    order: list[tuple[datetime.datetime, datetime.datetime]] = []
    for offset in range((days + 6) * 1_440):
        moment = start + offset * MINUTE
        wall = moment.astimezone(zone).replace(tzinfo=None)
        walls.setdefault(wall, moment)
        order.append((wall, moment))
    first = min(walls)
    for offset in range((days + 5) * 1_440):
        wall = first + offset * MINUTE
        if when.has_day(wall.date()) and wall.hour in when.hours and wall.minute in when.minutes:
            found = walls.get(wall)
            if found is None:
                found = next((moment for later, moment in order if later > wall), None)
            if found is not None:
                meant.add(found)
    return meant


values = st.one_of(
    st.just("*"),
    st.sampled_from(["*/15", "0", "30", "5,35", "1-59/7"]),
)
hours = st.one_of(st.just("*"), st.sampled_from(["0", "1", "2", "2,3", "1-3", "*/6", "23"]))


@limits(max_examples=60, deadline=None)
@given(
    minute=values,
    hour=hours,
    day=st.sampled_from(["*", "*", "29", "1,30", "*/5"]),
    weekday=st.sampled_from(["*", "*", "sun", "1-5"]),
    zone=st.sampled_from(ZONES),
    turn=st.sampled_from(TURNS),
    offset=st.integers(-1_500, 1_500),
)
def test_times_when_compared_with_a_look_at_every_minute_then_none_is_missing_and_none_is_too_many(
    minute: str, hour: str, day: str, weekday: str, zone: zoneinfo.ZoneInfo, turn: str, offset: int
) -> None:
    when = cron.parse(f"{minute} {hour} {day} * {weekday}")
    since = utc(turn) + offset * MINUTE
    until = since + datetime.timedelta(days=2)
    expected = sorted(moment for moment in every_minute(when, since, zone, days=2) if since < moment <= until)

    found, at = [], since
    while (at := cron.next_after(when, at, zone)) <= until and len(found) <= len(expected):
        found.append(at)

    assert found == expected
    backwards, at = [], until
    while (at := cron.last_until(when, at, zone)) > since and len(backwards) <= len(expected):
        backwards.append(at)
        at -= datetime.timedelta(microseconds=1)
    assert backwards[::-1] == expected
    walk = itertools.islice(cron.back_from(when, until, zone), len(expected) + 1)
    assert list(itertools.takewhile(lambda moment: moment > since, walk)) == backwards


def test_time_when_it_does_not_exist_then_it_is_the_moment_the_clock_jumps_to_once() -> None:
    assert times("30 2 * * *", "2026-03-27T12:00", 3) == ["03-28 01:30", "03-29 01:00", "03-30 00:30"]
    assert times("0,20,40 2-3 29 3 *", "2026-03-28T23:00", 4) == [
        "03-29 01:00",
        "03-29 01:20",
        "03-29 01:40",
        "03-29 02:00",
    ][:3] + times("0,20,40 2-3 29 3 *", "2026-03-29T01:40", 1)


def test_time_when_it_comes_twice_then_it_is_meant_the_first_time_only() -> None:
    assert times("30 2 * * *", "2026-10-24T12:00", 2) == ["10-25 00:30", "10-26 01:30"]


def test_time_when_it_is_every_hour_then_elapsed_time_counts_on_both_turns() -> None:
    assert times("30 * * * *", "2026-03-29T00:00", 3) == ["03-29 00:30", "03-29 01:30", "03-29 02:30"]
    assert times("30 * * * *", "2026-10-25T00:00", 3) == ["10-25 00:30", "10-25 01:30", "10-25 02:30"]


def test_time_when_a_whole_day_does_not_exist_then_it_is_the_moment_after_it() -> None:
    assert times("0 9 30 * *", "2011-12-29T12:00", 1, zoneinfo.ZoneInfo("Pacific/Apia")) == ["12-30 10:00"]


def test_time_when_it_is_the_29th_of_february_then_it_comes_also_after_eight_years() -> None:
    found = cron.next_after(cron.parse("0 0 29 2 *"), utc("2096-03-01T00:00"), UTC)

    assert found == utc("2104-02-29T00:00")


def test_days_when_both_are_named_then_either_will_do() -> None:
    assert times("0 0 13 * fri", "2026-11-01T00:00", 4, UTC) == [
        "11-06 00:00",
        "11-13 00:00",
        "11-20 00:00",
        "11-27 00:00",
    ]
    assert times("0 0 13 * 2", "2026-11-09T00:00", 3, UTC) == ["11-10 00:00", "11-13 00:00", "11-17 00:00"]


@pytest.mark.parametrize(
    ("word", "fields"), [("@hourly", "0 * * * *"), ("@weekly", "0 0 * * sun"), ("@Yearly", "0 0 1 jan *")]
)
def test_expression_when_it_is_a_word_then_it_means_its_fields(word: str, fields: str) -> None:
    assert cron.parse(word) == cron.parse(fields)


def test_weekday_when_it_is_seven_then_it_is_sunday() -> None:
    assert cron.parse("0 0 * * 7").weekdays == cron.parse("0 0 * * 0").weekdays == (0,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0 0 31 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("0 0 30 2 *", "never comes"),
        ("* * * *", "five fields"),
        ("60 * * * *", "minute 60; it must be from 0 to 59"),
        ("* 24 * * *", "hour 24"),
        ("* * 0 * *", "day 0"),
        ("* * * 13 *", "month 13"),
        ("* * * * 8", "weekday 8"),
        ("*/0 * * * *", "a step is 1 or more"),
        ("5-1 * * * *", "goes backwards"),
        ("a * * * *", "no number"),
        ("* * * foo *", "no number and no name"),
        ("1- * * * *", "it must be of numbers"),
        ("", "five fields"),
        ("* " * 200, "characters"),
    ],
)
def test_expression_when_it_is_wrong_then_the_field_is_named(text: str, told: str) -> None:
    with pytest.raises(cron.CronRefused, match=told):
        cron.parse(text)


@given(text=st.text(max_size=30))
def test_expression_when_it_is_anything_then_it_is_read_or_refused(text: str) -> None:
    try:
        found = cron.parse(text)
    except cron.CronRefused:
        return
    at = utc("2026-01-01T00:00")
    assert cron.last_until(found, cron.next_after(found, at, UTC), UTC) > at
