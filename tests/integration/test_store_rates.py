"""Tokens, images and the provider's own word: reserved at the claim, settled to the truth, lowered at once, frozen for
everybody."""

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from heddle.config import deployment
from tests.races import fixtures, invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house
house = fixtures.house

LANE = scene.model_lane("m")


def deploy(house: scene.House, *, tokens: int | None = 100, images: int | None = None, **limits: Any) -> None:
    """Give the model ``m`` one endpoint with the scope ``one``, and an estimate of what one call uses."""
    house.deploy(
        [scene.endpoint("one")],
        [deployment.Route(model="m", endpoint="one")],
        scopes=[deployment.Scope(name="one", **limits)],
        models=[deployment.Model(name="m", tokens=tokens, images=images)],
    )


def queue(house: scene.House, count: int, *, options: dict[str, Any] | None = None) -> None:
    house.fill(lane=LANE, name="m", count=count, kind="model")
    if options is not None:
        house.connection.execute(
            "update heddle_step set options = %s where options is null and attempts = 0", (json.dumps(options),)
        )


def scope(house: scene.House, columns: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] = house.rows(f"select {columns} from heddle_limit_state where name = 'one'")[0]
    return found


def full_in_s(house: scene.House, unit: str = "tokens_tat") -> float:
    """Give the seconds until the bucket is full again."""
    return float(house.value(f"select extract(epoch from {unit} - clock_timestamp()) from heddle_limit_state"))


async def test_claim_when_tokens_are_limited_then_it_takes_what_the_bucket_holds(house: scene.House) -> None:
    deploy(house, tokens_per_min=6_000, tokens_burst=1_000, tokens=300)
    queue(house, 20)
    worker = await house.worker()

    first = await house.claim_models(worker, "m")
    second = await house.claim_models(worker, "m")

    assert (len(first), second) == (3, [])
    assert 8.5 < full_in_s(house) <= 9.0
    assert house.rows("select distinct tokens from heddle_slot") == [(300,)]


async def test_claim_when_a_call_says_its_own_estimate_then_that_counts(house: scene.House) -> None:
    deploy(house, tokens_per_min=6_000, tokens_burst=1_000, tokens=300)
    queue(house, 20, options={"tokens": 500})

    assert len(await house.claim_models(await house.worker(), "m")) == 2


async def test_claim_when_images_are_limited_too_then_the_scarcer_of_both_decides(house: scene.House) -> None:
    deploy(house, tokens_per_min=60_000, tokens_burst=10_000, images_per_min=60, images_burst=4, images=2)
    queue(house, 20)

    assert len(await house.claim_models(await house.worker(), "m")) == 2


async def test_claim_when_a_call_is_larger_than_the_bucket_then_it_goes_when_that_is_full_and_not_before(
    house: scene.House,
) -> None:
    deploy(house, tokens_per_min=6_000, tokens_burst=100, tokens=700)
    queue(house, 5)
    worker = await house.worker()

    first = await house.claim_models(worker, "m")
    early = await house.claim_models(worker, "m")
    house.connection.execute("update heddle_limit_state set tokens_tat = clock_timestamp() - interval '1 ms'")
    later = await house.claim_models(worker, "m")

    assert (len(first), early, len(later)) == (1, [], 1)


async def test_claim_when_a_large_call_is_first_in_line_then_small_ones_do_not_overtake_it(house: scene.House) -> None:
    deploy(house, tokens_per_min=6_000, tokens_burst=1_000)
    queue(house, 10)
    house.connection.execute("update heddle_step set options = '{\"tokens\": 800}' where ordinal = 3")

    claimed = await house.claim_models(await house.worker(), "m")

    assert [item.ordinal for item in claimed] == [1, 2, 3]


@pytest.mark.parametrize(("used", "left_s"), [(100, 1.0), (700, 7.0), (None, 3.0), (0, 0.0)])
async def test_settle_when_the_truth_is_known_then_the_bucket_holds_it(
    house: scene.House, used: int | None, left_s: float
) -> None:
    deploy(house, tokens_per_min=6_000, tokens_burst=1_000, tokens=300)
    queue(house, 1)
    worker = await house.worker()
    (item,) = await house.claim_models(worker, "m")
    claimed_s = full_in_s(house)

    await house.settle(dataclasses.replace(scene.done(item), tokens=used))
    await house.claim_models(worker, "m")
    house.connection.execute("update heddle_limit_delta set at = now() - interval '2 seconds'")
    await house.store.fold_idle()

    assert full_in_s(house) - claimed_s == pytest.approx(left_s - 3.0, abs=0.9)
    assert scope(house, "in_flight, tokens_used") == (0, used or 0)


