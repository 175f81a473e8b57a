"""A tier is shared by what the model's owner wants most: the best route gets all but a share for exploring."""

import dataclasses

import pytest

from heddle.core.policy import objective
from heddle.core.policy.objective import Candidate, Objective, Shared

OPTIONS = objective.ObjectiveOptions()
CHEAP = Candidate(
    endpoint_id=1, weight=1, price_nano_usd=10, tried=100, bad=1, cost_per_accepted_nano_usd=10, latency_p95_s=8.0
)
DEAR = Candidate(
    endpoint_id=2, weight=1, price_nano_usd=40, tried=100, bad=1, cost_per_accepted_nano_usd=40, latency_p95_s=2.0
)


def shared(wanted: Objective, *candidates: Candidate) -> Shared:
    found = objective.share(OPTIONS, wanted, candidates)
    assert found is not None
    return found


def but(each: Candidate, **changes: object) -> Candidate:
    return dataclasses.replace(each, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("wanted", "best"), [(Objective.CHEAPEST, 1), (Objective.FASTEST, 2)])
def test_share_when_one_route_is_better_then_it_gets_all_but_what_is_for_exploring(
    wanted: Objective, best: int
) -> None:
    found = shared(wanted, CHEAP, DEAR)

    assert found.best == {best}
    assert found.weights[best] == pytest.approx(0.95)
    assert sum(found.weights.values()) == pytest.approx(1.0)


def test_share_when_the_cheap_route_is_slower_than_allowed_then_it_is_not_the_cheapest() -> None:
    found = shared(Objective.CHEAPEST, but(CHEAP, latency_max_s=5.0), but(DEAR, latency_max_s=5.0))

    assert (found.best, found.slow) == ({2}, {1})


def test_share_when_one_route_is_too_slow_and_nothing_is_known_of_the_other_then_the_other_is_tried() -> None:
    slow = but(CHEAP, latency_max_s=5.0)

    found = shared(Objective.FASTEST, slow, but(DEAR, tried=0, bad=0, latency_p95_s=None))

    assert (found.best, found.slow) == ({2}, {1})
    assert found.weights[2] == pytest.approx(0.95)


def test_share_when_a_slow_route_is_only_just_fast_enough_again_then_it_stays_slow() -> None:
    slow = but(CHEAP, latency_max_s=5.0, was_slow=True)

    found = [shared(Objective.CHEAPEST, but(slow, latency_p95_s=p95_s), DEAR).best for p95_s in (4.8, 4.4)]

    assert found == [{2}, {1}]


def test_share_when_no_route_keeps_the_limit_then_the_fastest_is_taken() -> None:
    found = shared(Objective.CHEAPEST, but(CHEAP, latency_max_s=1.0), but(DEAR, latency_max_s=1.0))

    assert found.best == {2}


def test_share_when_the_cheap_route_fails_often_then_what_an_accepted_output_costs_counts() -> None:
    found = shared(Objective.CHEAPEST, but(CHEAP, bad=60), DEAR)

    assert found.best == {2}


def test_share_when_another_is_only_a_little_better_then_the_best_stays() -> None:
    held = but(DEAR, cost_per_accepted_nano_usd=10.5, is_best=True)

    assert shared(Objective.CHEAPEST, CHEAP, held).best == {2}
    assert shared(Objective.CHEAPEST, CHEAP, but(held, cost_per_accepted_nano_usd=11.5)).best == {1}


def test_share_when_two_are_alike_then_they_share_by_their_weights() -> None:
    found = shared(Objective.FASTEST, but(CHEAP, latency_p95_s=2.0, weight=3), DEAR)

    assert found.weights == {1: pytest.approx(0.75), 2: pytest.approx(0.25)}


def test_share_when_few_calls_failed_of_few_then_many_that_mostly_did_not_are_more_reliable() -> None:
    found = shared(Objective.MOST_RELIABLE, but(CHEAP, tried=20, bad=0), but(DEAR, tried=2_000, bad=20))

    assert found.best == {2}


def test_share_when_outcomes_are_often_unknown_then_it_is_less_reliable() -> None:
    found = shared(Objective.MOST_RELIABLE, but(CHEAP, ambiguous=10), but(DEAR, bad=3))

    assert found.best == {2}


@pytest.mark.parametrize("wanted", [Objective.FASTEST, Objective.MOST_RELIABLE])
def test_share_when_nothing_was_measured_then_the_weights_of_the_file_count(wanted: Objective) -> None:
    unknown = [but(each, tried=0, bad=0, latency_p95_s=None) for each in (CHEAP, DEAR)]

    assert objective.share(OPTIONS, wanted, unknown) is None


def test_share_when_the_best_is_closed_then_the_next_is_the_best() -> None:
    assert shared(Objective.CHEAPEST, but(CHEAP, is_open=False), DEAR).best == {2}


@pytest.mark.parametrize(("is_open", "rest"), [(True, 1e-5), (False, 0.01)])
def test_share_when_nothing_is_for_exploring_then_the_others_still_are_routes(is_open: bool, rest: float) -> None:
    options = objective.ObjectiveOptions(explore=0.0)

    found = objective.share(options, Objective.CHEAPEST, [but(CHEAP, is_open=is_open), DEAR])

    assert found is not None
    assert min(found.weights.values()) == pytest.approx(rest)


def test_share_when_weights_are_wanted_or_there_is_one_route_then_nothing_is_shared() -> None:
    assert objective.share(OPTIONS, Objective.WEIGHTS, [CHEAP, DEAR]) is None
    assert objective.share(OPTIONS, Objective.CHEAPEST, [CHEAP]) is None


@pytest.mark.parametrize("field", ["explore", "samples", "lead", "tie", "failures_max", "slow_lead", "z"])
def test_options_when_one_is_out_of_range_then_it_is_named(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is -1"):
        objective.ObjectiveOptions(**{field: -1})
