"""Where a worker begins in the queues it knows, and where it looks for others."""

from typing import Any

from heddle.store import lookout

LAG_S = lookout._LAG_S
LAST = 2**31 - 1


def known(told: dict[str, Any]) -> set[tuple[int, int, int]]:
    return set(zip(told["known_lanes"], told["known_tenants"], told["known_seqs"], strict=True))


def gaps(told: dict[str, Any]) -> list[tuple[int, int, int]]:
    return list(zip(told["gap_lanes"], told["gap_afters"], told["gap_befores"], strict=True))


def learnt() -> lookout.Lookout:
    own = lookout.Lookout()
    own.parameters([1], now_s=100.0)
    own.note([(1, 7, 30), (1, 7, 20), (1, 3, 5), (2, 7, 9)])
    return own


def test_parameters_when_nothing_was_served_then_every_lane_is_one_gap() -> None:
    told = lookout.Lookout().parameters([4, 5], now_s=0.0)

    assert known(told) == set()
    assert gaps(told) == [(4, -1, LAST), (5, -1, LAST)]


def test_parameters_when_what_was_taken_is_fresh_then_it_does_not_count_yet() -> None:
    assert known(learnt().parameters([1], now_s=100.0 + LAG_S / 2)) == set()


def test_parameters_when_it_is_old_enough_then_queues_begin_at_their_first_row_and_others_are_sought_between() -> None:
    told = learnt().parameters([1], now_s=100.0 + LAG_S)

    assert known(told) == {(1, 7, 20), (1, 3, 5)}
    assert gaps(told) == [(1, -1, 3), (1, 3, 7), (1, 7, LAST)]


def test_parameters_when_half_a_minute_is_over_then_everything_is_looked_for_from_the_beginning() -> None:
    own = learnt()
    own.parameters([1], now_s=100.0 + LAG_S)

    assert known(own.parameters([1], now_s=131.0)) == set()


def test_parameters_when_there_are_too_many_queues_then_the_rest_is_looked_for() -> None:
    own = lookout.Lookout()
    own.parameters([1], now_s=100.0)
    own.note((1, tenant_id, 1) for tenant_id in range(lookout._KNOWN_MAX + 5))

    told = own.parameters([1], now_s=100.0 + LAG_S)

    assert len(known(told)) == lookout._KNOWN_MAX
    assert gaps(told)[-1] == (1, lookout._KNOWN_MAX - 1, LAST)
