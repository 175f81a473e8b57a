import pytest

from heddle.core.policy import ratelimit

SECOND_US = 1_000_000
NOW_US = 1_800_000_000 * SECOND_US
FRESH = ratelimit.Bucket()


@pytest.mark.parametrize(("limit_per_min", "expected"), [(1, 1), (59, 1), (60, 1), (600, 6), (60_000, 501)])
def test_burst_by_default_is_one_and_half_a_seconds_rate(limit_per_min: int, expected: int) -> None:
    assert ratelimit.RateLimit(limit_per_min=limit_per_min).burst_units == expected


def test_available_when_fresh_then_the_burst() -> None:
    assert ratelimit.available(ratelimit.RateLimit(limit_per_min=600), FRESH, now_us=NOW_US) == 6


def test_take_when_there_is_room_then_charges_it() -> None:
    limit = ratelimit.RateLimit(limit_per_min=600)

    bucket, answer = ratelimit.take(limit, FRESH, units=4, now_us=NOW_US)

    assert answer == ratelimit.Taken()
    assert ratelimit.available(limit, bucket, now_us=NOW_US) == 2


def test_take_when_empty_then_names_the_instant_at_which_it_goes() -> None:
    limit = ratelimit.RateLimit(limit_per_min=60, burst=1)
    emptied, _ = ratelimit.take(limit, FRESH, units=1, now_us=NOW_US)

    unchanged, answer = ratelimit.take(limit, emptied, units=1, now_us=NOW_US + 1)

    assert answer == ratelimit.NotYet(retry_at_us=NOW_US + SECOND_US)
    assert unchanged == emptied


def test_take_when_larger_than_the_bucket_and_full_then_charged_whole() -> None:
    limit = ratelimit.RateLimit(limit_per_min=60, burst=2)

    bucket, answer = ratelimit.take(limit, FRESH, units=10, now_us=NOW_US)

    assert answer == ratelimit.Taken()
    assert bucket.full_at_us == NOW_US + 10 * SECOND_US


def test_take_when_larger_than_the_bucket_and_not_full_then_waits_until_it_is() -> None:
    limit = ratelimit.RateLimit(limit_per_min=60, burst=2)
    used, _ = ratelimit.take(limit, FRESH, units=1, now_us=NOW_US)

    _, answer = ratelimit.take(limit, used, units=10, now_us=NOW_US)

    assert answer == ratelimit.NotYet(retry_at_us=NOW_US + SECOND_US)


def test_correct_when_less_was_used_then_gives_the_rest_back() -> None:
    limit = ratelimit.RateLimit(limit_per_min=60_000)
    charged, _ = ratelimit.take(limit, FRESH, units=500, now_us=NOW_US)

    settled = ratelimit.correct(limit, charged, estimated_units=500, actual_units=400)

    assert ratelimit.available(limit, settled, now_us=NOW_US) == 101


def test_correct_when_more_was_used_then_charges_beyond_the_burst() -> None:
    limit = ratelimit.RateLimit(limit_per_min=60, burst=2)
    charged, _ = ratelimit.take(limit, FRESH, units=1, now_us=NOW_US)

    settled = ratelimit.correct(limit, charged, estimated_units=1, actual_units=5)

    assert settled.full_at_us == NOW_US + 5 * SECOND_US


@pytest.mark.parametrize(("remaining_units", "expected"), [(0, 0), (3, 3), (500, 6)])
def test_provider_can_lower_what_is_left(remaining_units: int, expected: int) -> None:
    limit = ratelimit.RateLimit(limit_per_min=600)

    bucket = ratelimit.observe_remaining(limit, FRESH, remaining_units=remaining_units, now_us=NOW_US)

    assert ratelimit.available(limit, bucket, now_us=NOW_US) == expected


def test_provider_cannot_raise_what_is_left() -> None:
    limit = ratelimit.RateLimit(limit_per_min=600)
    emptied, _ = ratelimit.take(limit, FRESH, units=6, now_us=NOW_US)

    assert ratelimit.observe_remaining(limit, emptied, remaining_units=6, now_us=NOW_US) == emptied


@pytest.mark.parametrize(("after_us", "expected"), [(0, 0), (29_999_999, 0), (30_000_000, 1), (30_100_000, 2)])
def test_freeze_grants_nothing_before_its_end_and_then_fills_from_empty(after_us: int, expected: int) -> None:
    limit = ratelimit.RateLimit(limit_per_min=600)

    frozen = ratelimit.freeze(limit, FRESH, until_us=NOW_US + 30 * SECOND_US)

    assert ratelimit.available(limit, frozen, now_us=NOW_US + after_us) == expected


def test_take_when_no_unit_is_asked_then_refused() -> None:
    with pytest.raises(ValueError, match="units is 0"):
        ratelimit.take(ratelimit.RateLimit(limit_per_min=60), FRESH, units=0, now_us=NOW_US)


def test_limit_when_out_of_range_then_named() -> None:
    with pytest.raises(ValueError, match=r"limit_per_min is 0; it must be from 1 to 1000000000 \(units/min\)"):
        ratelimit.RateLimit(limit_per_min=0)