async def test_settle_when_it_was_not_sent_then_its_tokens_are_given_back(house: scene.House) -> None:
    deploy(house, tokens_per_min=6_000, tokens_burst=1_000, tokens=1_000)
    queue(house, 2)
    worker = await house.worker()
    (item,) = await house.claim_models(worker, "m")

    report = await house.settle(
        dataclasses.replace(
            scene.done(item),
            verdict="release",
            output=None,
            attempt_state="abandoned",
            tokens=0,
            images=0,
            breaker=0,
            cost_nano_usd=None,
        )
    )
    house.connection.execute("update heddle_limit_delta set at = now() - interval '2 seconds'")
    await house.store.fold_idle()

    assert report.settled == 1
    assert len(await house.claim_models(worker, "m")) == 1
    assert not invariants.broken(house.connection)


async def test_claim_when_four_claimers_share_tokens_then_never_more_goes_than_the_bucket_held(
    house: scene.House,
) -> None:
    deploy(house, tokens_per_min=600, tokens_burst=550, tokens=50)
    queue(house, 100)
    workers = [await house.worker() for _ in range(4)]
    started_s = float(house.value("select extract(epoch from clock_timestamp())"))
    taken = 0

    for _ in range(8):
        for found in await asyncio.gather(*(house.claim_models(worker, "m", want=4) for worker in workers)):
            taken += len(found)
    passed_s = float(house.value("select extract(epoch from clock_timestamp())")) - started_s

    assert 11 <= taken <= (550 + 10 * passed_s) / 50


async def test_freeze_when_one_call_is_told_to_come_back_later_then_nobody_sends_from_that_instant(
    house: scene.House,
) -> None:
    deploy(house)
    queue(house, 40)
    workers = [await house.worker() for _ in range(2)]
    (item,) = await house.claim_models(workers[0], "m", want=1)

    told = dataclasses.replace(scene.faulted(item, verdict="retry", delay_s=60), is_throttled=True, frozen_s=30.0)
    await house.settle(told)
    frozen = [await house.claim_models(worker, "m") for worker in workers]
    house.connection.execute("update heddle_limit_delta set at = now() - interval '2 seconds'")
    await house.store.fold_idle()
    folded = [await house.claim_models(worker, "m") for worker in workers]
    house.connection.execute("update heddle_limit_state set frozen_until = now() - interval '1 ms'")
    after = await house.claim_models(workers[1], "m", want=5)

    assert frozen == folded == [[], []]
    assert len(after) == 5
    assert scope(house, "throttled") == (1,)


async def test_fallback_when_the_primary_is_frozen_then_it_is_used_after_its_time_only(house: scene.House) -> None:
    house.deploy(
        [scene.endpoint("one", price_nano_usd=7), scene.endpoint("two", price_nano_usd=9)],
        [deployment.Route(model="m", endpoint="one"), deployment.Route(model="m", endpoint="two", tier=1)],
        models=[deployment.Model(name="m", fallback_after_s=30.0)],
    )
    queue(house, 10)
    worker = await house.worker()
    (item,) = await house.claim_models(worker, "m", want=1)
    await house.settle(dataclasses.replace(scene.faulted(item, verdict="retry", delay_s=60), frozen_s=300.0))
    house.connection.execute("update heddle_limit_delta set at = now() - interval '2 seconds'")
    await house.store.fold_idle()

    early = await house.claim_models(worker, "m", want=2)
    house.connection.execute(
        "update heddle_limit_state set full_since = now() - interval '31 seconds' where full_since is not null"
    )
    late = await house.claim_models(worker, "m", want=2)

    assert early == []
    assert [item.tier for item in late] == [1, 1]
    assert house.rows(
        "select tier, price_nano_usd, primary_price_nano_usd from heddle_attempt where number = 1 and "
        "state = 'reserved'"
    ) == [(1, 9, 7), (1, 9, 7)]


async def test_fallback_when_the_primarys_minute_is_spent_then_it_is_used_after_its_time(house: scene.House) -> None:
    house.deploy(
        [scene.endpoint("one"), scene.endpoint("two")],
        [deployment.Route(model="m", endpoint="one"), deployment.Route(model="m", endpoint="two", tier=1)],
        scopes=[deployment.Scope(name="one", requests_per_min=6, requests_burst=2)],
        models=[deployment.Model(name="m", fallback_after_s=30.0)],
    )
    queue(house, 10)
    worker = await house.worker()

    first = await house.claim_models(worker, "m")
    early = await house.claim_models(worker, "m")
    house.connection.execute("update heddle_limit_state set full_since = full_since - interval '31 seconds'")
    late = await house.claim_models(worker, "m", want=3)

    assert [[item.tier for item in found] for found in (first, early, late)] == [[0, 0], [], [1, 1, 1]]


