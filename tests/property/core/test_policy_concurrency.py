import dataclasses
import heapq
import random
import statistics

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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Take ``base_s`` for a call, give or take ``noise``, and the longer the more than ``capacity`` are open."""

    capacity: int
    base_s: float
    thrash: float
    noise: float

    def mean_s(self, in_flight: int) -> float:
        return self.base_s * max(1.0, in_flight / self.capacity) ** self.thrash

    def best(self, ceiling: int) -> float:
        """Give the calls a second of the best fixed limit."""
        return max(slots / self.mean_s(slots) for slots in range(1, ceiling + 1))


LEARN_LATENCIES, MEASURE_LATENCIES, LOOK_S = 40, 100, 0.5


def lived(service: Service, *, seed: int, drop_to: int | None = None) -> tuple[float, float]:
    """Let calls come and go under the law, call by call; give the share of the best goodput, and after how many
    seconds it backed off when the capacity dropped.
    """
    options, rng = concurrency.ConcurrencyOptions(floor=2, ceiling=64), random.Random(seed)
    state, ends, done, now_s, look_s = concurrency.start(options), list[tuple[float, float]](), 0, 0.0, LOOK_S
    learnt_s = max(10.0, LEARN_LATENCIES * service.base_s)
    drop_s = learnt_s + max(20.0, MEASURE_LATENCIES * service.base_s)
    ok, latency_sum_s, before = 0, 0.0, 0
    while True:
        while len(ends) < concurrency.slots(options, state):
            took_s = service.mean_s(len(ends) + 1) * max(0.2, rng.gauss(1, service.noise))
            heapq.heappush(ends, (now_s + took_s, took_s))
        if ends[0][0] <= look_s:
            now_s, took_s = heapq.heappop(ends)
            ok, latency_sum_s, done = ok + 1, latency_sum_s + took_s, done + (learnt_s <= now_s < drop_s)
            continue
        now_s, look_s = look_s, look_s + LOOK_S
        sample = concurrency.Sample(ok=ok, overloaded=0, latency_sum_s=latency_sum_s, in_flight=len(ends), is_full=True)
        state, ok, latency_sum_s = concurrency.update(options, state, sample=sample, now_s=now_s), 0, 0.0
        if now_s < drop_s:
            before = concurrency.slots(options, state)
        elif drop_to is None or concurrency.slots(options, state) < before:
            return done / (drop_s - learnt_s) / service.best(64), now_s - drop_s
        else:
            service = dataclasses.replace(service, capacity=drop_to)


@pytest.mark.parametrize(
    ("capacity", "base_s", "thrash"),
    [(8, 0.3, 1.5), (8, 0.3, 1.0), (8, 0.05, 1.5), (40, 0.1, 2.0), (8, 2.0, 1.5), (30, 1.0, 1.5)],
)
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_update_when_calls_vary_by_themselves_then_nine_tenths_of_the_best_are_reached_all_the_same(
    capacity: int, base_s: float, thrash: float, noise: float
) -> None:
    service = Service(capacity=capacity, base_s=base_s, thrash=thrash, noise=noise)

    shares = [lived(service, seed=seed)[0] for seed in range(5)]

    assert statistics.median(shares) >= 0.9
    assert min(shares) >= 0.65


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_update_when_a_quick_service_slows_then_most_often_it_backs_off_within_two_seconds(noise: float) -> None:
    service = Service(capacity=8, base_s=0.3, thrash=1.5, noise=noise)

    waits_s = [lived(service, seed=seed, drop_to=2)[1] for seed in range(9)]

    assert statistics.median(waits_s) <= 2.0
    assert max(waits_s) <= 2.0 + LOOK_S
