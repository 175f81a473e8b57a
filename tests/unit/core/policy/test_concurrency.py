import pytest

from heddle.core.policy import concurrency

OPTIONS = concurrency.ConcurrencyOptions(floor=2, ceiling=40)
BUSY = concurrency.AdaptiveLimit(limit=20.0, base_s=1.0, knee=20.0, at_s=49.5, in_flight=20)


def sample(*, ok: int = 0, overloaded: int = 0, in_flight: int = 20, latency_s: float = 1.0) -> concurrency.Sample:
    return concurrency.Sample(ok=ok, overloaded=overloaded, latency_sum_s=ok * latency_s, in_flight=in_flight)


def updated(state: concurrency.AdaptiveLimit, *samples: concurrency.Sample) -> concurrency.AdaptiveLimit:
    for number, each in enumerate(samples):
        state = concurrency.update(OPTIONS, state, sample=each, now_s=50.0 + number)
    return state


def test_limit_starts_at_the_floor() -> None:
    assert concurrency.slots(OPTIONS, concurrency.start(OPTIONS)) == 2


@pytest.mark.parametrize(("held", "expected"), [(0, 20), (19, 1), (20, 0), (35, 0)])
def test_room_is_what_is_not_held_and_never_negative(held: int, expected: int) -> None:
    assert concurrency.room(OPTIONS, BUSY, held=held) == expected


def test_update_before_any_knee_then_it_grows_by_half() -> None:
    fresh = concurrency.AdaptiveLimit(limit=20.0)

    assert updated(fresh, sample(ok=20)).limit == 30.0


def test_update_near_the_knee_then_it_grows_slowly_and_faster_the_longer_it_is_well() -> None:
    first = updated(BUSY, sample(ok=20))
    later = updated(BUSY, *(sample(ok=40, in_flight=40) for _ in range(20)))

    assert first.limit == pytest.approx(20.23)
    assert later.limit == 40.0


def test_update_far_below_the_knee_then_it_comes_back_quickly() -> None:
    low = concurrency.AdaptiveLimit(limit=10.0, base_s=1.0, knee=20.0)

    assert updated(low, sample(ok=20, in_flight=10)).limit == 11.5


def test_update_when_it_is_not_in_use_then_unchanged() -> None:
    assert updated(BUSY, sample(ok=20, in_flight=15)).limit == 20.0


def test_update_when_slots_stand_empty_but_are_wanted_then_it_grows() -> None:
    wanted = concurrency.Sample(ok=20, overloaded=0, latency_sum_s=20.0, in_flight=9, is_full=True)

    assert updated(BUSY, wanted).limit > 20.0


def test_update_when_too_few_have_ended_then_it_waits_for_more() -> None:
    waiting = updated(BUSY, sample(ok=19))

    assert waiting.limit == 20.0
    assert updated(waiting, sample(ok=1)).limit > 20.0


def test_update_when_throttled_then_lowered_once_a_second() -> None:
    once = concurrency.update(OPTIONS, BUSY, sample=sample(overloaded=1), now_s=50.0)
    same = concurrency.update(OPTIONS, once, sample=sample(overloaded=10), now_s=50.9)
    again = concurrency.update(OPTIONS, same, sample=sample(overloaded=1), now_s=51.0)

    assert (once.limit, same.limit, again.limit) == (14.0, 14.0, pytest.approx(9.8))


def test_update_when_latency_doubles_then_halved_at_once() -> None:
    assert updated(BUSY, sample(ok=20, latency_s=2.0)).limit == pytest.approx(10.0, rel=0.01)


def test_update_when_it_is_a_little_slow_then_only_the_second_sample_counts() -> None:
    once = updated(BUSY, sample(ok=20, latency_s=1.3))

    assert once.limit == 20.0
    assert updated(once, sample(ok=20, latency_s=1.3)).limit == pytest.approx(20 / 1.3, rel=0.01)


def test_update_when_nothing_ends_while_calls_are_in_flight_then_lowered() -> None:
    # One and a half usual latencies, and six more shared among twenty calls: 1.8 s, past at the third of these.
    assert updated(BUSY, *(sample() for _ in range(2))).limit == 20.0
    assert updated(BUSY, *(sample() for _ in range(3))).limit == 14.0


