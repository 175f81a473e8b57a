import random

import hypothesis
from hypothesis import strategies as st

from heddle.core.policy import route

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)
SEEDS = st.integers(0, 2**32)


ROUTES = st.lists(
    st.builds(
        route.Route,
        endpoint=st.uuids().map(str),
        tier=st.integers(0, 3),
        weight=st.floats(0.1, 100),
        room=st.integers(0, 20),
        is_open=st.booleans(),
        full_since_s=st.none() | st.floats(80, 100),
    ),
    max_size=8,
)
OPTIONS = route.RouteOptions(fallback_after_s=5.0)


@LAW
@hypothesis.given(routes=ROUTES, ready=st.integers(0, 100), seed=SEEDS)
def test_each_row_gets_one_endpoint_within_its_room_or_waits_for_a_reason(
    routes: list[route.Route], ready: int, seed: int
) -> None:
    ranked = route.rank(routes, rng=random.Random(seed))
    room = {entry.endpoint: entry.room for entry in routes if entry.is_open}

    assigned = route.assign(OPTIONS, ranked=ranked, ready=ready, now_s=100.0)

    rows = [row for given in assigned.assignments for row in range(given.first, given.first + given.count)]
    assert rows == list(range(ready - assigned.left))
    assert all(0 < given.count <= room[given.endpoint] for given in assigned.assignments)
    assert (assigned.waiting is None) == (assigned.left == 0)


@LAW
@hypothesis.given(routes=ROUTES, ready=st.integers(0, 100), seed=SEEDS)
def test_no_row_goes_to_a_tier_while_a_higher_one_has_room(routes: list[route.Route], ready: int, seed: int) -> None:
    ranked = route.rank(routes, rng=random.Random(seed))
    by_endpoint = {entry.endpoint: entry for entry in routes}

    assigned = route.assign(OPTIONS, ranked=ranked, ready=ready, now_s=100.0)

    used = [by_endpoint[given.endpoint].tier for given in assigned.assignments]
    assert all(entry.room == 0 for entry in routes if entry.is_open and used and entry.tier < max(used))


@LAW
@hypothesis.given(routes=ROUTES, seed=SEEDS)
def test_rank_keeps_every_route_and_the_order_of_tiers(routes: list[route.Route], seed: int) -> None:
    ranked = route.rank(routes, rng=random.Random(seed))

    assert [entry.tier for entry in ranked] == sorted(entry.tier for entry in routes)
    assert sorted(entry.endpoint for entry in ranked) == sorted(entry.endpoint for entry in routes)
