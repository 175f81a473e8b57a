"""What a sick endpoint is spared: outcomes belong to the epoch they were claimed in, one probe, few retries."""

import dataclasses
from typing import Any

import pytest

from heddle.config import deployment
from heddle.engine import settle as settle_stage
from heddle.ports import store
from tests.races import fixtures, invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house
house = fixtures.house


def deploy(house: scene.House, **limits: Any) -> None:
    """Give the model ``m`` one endpoint with the scope ``one``."""
    house.deploy(
        [scene.endpoint("one")],
        [deployment.Route(model="m", endpoint="one")],
        scopes=[deployment.Scope(name="one", **limits)],
    )


def queue(house: scene.House, count: int) -> None:
    house.fill(lane=scene.model_lane("m"), name="m", count=count, kind="model")


def scope(house: scene.House, columns: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] = house.rows(f"select {columns} from heddle_limit_state where name = 'one'")[0]
    return found


async def test_breaker_when_outcomes_are_of_calls_claimed_before_it_changed_then_they_count_for_nothing(
    house: scene.House,
) -> None:
    deploy(house)
    queue(house, 40)
    worker = await house.worker()
    old = await house.claim_models(worker, "m", want=10)
    await house.settle(*(scene.faulted(item, breaker=-1) for item in old[:5]))
    await house.claim_models(worker, "m")
    house.connection.execute("update heddle_limit_state set open_until = now() - interval '1 second'")
    (probe,) = await house.claim_models(worker, "m")

    await house.settle(*(scene.done(item) for item in old[5:9]))
    while_out = await house.claim_models(worker, "m")
    position = scope(house, "breaker")
    await house.settle(scene.done(probe))
    await house.claim_models(worker, "m", want=1)

    assert (while_out, position) == ([], ("half_open",))
    assert scope(house, "breaker") == ("closed",)


async def test_breaker_when_the_probe_was_never_sent_then_the_next_call_is_the_probe(house: scene.House) -> None:
    deploy(house)
    queue(house, 40)
    worker = await house.worker()
    await house.settle(*(scene.faulted(item, breaker=-1) for item in await house.claim_models(worker, "m", want=5)))
    await house.claim_models(worker, "m")
    house.connection.execute("update heddle_limit_state set open_until = now() - interval '1 second'")
    (probe,) = await house.claim_models(worker, "m")

    await house.settle(
        dataclasses.replace(
            scene.done(probe), verdict="release", output=None, attempt_state="abandoned", breaker=0, cost_nano_usd=None
        )
    )

    assert len(await house.claim_models(worker, "m")) == 1
    assert await house.claim_models(worker, "m") == []


async def test_breaker_when_the_probe_never_reports_then_it_is_open_for_twice_as_long(house: scene.House) -> None:
    deploy(house)
    queue(house, 40)
    worker = await house.worker()
    await house.settle(*(scene.faulted(item, breaker=-1) for item in await house.claim_models(worker, "m", want=5)))
    await house.claim_models(worker, "m")
    house.connection.execute("update heddle_limit_state set open_until = now() - interval '1 second'")
    await house.claim_models(worker, "m")
    house.connection.execute("update heddle_limit_state set probe_until = now() - interval '1 ms'")

    assert await house.claim_models(worker, "m") == []
    assert scope(house, "breaker, open_for_s") == ("open", 60.0)


async def test_breaker_when_sends_end_unknown_then_it_opens_though_their_slots_are_kept(house: scene.House) -> None:
    deploy(house, concurrency=5)
    queue(house, 40)
    worker = await house.worker()
    hung = await house.claim_models(worker, "m")

    await house.settle(*(dataclasses.replace(scene.unsure(item), breaker=-1) for item in hung))
    house.connection.execute("update heddle_limit_delta set at = now() - interval '2 seconds'")
    await house.store.fold_idle()

    assert scope(house, "breaker, in_flight") == ("open", 5)
    assert not invariants.broken(house.connection)


async def test_breaker_when_calls_fail_in_a_row_then_each_takes_a_call_in_flight_away(house: scene.House) -> None:
    deploy(house, concurrency=5)
    queue(house, 40)
    worker = await house.worker()
    hung = await house.claim_models(worker, "m")

    await house.settle(*(scene.faulted(item, breaker=-1) for item in hung[:2]))
    careful = await house.claim_models(worker, "m")
    await house.settle(scene.done(hung[2]))
    after = await house.claim_models(worker, "m")

    assert (len(hung), careful, len(after)) == (5, [], 3)


async def park(house: scene.House) -> list[store.Claimed]:
    """Let three steps be retries, and the leader allow one."""
    deploy(house)
    queue(house, 6)
    house.connection.execute("update heddle_step set attempts = 1 where ordinal <= 3")
    house.connection.execute("update heddle_limit_state set retries = 4, retries_upto = 5, governed_at = now()")
    return await house.claim_models(await house.worker(), "m")


async def test_retry_budget_when_it_is_spent_then_retries_are_parked_and_first_tries_go(house: scene.House) -> None:
    claimed = await park(house)

    purposes = {item.ordinal: item.purpose for item in claimed}
    assert sorted(purposes.values()) == ["park", "park", "send", "send", "send", "send"]
    assert {purposes[4], purposes[5], purposes[6]} == {"send"}
    assert scope(house, "in_flight, first_tries, retries") == (4, 3, 5)
    assert house.value("select count(*) from heddle_attempt") == 4


async def test_retry_budget_when_a_parked_retry_is_put_off_then_it_waits_uncounted_and_comes_again(
    house: scene.House,
) -> None:
    claimed = await park(house)
    parked = [item for item in claimed if item.purpose == "park"]

    await house.settle(*(settle_stage.parked(item, delay_s=5.0) for item in parked))
    waiting = house.rows("select state, attempts, fault from heddle_step where state = 'waiting'")
    broken = invariants.broken(house.connection)
    house.due_now()
    await house.pump(await house.worker())
    house.connection.execute("update heddle_limit_state set retries_upto = 100")
    again = await house.claim_models(await house.worker(), "m")

    assert (waiting, broken) == ([("waiting", 1, None)] * 2, {})
    assert [(item.purpose, item.number) for item in again] == [("send", 2)] * 2
