"""A result that was given up meets the call that is being made again: it is claimed, or its intent is committed, at
this very moment. Either the second call is called off and is not sent, or it is sent and both are booked.
"""

import asyncio

import pytest

from heddle.ports import store
from tests.contract import store_given_up_suite as suite
from tests.races import holding, scene
from tests.races.test_intent_and_reclaim import armed, held_before_commit

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def reserved(house: scene.House) -> tuple[store.Claimed, store.Claimed]:
    """Give the lease of a call that was given up, and that of the try which is about to be sent."""
    _, sent = await suite.given_up(house)
    (again,) = await suite.in_line(house)
    return sent, again


async def test_result_when_the_next_intent_is_just_being_committed_then_both_calls_are_booked(
    house: scene.House,
) -> None:
    sent, again = await reserved(house)
    held = await armed(house, "mark_sending")
    intent = await held_before_commit(held, held.mark_sending(calls=[(again, "digest")]))

    settling = asyncio.ensure_future(house.settle(scene.done(sent, "first")))
    waited = await holding.waits_for_lock(house.connection, settling)
    held._connections.go.set()  # type: ignore[attr-defined]
    permitted, _ = await intent, await settling
    await held.close()
    await house.settle(scene.done(again, "second"))

    assert waited
    assert permitted == {(again.run_id, 1): None}
    assert await suite.states(house, again.run_id) == ["succeeded", "late", "done"]
    assert await suite.costs(house, again.run_id) == (2 * suite.PRICE, 2 * suite.PRICE)


async def test_intent_when_the_result_is_just_being_written_then_nothing_is_sent(house: scene.House) -> None:
    sent, again = await reserved(house)
    held = await armed(house, "settle_late")
    settling = await held_before_commit(held, held.settle(settlements=[scene.done(sent, "first")]))

    intent = asyncio.ensure_future(house.store.mark_sending(calls=[(again, "digest")]))
    waited = await holding.waits_for_lock(house.connection, intent)
    held._connections.go.set()  # type: ignore[attr-defined]
    await settling
    permitted = await intent
    await held.close()

    assert waited
    assert permitted == {}
    assert await suite.states(house, again.run_id) == ["succeeded", "late", "abandoned"]


async def test_result_when_the_next_try_is_just_being_claimed_then_it_waits_and_the_try_is_called_off(
    house: scene.House,
) -> None:
    run_id, sent = await suite.given_up(house)
    house.due_now()
    worker = await house.worker("heir")
    await house.pump(worker)
    held = await armed(house, "claim_model")
    wish = store.ModelWish(lane=scene.model_lane("sent"), model="sent", share=1.0)
    claiming = await held_before_commit(
        held, held.claim_models(worker=worker, claim_id=run_id, lanes=[wish], want=1, is_expected=True)
    )

    settling = asyncio.ensure_future(house.settle(scene.done(sent, "first")))
    waited = await holding.waits_for_lock(house.connection, settling)
    held._connections.go.set()  # type: ignore[attr-defined]
    await claiming
    await settling
    await held.close()

    assert waited
    assert await suite.states(house, run_id) == ["succeeded", "late", "abandoned"]
    assert house.count("slot") == 0