def test_update_when_one_call_is_in_flight_then_it_may_be_silent_for_longer() -> None:
    assert updated(BUSY, *(sample(in_flight=1) for _ in range(7))).limit == 20.0
    assert updated(BUSY, *(sample(in_flight=1) for _ in range(8))).limit == 14.0


def test_update_when_calls_are_as_slow_with_fewer_at_once_then_it_was_no_queue_and_the_limit_is_back() -> None:
    down = updated(BUSY, *(sample(ok=20, latency_s=1.3) for _ in range(2)))
    later = concurrency.update(OPTIONS, down, sample=sample(ok=20, latency_s=1.28), now_s=53.0)

    assert down.limit == pytest.approx(20 / 1.3, rel=0.01)
    assert (later.limit, later.knee) == (20.0, 20.0)
    assert later.base_s == pytest.approx(1.29)


def test_update_when_calls_are_quick_with_fewer_at_once_then_it_was_a_queue_and_the_limit_stays_down() -> None:
    down = updated(BUSY, *(sample(ok=20, latency_s=1.3) for _ in range(2)))
    later = concurrency.update(OPTIONS, down, sample=sample(ok=20, latency_s=1.0), now_s=53.0)

    assert later.limit < 17
    assert later.base_s == pytest.approx(1.0, rel=0.01)


def test_update_when_the_limit_has_just_moved_then_calls_that_began_before_say_nothing() -> None:
    down = updated(BUSY, sample(ok=20, latency_s=2.0))

    deaf = concurrency.update(OPTIONS, down, sample=sample(ok=40, latency_s=2.0), now_s=51.9)

    assert (deaf.limit, deaf.ok) == (down.limit, 0)


def test_update_when_calls_were_quick_a_step_before_then_it_goes_back_no_further_than_there() -> None:
    grown = updated(BUSY, *(sample(ok=40, in_flight=40) for _ in range(8)))
    slow = [sample(ok=40, in_flight=40, latency_s=1.4) for _ in range(2)]

    assert updated(grown, *slow).limit == pytest.approx(0.85 * grown.limit)


def test_update_when_next_to_nothing_ends_then_lowered_though_something_does() -> None:
    trickle = sample(ok=1, latency_s=1.0)

    assert updated(BUSY, *(trickle for _ in range(4))).limit == 14.0


def test_update_when_a_quarter_ends_of_what_should_then_it_is_no_stall_yet() -> None:
    assert updated(BUSY, *(sample(ok=5, latency_s=1.0) for _ in range(3))).limit == 20.0


def test_update_when_a_few_calls_take_twice_as_long_then_no_full_sample_is_waited_for() -> None:
    assert updated(BUSY, sample(ok=4, latency_s=2.5)).limit == 20.0
    assert updated(BUSY, sample(ok=5, latency_s=2.5)).limit == pytest.approx(10.0, rel=0.01)


def test_update_when_nothing_is_in_flight_then_silence_is_no_stall() -> None:
    assert updated(BUSY, *(sample(in_flight=0) for _ in range(60))).limit == 20.0


def test_update_when_calls_are_slow_at_the_floor_then_that_becomes_normal() -> None:
    state = concurrency.AdaptiveLimit(limit=2.0, base_s=1.0, knee=2.0)

    state = updated(state, *(sample(ok=20, latency_s=5.0, in_flight=40) for _ in range(60)))

    assert state.limit > 2.0


def test_slots_when_the_ceiling_was_lowered_then_kept_at_once() -> None:
    lowered = concurrency.ConcurrencyOptions(floor=1, ceiling=5)

    assert concurrency.slots(lowered, BUSY) == 5


def test_sample_when_a_time_is_negative_then_refused() -> None:
    with pytest.raises(ValueError, match=r"latency_sum_s is -1\.0"):
        concurrency.Sample(ok=1, overloaded=1, latency_sum_s=-1.0, in_flight=1)


def test_options_when_the_floor_is_above_the_ceiling_then_named() -> None:
    with pytest.raises(ValueError, match=r"floor is 9; it must be from 1 to 8 \(slots\)"):
        concurrency.ConcurrencyOptions(floor=9, ceiling=8)
