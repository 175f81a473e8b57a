import random

import hypothesis
import pytest
from hypothesis import strategies as st

from heddle.core.policy import concurrency

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)


SAMPLES = st.lists(
    st.tuples(st.floats(0, 5), st.integers(0, 50), st.integers(0, 3), st.floats(0, 100), st.integers(0, 200)),
    max_size=60,
)


@LAW
@hypothesis.given(floor=st.integers(1, 50), above=st.integers(0, 100), samples=SAMPLES)
def test_slots_stay_between_floor_and_ceiling(
    floor: int, above: int, samples: list[tuple[float, int, int, float, int]]
) -> None:
    options = concurrency.ConcurrencyOptions(floor=floor, ceiling=floor + above)
    state, now_s = concurrency.start(options), 0.0

    for pause_s, ok, overloaded, latency_s, in_flight in samples:
        now_s += pause_s
        sample = concurrency.Sample(ok=ok, overloaded=overloaded, latency_sum_s=ok * latency_s, in_flight=in_flight)
        state = concurrency.update(options, state, sample=sample, now_s=now_s)

        assert floor <= concurrency.slots(options, state) <= floor + above


@LAW
@hypothesis.given(ceiling=st.integers(1, 1000), held=st.integers(0, 5000))
def test_room_and_held_never_exceed_the_slots_unless_they_did_before(ceiling: int, held: int) -> None:
    options = concurrency.ConcurrencyOptions(floor=ceiling, ceiling=ceiling)

    room = concurrency.room(options, concurrency.start(options), held=held)

    assert held + room == max(held, ceiling)


def _done_in_half_a_second(in_flight: int, *, capacity: int, base_s: float, thrash: float) -> tuple[int, float]:
    """Give calls done and their mean latency of a service that does ``capacity`` at once and less the more wait."""
    latency_s = base_s * max(1.0, in_flight / capacity) ** thrash
    return int(0.5 * in_flight / latency_s), latency_s


@pytest.mark.parametrize(
    ("capacity", "base_s", "thrash"), [(8, 0.05, 1.0), (8, 0.05, 1.5), (40, 0.1, 2.0), (16, 0.1, 1.3)]
)
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_update_when_a_service_has_a_knee_then_nine_tenths_of_the_best_are_reached(
    capacity: int, base_s: float, thrash: float, noise: float
) -> None:
    options = concurrency.ConcurrencyOptions(floor=2, ceiling=200)
    state, rng, done = concurrency.start(options), random.Random(3), 0

    for step in range(400):
        in_flight = concurrency.slots(options, state)
        ok, latency_s = _done_in_half_a_second(in_flight, capacity=capacity, base_s=base_s, thrash=thrash)
        done += ok if step >= 100 else 0
        sample = concurrency.Sample(
            ok=ok, overloaded=0, latency_sum_s=ok * latency_s * max(0.1, rng.gauss(1, noise)), in_flight=in_flight
        )
        state = concurrency.update(options, state, sample=sample, now_s=step * 0.5)

    best, _ = _done_in_half_a_second(capacity, capacity=capacity, base_s=base_s, thrash=thrash)
    assert done >= 0.9 * best * 300


def test_update_when_the_service_slows_then_it_backs_off_within_two_seconds() -> None:
    options = concurrency.ConcurrencyOptions(floor=2, ceiling=200)
    state, limits = concurrency.start(options), []

    for step in range(204):
        in_flight = concurrency.slots(options, state)
        ok, latency_s = _done_in_half_a_second(in_flight, capacity=32 if step < 200 else 8, base_s=0.1, thrash=1.5)
        sample = concurrency.Sample(ok=ok, overloaded=0, latency_sum_s=ok * latency_s, in_flight=in_flight)
        state = concurrency.update(options, state, sample=sample, now_s=step * 0.5)
        limits.append(in_flight)

    assert limits[199] >= 26
    assert concurrency.slots(options, state) <= 16
