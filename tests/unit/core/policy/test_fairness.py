import random
from collections import Counter

import pytest

from heddle.core import run
from heddle.core.policy import fairness

OPTIONS = fairness.FairnessOptions(tenants_max=16, price_floor_nano_usd=1_000)
INTERACTIVE, STANDARD, BATCH = run.Priority.INTERACTIVE, run.Priority.STANDARD, run.Priority.BATCH


def tenant(
    name: str, *, weight: int = 1, v: int = 0, steps: int = 100, price_nano_usd: int = 6_000
) -> fairness.LaneTenant:
    return fairness.LaneTenant(tenant=name, weight=weight, v=v, prices_nano_usd=(price_nano_usd,) * steps)


def test_pick_takes_turns_between_equals() -> None:
    picks = fairness.pick(OPTIONS, tenants=[tenant("acme"), tenant("bolt")], places=4)

    assert picks.tenants == ("acme", "bolt", "acme", "bolt")


def test_pick_gives_twice_the_weight_twice_the_service() -> None:
    picks = fairness.pick(OPTIONS, tenants=[tenant("acme", weight=2), tenant("bolt")], places=30)

    assert Counter(picks.tenants) == {"acme": 20, "bolt": 10}


def test_pick_gives_cheap_steps_more_turns_for_the_same_money() -> None:
    tenants = [tenant("acme", price_nano_usd=2_000), tenant("bolt", price_nano_usd=6_000)]

    picks = fairness.pick(OPTIONS, tenants=tenants, places=40)

    assert Counter(picks.tenants) == {"acme": 30, "bolt": 10}


def test_pick_charges_price_over_weight_rounded_up() -> None:
    picks = fairness.pick(OPTIONS, tenants=[tenant("acme", weight=7, v=100)], places=1)

    assert picks.clocks == {"acme": 100 + 858}


def test_pick_charges_a_free_step_the_floor() -> None:
    picks = fairness.pick(OPTIONS, tenants=[tenant("acme", price_nano_usd=0)], places=1)

    assert picks.clocks == {"acme": 1_000}


def test_pick_leaves_the_clocks_of_those_it_did_not_take_from() -> None:
    picks = fairness.pick(OPTIONS, tenants=[tenant("acme"), tenant("bolt", v=99_999)], places=2)

    assert picks.clocks == {"acme": 12_000}


def test_pick_when_one_tenant_runs_dry_then_the_others_get_the_places() -> None:
    picks = fairness.pick(OPTIONS, tenants=[tenant("acme", steps=1), tenant("bolt")], places=5)

    assert Counter(picks.tenants) == {"acme": 1, "bolt": 4}


def test_pick_looks_only_at_the_lowest_clocks() -> None:
    options = fairness.FairnessOptions(tenants_max=2)

    picks = fairness.pick(options, tenants=[tenant("acme", v=3), tenant("bolt", v=1), tenant("cord", v=2)], places=100)

    assert set(picks.tenants) == {"bolt", "cord"}


@pytest.mark.parametrize(("v", "lane_v", "expected"), [(5, 90, 90), (120, 90, 120), (5, None, 5)])
def test_restart_earns_nothing_from_idleness_and_forgives_nothing(v: int, lane_v: int | None, expected: int) -> None:
    assert fairness.restart(v=v, lane_v=lane_v) == expected


def test_share_when_all_classes_are_backlogged_then_in_proportion() -> None:
    waiting = {INTERACTIVE: 1000, STANDARD: 1000, BATCH: 1000}

    given = fairness.share_places(waiting=waiting, places=21, rng=random.Random(7))

    assert given == {INTERACTIVE: 16, STANDARD: 4, BATCH: 1}


def test_share_when_the_top_class_needs_little_then_the_next_gets_the_rest() -> None:
    waiting = {INTERACTIVE: 2, STANDARD: 1000, BATCH: 1000}

    given = fairness.share_places(waiting=waiting, places=21, rng=random.Random(7))

    assert given == {INTERACTIVE: 2, STANDARD: 18, BATCH: 1}


def test_share_when_a_worker_has_one_place_then_batch_still_gets_its_turns() -> None:
    rng = random.Random(7)
    waiting = {INTERACTIVE: 1000, STANDARD: 1000, BATCH: 1000}

    turns = [fairness.share_places(waiting=waiting, places=1, rng=rng)[BATCH] for _ in range(2100)]

    assert 60 < sum(turns) < 150


def test_pick_when_a_tenant_is_named_twice_then_refused() -> None:
    with pytest.raises(ValueError, match="names one tenant twice"):
        fairness.pick(OPTIONS, tenants=[tenant("acme"), tenant("acme")], places=1)


def test_tenant_when_the_weight_is_out_of_range_then_named() -> None:
    with pytest.raises(ValueError, match=r"weight is 0; it must be from 1 to 1000 \(weight\)"):
        tenant("acme", weight=0)
