"""What a schedule starts when it was on time, and what its policy makes of times that were missed."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heddle.core.policy import cron, schedule

UTC = datetime.UTC
NOON = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOURLY = cron.parse("@hourly")


def decide(
    catch_up: schedule.CatchUp, *, behind_h: float, past_s: float = 1.0, catch_up_max: int = 100
) -> schedule.Firing:
    """Decide at noon and a little, for an hourly schedule that was last seen so many hours ago."""
    return schedule.due(
        when=HOURLY,
        zone=UTC,
        catch_up=catch_up,
        catch_up_max=catch_up_max,
        next_at=NOON - datetime.timedelta(hours=behind_h),
        now=NOON + datetime.timedelta(seconds=past_s),
        late_s=60.0,
    )


@pytest.mark.parametrize("catch_up", schedule.CatchUp)
def test_due_when_it_is_on_time_then_one_run_is_started_whatever_the_policy(catch_up: schedule.CatchUp) -> None:
    assert decide(catch_up, behind_h=0) == schedule.Firing(
        times=(NOON,), missed=0, next_at=NOON + datetime.timedelta(hours=1)
    )


@pytest.mark.parametrize("catch_up", schedule.CatchUp)
def test_due_when_its_time_has_not_come_then_nothing_is(catch_up: schedule.CatchUp) -> None:
    assert decide(catch_up, behind_h=-1).times == ()


@pytest.mark.parametrize(
    ("catch_up", "hours", "missed"),
    [(schedule.CatchUp.SKIP, [], 4), (schedule.CatchUp.LAST, [12], 3), (schedule.CatchUp.ALL, [9, 10, 11, 12], 0)],
)
def test_due_when_times_were_missed_then_the_policy_says_which_are_started(
    catch_up: schedule.CatchUp, hours: list[int], missed: int
) -> None:
    found = decide(catch_up, behind_h=3, past_s=600)

    assert [time.hour for time in found.times] == hours
    assert found.missed == missed
    assert found.next_at.hour == 13


def test_due_when_all_are_started_then_the_newest_of_them_up_to_the_bound() -> None:
    found = decide(schedule.CatchUp.ALL, behind_h=10, past_s=600, catch_up_max=3)

    assert [time.hour for time in found.times] == [10, 11, 12]
    assert found.missed == 8


def test_due_when_ten_years_were_missed_then_the_work_and_the_count_are_bounded() -> None:
    found = decide(schedule.CatchUp.ALL, behind_h=24 * 3_650, past_s=600, catch_up_max=1_000)

    assert len(found.times) + found.missed == schedule.CATCH_UP_MOST


@given(
    behind_h=st.integers(0, 500),
    past_s=st.floats(0, 3_599),
    catch_up=st.sampled_from(schedule.CatchUp),
    catch_up_max=st.integers(1, 1_000),
)
def test_due_then_times_ascend_are_within_the_window_and_the_next_is_after_now(
    behind_h: int, past_s: float, catch_up: schedule.CatchUp, catch_up_max: int
) -> None:
    found = decide(catch_up, behind_h=behind_h, past_s=past_s, catch_up_max=catch_up_max)

    assert list(found.times) == sorted(set(found.times))
    assert all(NOON - datetime.timedelta(hours=behind_h) <= time <= NOON for time in found.times)
    assert len(found.times) <= max(1, catch_up_max)
    assert len(found.times) + found.missed == behind_h + 1
    assert found.next_at == NOON + datetime.timedelta(hours=1)


class Asked(datetime.tzinfo):
    """Stand an hour east, and count how often the clock is asked."""

    def __init__(self) -> None:
        self.count = 0

    def utcoffset(self, _when: datetime.datetime | None) -> datetime.timedelta:
        self.count += 1
        return datetime.timedelta(hours=1)

    def dst(self, _when: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(0)


@pytest.mark.parametrize("text", ["* 0-22 * * *", "*/5 8-18 * * mon-fri", "*/5 * * * *"])
def test_due_when_a_thousand_times_were_missed_then_they_are_found_in_one_walk(text: str) -> None:
    zone = Asked()

    found = schedule.due(
        when=cron.parse(text),
        zone=zone,
        catch_up=schedule.CatchUp.LAST,
        catch_up_max=100,
        next_at=NOON - datetime.timedelta(days=90),
        now=NOON,
        late_s=60.0,
    )

    assert len(found.times) + found.missed == schedule.CATCH_UP_MOST
    assert zone.count < 20 * schedule.CATCH_UP_MOST
