import random

import hypothesis
from hypothesis import strategies as st

from heddle.core import run
from heddle.core.policy import fairness

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)
SEEDS = st.integers(0, 2**32)


OPTIONS = fairness.FairnessOptions(price_floor_nano_usd=1_000)
TENANTS = st.lists(
    st.tuples(st.integers(1, 100), st.lists(st.integers(0, 10**6), min_size=1, max_size=30)), min_size=1, max_size=8
)


@LAW
@hypothesis.given(tenants=TENANTS, places=st.integers(0, 100))
def test_service_between_backlogged_tenants_differs_by_less_than_one_step_of_each(
    tenants: list[tuple[int, list[int]]], places: int
) -> None:
    lane = [
        fairness.LaneTenant(tenant=f"tenant-{index}", weight=weight, v=0, prices_nano_usd=tuple(prices))
        for index, (weight, prices) in enumerate(tenants)
    ]

    picks = fairness.pick(OPTIONS, tenants=lane, places=places)

    backlogged = [entry for entry in lane if picks.tenants.count(entry.tenant) < len(entry.prices_nano_usd)]
    clocks = [picks.clocks.get(entry.tenant, 0) for entry in backlogged]
    dearest = max(
        fairness.charge(OPTIONS, price_nano_usd=price, weight=entry.weight)
        for entry in lane
        for price in entry.prices_nano_usd
    )
    assert max(clocks, default=0) - min(clocks, default=0) <= dearest
    assert len(picks.tenants) == min(places, sum(len(prices) for _, prices in tenants))


@LAW
@hypothesis.given(
    waiting=st.dictionaries(st.sampled_from(run.Priority), st.integers(0, 200)), places=st.integers(0, 200), seed=SEEDS
)
def test_share_fills_every_place_it_can_and_keeps_every_floor(
    waiting: dict[run.Priority, int], places: int, seed: int
) -> None:
    given = fairness.share_places(waiting=waiting, places=places, rng=random.Random(seed))

    total = sum(run.CLASS_SHARE[priority] for priority, count in waiting.items() if count)
    assert sum(given.values()) == min(places, sum(waiting.values()))
    assert all(given[priority] <= waiting.get(priority, 0) for priority in run.Priority)
    assert all(
        given[priority] >= min(count, places * run.CLASS_SHARE[priority] // total - 1)
        for priority, count in waiting.items()
        if count
    )


@LAW
@hypothesis.given(v=st.integers(0, 10**12), lane_v=st.none() | st.integers(0, 10**12))
def test_restart_never_moves_a_clock_back_or_behind_the_lane(v: int, lane_v: int | None) -> None:
    restarted = fairness.restart(v=v, lane_v=lane_v)

    assert restarted >= v
    assert restarted >= (lane_v or 0)
