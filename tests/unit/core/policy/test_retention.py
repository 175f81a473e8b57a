import datetime as dt

import pytest

from heddle.core.policy import retention

OPTIONS = retention.RetentionOptions(weeks_ahead=4, weeks_kept=4)
SATURDAY_S = dt.datetime(2026, 11, 21, 21, 45, tzinfo=dt.UTC).timestamp()
PRESENT = retention.week_of(now_s=SATURDAY_S)


def week(offset: int) -> retention.Week:
    return retention.Week(number=PRESENT.number + offset)


def weeks(*offsets: int) -> set[retention.Week]:
    return {week(offset) for offset in offsets}


def test_week_begins_on_monday_at_midnight_utc() -> None:
    starts_at = dt.datetime.fromtimestamp(PRESENT.starts_at_s, tz=dt.UTC)

    assert starts_at == dt.datetime(2026, 11, 16, tzinfo=dt.UTC)


def test_boundary_belongs_to_the_week_it_begins() -> None:
    assert retention.week_of(now_s=PRESENT.ends_at_s) == week(1)


@pytest.mark.parametrize(
    ("day", "label"),
    [((2026, 11, 21), "2026w47"), ((2027, 1, 3), "2026w53"), ((2027, 1, 4), "2027w01"), ((1970, 1, 5), "1970w02")],
)
def test_week_is_labelled_by_iso_year_and_week(day: tuple[int, int, int], label: str) -> None:
    instant_s = dt.datetime(*day, 12, tzinfo=dt.UTC).timestamp()

    assert retention.week_of(now_s=instant_s).label == label


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        (weeks(), [0, 1, 2, 3, 4]),
        (weeks(0, 1, 2, 3), [4]),
        (weeks(0, 1, 3, 4), [2]),
        (weeks(-3, 0, 1, 2, 3, 4, 5), []),
    ],
)
def test_present_week_and_four_ahead_are_created(existing: set[retention.Week], expected: list[int]) -> None:
    created = retention.to_create(OPTIONS, existing=existing, now_s=SATURDAY_S)

    assert created == tuple(week(offset) for offset in expected)


def test_weeks_beyond_their_time_are_removable_oldest_first() -> None:
    partitions = [retention.PartitionFacts(week=week(offset)) for offset in (0, -4, -5, -6, 4)]

    removal = retention.to_remove(OPTIONS, partitions=partitions, now_s=SATURDAY_S)

    assert removal == retention.Removal(removable=(week(-6), week(-5)), stragglers=())


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (retention.PartitionFacts(week=week(-9), open_runs=2), "open runs: 2"),
        (retention.PartitionFacts(week=week(-9), unknown_steps=1), "steps of unknown outcome: 1"),
        (retention.PartitionFacts(week=week(-9), undelivered_webhooks=3), "undelivered webhooks: 3"),
        (
            retention.PartitionFacts(week=week(-9), open_runs=1, open_reservations=4),
            "open runs: 1, open reservations: 4",
        ),
    ],
)
def test_week_in_which_something_lives_is_kept_and_says_what(facts: retention.PartitionFacts, reason: str) -> None:
    removal = retention.to_remove(OPTIONS, partitions=[facts], now_s=SATURDAY_S)

    assert removal == retention.Removal(removable=(), stragglers=(retention.Straggler(week=week(-9), reason=reason),))


@pytest.mark.parametrize(
    ("existing", "is_short"),
    [(weeks(), True), (weeks(1, 2), True), (weeks(0), True), (weeks(0, 2, 3), True), (weeks(0, 1), False)],
)
def test_readiness_is_told_when_less_than_a_week_is_left_without_a_gap(
    existing: set[retention.Week], is_short: bool
) -> None:
    assert retention.is_short(existing=existing, now_s=SATURDAY_S) is is_short


def test_options_when_more_weeks_than_may_be_attached_then_named() -> None:
    with pytest.raises(ValueError, match=r"attached_max is 16; it must be from 17 to 60 \(partitions\)"):
        retention.RetentionOptions(weeks_ahead=4, weeks_kept=12)
