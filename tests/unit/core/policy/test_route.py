import random

import pytest

from heddle.core.policy import route

OPTIONS = route.RouteOptions(fallback_after_s=5.0)
NOW_S = 100.0


def primary(*, room: int = 0, is_open: bool = True, full_since_s: float | None = None) -> route.Route:
    return route.Route(endpoint="primary", tier=0, weight=1, room=room, is_open=is_open, full_since_s=full_since_s)


def beside(*, room: int) -> route.Route:
    return route.Route(endpoint="beside", tier=0, weight=1, room=room)


def fallback(*, room: int = 5) -> route.Route:
    return route.Route(endpoint="fallback", tier=1, weight=1, room=room)


def counts(assigned: route.Assigned) -> dict[str, int]:
    return {assignment.endpoint: assignment.count for assignment in assigned.assignments}


@pytest.mark.parametrize(
    ("ranked", "expected"),
    [
        ([primary(room=20), fallback()], {"primary": 12}),
        ([primary(room=5), fallback()], {"primary": 5}),
        ([primary(room=5), beside(room=5)], {"primary": 5, "beside": 5}),
        ([primary(room=5), beside(room=5), fallback()], {"primary": 5, "beside": 5}),
        ([primary(full_since_s=95.0), fallback()], {}),
        ([primary(full_since_s=94.9), fallback()], {"fallback": 5}),
        ([primary(full_since_s=94.9), beside(room=1), fallback()], {"beside": 1}),
        ([primary(full_since_s=None), fallback()], {}),
        ([primary(room=20, is_open=False), fallback()], {"fallback": 5}),
        ([primary(is_open=False), fallback(room=0)], {}),
    ],
)
def test_twelve_rows_go_where_there_is_room_in_the_highest_tier_that_may_be_used(
    ranked: list[route.Route], expected: dict[str, int]
) -> None:
    assert counts(route.assign(OPTIONS, ranked=ranked, ready=12, now_s=NOW_S)) == expected


def test_rows_go_to_the_route_whose_cumulative_room_covers_them() -> None:
    assigned = route.assign(OPTIONS, ranked=[primary(room=5), beside(room=5)], ready=7, now_s=NOW_S)

    assert assigned.assignments == (
        route.Assignment(endpoint="primary", first=0, count=5),
        route.Assignment(endpoint="beside", first=5, count=2),
    )


@pytest.mark.parametrize(
    ("ranked", "waiting", "may_fall_back_at_s"),
    [
        ([], route.Waiting.NO_ROUTE, None),
        ([primary(is_open=False)], route.Waiting.CLOSED, None),
        ([primary(room=2)], route.Waiting.FULL, None),
        ([primary(full_since_s=97.0)], route.Waiting.FULL, None),
        ([primary(full_since_s=97.0), fallback()], route.Waiting.FULL, 102.0),
    ],
)
def test_rows_left_over_wait_for_a_stated_reason(
    ranked: list[route.Route], waiting: route.Waiting, may_fall_back_at_s: float | None
) -> None:
    assigned = route.assign(OPTIONS, ranked=ranked, ready=12, now_s=NOW_S)

    assert (assigned.waiting, assigned.may_fall_back_at_s) == (waiting, may_fall_back_at_s)


def test_assign_when_every_row_has_a_place_then_nothing_waits() -> None:
    assigned = route.assign(OPTIONS, ranked=[primary(room=3)], ready=3, now_s=NOW_S)

    assert (assigned.left, assigned.waiting) == (0, None)


def test_rank_puts_tiers_first_and_draws_by_weight_inside_one() -> None:
    rng = random.Random(7)
    light = route.Route(endpoint="light", tier=0, weight=1, room=1)
    heavy = route.Route(endpoint="heavy", tier=0, weight=3, room=1)

    firsts = [route.rank([fallback(), light, heavy], rng=rng)[0].endpoint for _ in range(2000)]

    assert 0.70 < firsts.count("heavy") / 2000 < 0.80
    assert firsts.count("fallback") == 0


def test_assign_when_tiers_are_out_of_order_then_refused() -> None:
    with pytest.raises(ValueError, match="higher tier number before a lower one"):
        route.assign(OPTIONS, ranked=[fallback(), primary()], ready=1, now_s=NOW_S)


def test_options_when_out_of_range_then_named() -> None:
    with pytest.raises(ValueError, match=r"fallback_after_s is -1; it must be from 0 to 86400 \(seconds\)"):
        route.RouteOptions(fallback_after_s=-1)
