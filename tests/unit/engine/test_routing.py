"""The leader's weights: shared by objective, less what a canary gets, and a canary that is worse is ended."""

import dataclasses
import random
import types
from typing import Any, cast

import pytest

from heddle.config import settings
from heddle.core.policy import canary, scorecard
from heddle.core.policy.scorecard import Count
from heddle.engine import parts as parts_module
from heddle.engine import routing as stage
from heddle.engine import sweep
from heddle.ports import routing

STATE = routing.CanaryState(
    state=canary.State.RUNNING, share=0.1, margin=0.05, tried=0, bad=0, baseline_tried=0, baseline_bad=0
)


def card(*, tried: int, ok: int, latency_s: float = 1.0, cost: float = 0.0) -> scorecard.Card:
    made = scorecard.Card()
    made.add(Count.TRIED, tried)
    made.add(Count.OK, ok)
    made.add(Count.COST, cost)
    made.latency[scorecard.bucket_of(latency_s)] = ok
    return made


def route(number: int, **changes: Any) -> routing.RouteFacts:
    made = routing.RouteFacts(
        model="m",
        endpoint_id=number,
        endpoint=f"e{number}",
        tier=0,
        weight=1.0,
        weight_now=None,
        is_canary=False,
        latency_max_s=None,
        objective="weights",
        price_nano_usd=10,
        is_open=True,
        canary=None,
        card=scorecard.Card(),
        card_age_s=0.0,
    )
    return dataclasses.replace(made, **changes)


def router() -> stage.Router:
    parts: Any = types.SimpleNamespace(settings=settings.Settings(), rng=random.Random(1))
    return stage.Router(cast("parts_module.Parts", parts), cast("sweep.Sweeper", None))


def weights(*routes: routing.RouteFacts, of: stage.Router | None = None) -> dict[int, float | None]:
    return {order.endpoint_id: order.weight for order in (of or router()).orders(routes)}


def test_orders_when_nothing_is_wanted_then_nothing_is_written() -> None:
    assert weights(route(1), route(2)) == {}


def test_orders_when_the_objective_changed_back_then_the_weights_of_the_file_are() -> None:
    assert weights(route(1, weight_now=0.95), route(2, weight_now=0.05)) == {1: None, 2: None}


def test_orders_when_the_cheapest_is_wanted_then_prices_decide_before_anything_was_measured() -> None:
    found = weights(route(1, objective="cheapest"), route(2, objective="cheapest", price_nano_usd=5))

    assert found == {1: 0.05, 2: 0.95}


def test_orders_when_a_route_has_next_to_no_weight_then_it_still_is_one() -> None:
    first, *others = (route(number, objective="cheapest", price_nano_usd=9 + number) for number in (1, 2, 3))

    found = weights(first, others[0], dataclasses.replace(others[1], weight=1e-6))

    assert found == {1: 0.95, 2: 0.05, 3: 1e-6}


def test_orders_when_two_leads_are_close_then_the_best_does_not_flap() -> None:
    first, second = (
        {"objective": "fastest", "card": card(tried=100, ok=100, latency_s=1.0)},
        {"objective": "fastest", "card": card(tried=100, ok=100, latency_s=1.0)},
    )
    leading = router()
    weights(route(1, **first), route(2, **{**second, "card": card(tried=100, ok=100, latency_s=2.0)}), of=leading)

    found = weights(route(1, **first, weight_now=0.95), route(2, **second, weight_now=0.05), of=leading)

    assert found == {}


def test_orders_when_a_canary_runs_then_it_gets_its_share_and_the_others_the_rest_by_weight() -> None:
    found = weights(route(1, weight=3.0), route(2), route(3, is_canary=True, canary=STATE, weight_now=0.0))

    assert found == {1: 0.675, 2: 0.225, 3: 0.1}


def test_orders_when_a_canary_has_had_too_much_then_it_pauses_and_the_others_are_as_before() -> None:
    much = dataclasses.replace(STATE, tried=300, baseline_tried=700)

    found = weights(route(1, weight_now=0.9), route(2, canary=much, weight_now=0.1))

    assert found == {1: None, 2: 0.0}


def test_orders_when_a_canary_is_all_that_is_left_of_its_tier_then_it_does_not_pause() -> None:
    much = dataclasses.replace(STATE, tried=300, baseline_tried=0)

    assert weights(route(1, canary=much, weight_now=0.0), route(2, tier=1)) == {1: 0.1}


@pytest.mark.parametrize(
    ("changes", "weight"),
    [
        ({"is_canary": True}, 0.0),
        ({"canary": dataclasses.replace(STATE, state=canary.State.ROLLED_BACK)}, 0.0),
        ({"is_canary": True, "canary": dataclasses.replace(STATE, state=canary.State.PROMOTED)}, None),
    ],
    ids=["not started", "rolled back", "promoted"],
)
def test_orders_when_a_canary_does_not_run_then_it_gets_nothing_or_its_own_weight(
    changes: dict[str, Any], weight: float | None
) -> None:
    assert weights(route(1), route(2, weight_now=0.3, **changes)) == {2: weight}


def test_verdict_when_a_canary_is_worse_then_it_says_why_and_no_other_route_has_one() -> None:
    bad = dataclasses.replace(STATE, tried=30, bad=30, baseline_tried=300)

    assert str(stage.verdict(route(1, canary=bad))).startswith("30 of its 30 calls were bad")
    assert stage.verdict(route(1)) is None
