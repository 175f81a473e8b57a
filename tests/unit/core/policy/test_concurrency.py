import pytest

from heddle.core.policy import concurrency

OPTIONS = concurrency.ConcurrencyOptions(floor=2, ceiling=40)
BUSY = concurrency.AdaptiveLimit(limit=20.0, mean_latency_s=1.0)


def sample(*, ok: int = 0, overloaded: int = 0, in_flight: int = 20, latency_s: float = 1.0) -> concurrency.Sample:
    return concurrency.Sample(ok=ok, overloaded=overloaded, latency_s=latency_s if ok else None, in_flight=in_flight)


def test_limit_starts_at_the_operators_ceiling() -> None:
    assert concurrency.slots(OPTIONS, concurrency.start(OPTIONS)) == 40


@pytest.mark.parametrize(("held", "expected"), [(0, 20), (19, 1), (20, 0), (35, 0)])
def test_room_is_what_is_not_held_and_never_negative(held: int, expected: int) -> None:
    assert concurrency.room(OPTIONS, BUSY, held=held) == expected


def test_update_when_a_full_round_succeeds_then_one_more() -> None:
    assert concurrency.update(OPTIONS, BUSY, sample=sample(ok=20), now_s=50.0).limit == 21.0


def test_update_when_less_than_half_is_in_use_then_unchanged() -> None:
    assert concurrency.update(OPTIONS, BUSY, sample=sample(ok=20, in_flight=9), now_s=50.0).limit == 20.0


def test_update_when_exactly_half_is_in_use_then_it_grows() -> None:
    assert concurrency.update(OPTIONS, BUSY, sample=sample(ok=10, in_flight=10), now_s=50.0).limit == 20.5


def test_update_when_overloaded_then_a_tenth_less() -> None:
    assert concurrency.update(OPTIONS, BUSY, sample=sample(ok=19, overloaded=1), now_s=50.0).limit == 18.0


def test_update_when_one_overload_is_reported_by_many_calls_then_lowered_once() -> None:
    once = concurrency.update(OPTIONS, BUSY, sample=sample(overloaded=1), now_s=50.0)

    again = concurrency.update(OPTIONS, once, sample=sample(overloaded=10), now_s=50.9)

    assert again.limit == 18.0


def test_update_when_still_overloaded_a_second_later_then_lowered_again() -> None:
    once = concurrency.update(OPTIONS, BUSY, sample=sample(overloaded=1), now_s=50.0)

    again = concurrency.update(OPTIONS, once, sample=sample(overloaded=1), now_s=51.0)

    assert again.limit == pytest.approx(16.2)


def test_update_when_latency_doubles_then_lowered() -> None:
    assert concurrency.update(OPTIONS, BUSY, sample=sample(ok=5, latency_s=2.1), now_s=50.0).limit == 18.0


def test_update_when_latency_stays_doubled_then_it_becomes_normal() -> None:
    state = BUSY

    for second in range(200):
        state = concurrency.update(OPTIONS, state, sample=sample(ok=20, latency_s=2.1), now_s=50.0 + second)

    assert state.limit > 20.0


def test_slots_when_the_ceiling_was_lowered_then_kept_at_once() -> None:
    lowered = concurrency.ConcurrencyOptions(floor=1, ceiling=5)

    assert concurrency.slots(lowered, BUSY) == 5


def test_sample_when_a_latency_has_no_call_then_refused() -> None:
    with pytest.raises(ValueError, match=r"latency_s is 1\.0 with ok 0"):
        concurrency.Sample(ok=0, overloaded=1, latency_s=1.0, in_flight=1)


def test_options_when_the_floor_is_above_the_ceiling_then_named() -> None:
    with pytest.raises(ValueError, match=r"floor is 9; it must be from 1 to 8 \(slots\)"):
        concurrency.ConcurrencyOptions(floor=9, ceiling=8)