async def test_fallback_when_it_answers_then_the_run_is_degraded_and_says_what_it_cost_more(house: scene.House) -> None:
    house.deploy(
        [scene.endpoint("one", price_nano_usd=7), scene.endpoint("two", price_nano_usd=9)],
        [deployment.Route(model="m", endpoint="one", tier=1), deployment.Route(model="m", endpoint="two", tier=3)],
    )
    house.connection.execute("update heddle_endpoint set is_enabled = (name = 'two')")
    queue(house, 2)
    claimed = await house.claim_models(await house.worker(), "m")

    await house.settle(*(scene.done(item, cost_nano_usd=9) for item in claimed))

    view, calls = await house.shown(claimed[0].run_id), await house.calls(claimed[0].run_id)
    assert (view.is_degraded, view.price_difference_nano_usd, view.cost_nano_usd) == (True, 4, 18)
    assert [(each.tier, each.price_difference_nano_usd) for each in calls[1].attempts] == [(2, 2)]


async def test_fallback_when_the_first_choice_answers_then_the_run_is_not_degraded(house: scene.House) -> None:
    deploy(house)
    queue(house, 1)
    (item,) = await house.claim_models(await house.worker(), "m")

    await house.settle(scene.done(item))

    view = await house.shown(item.run_id)
    assert (view.is_degraded, view.price_difference_nano_usd) == (False, 0)


def report(dimension: int, **values: Any) -> str:
    return json.dumps([{"dimension": dimension, "until_s": 60.0, **values}])


async def test_told_when_the_provider_has_less_left_than_we_thought_then_the_bucket_is_lowered_at_once(
    house: scene.House,
) -> None:
    deploy(house, requests_per_min=600, requests_burst=20)
    queue(house, 40)
    worker = await house.worker()
    (item,) = await house.claim_models(worker, "m", want=1)

    await house.settle(dataclasses.replace(scene.done(item), told=report(1, remaining=3)))

    assert len(await house.claim_models(worker, "m")) in (3, 4)


async def test_told_when_its_limit_is_lower_then_it_counts_until_the_reset_and_a_higher_one_changes_nothing(
    house: scene.House,
) -> None:
    deploy(house, requests_per_min=6_000)
    queue(house, 100)
    worker = await house.worker()
    (item,) = await house.claim_models(worker, "m", want=1)

    await house.settle(dataclasses.replace(scene.done(item), told=report(1, limit_per_min=60)))
    lowered = await house.claim_models(worker, "m")
    await house.settle(*(dataclasses.replace(scene.done(each), told=report(1, limit_per_min=600)) for each in lowered))
    still = await house.claim_models(worker, "m")
    house.connection.execute("update heddle_limit_delta set at = now() - interval '2 seconds'")
    await house.store.fold_idle()
    told = scope(house, "requests_told")
    house.connection.execute(
        "update heddle_limit_state set requests_told_until = now() - interval '1 ms', tat = '-infinity'"
    )
    after = await house.claim_models(worker, "m")

    assert (len(lowered) <= 1, len(still) <= 1, told) == (True, True, (60,))
    assert len(after) == 50


async def test_told_when_the_scope_has_no_limit_then_the_providers_is_learned(house: scene.House) -> None:
    deploy(house)
    queue(house, 100)
    worker = await house.worker()
    (item,) = await house.claim_models(worker, "m", want=1)

    await house.settle(dataclasses.replace(scene.done(item), told=report(1, limit_per_min=240)))

    assert len(await house.claim_models(worker, "m")) == 3


async def test_told_when_the_window_is_used_up_then_nothing_goes_before_its_reset(house: scene.House) -> None:
    deploy(house, requests_per_min=600)
    queue(house, 10)
    worker = await house.worker()
    (item,) = await house.claim_models(worker, "m", want=1)

    await house.settle(dataclasses.replace(scene.done(item), told=report(1, remaining=0, empty_s=40.0)))

    assert await house.claim_models(worker, "m") == []
    house.connection.execute("update heddle_limit_delta set at = now() - interval '2 seconds'")
    await house.store.fold_idle()
    assert 39.0 < full_in_s(house, "tat") < 41.0
