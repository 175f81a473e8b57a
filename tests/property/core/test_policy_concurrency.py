import hypothesis
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
        sample = concurrency.Sample(
            ok=ok, overloaded=overloaded, latency_s=latency_s if ok else None, in_flight=in_flight
        )
        state = concurrency.update(options, state, sample=sample, now_s=now_s)

        assert floor <= concurrency.slots(options, state) <= floor + above


@LAW
@hypothesis.given(ceiling=st.integers(1, 1000), held=st.integers(0, 5000))
def test_room_and_held_never_exceed_the_slots_unless_they_did_before(ceiling: int, held: int) -> None:
    options = concurrency.ConcurrencyOptions(floor=1, ceiling=ceiling)

    room = concurrency.room(options, concurrency.start(options), held=held)

    assert held + room == max(held, ceiling)
