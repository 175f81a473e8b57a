"""A paid call's intent and the reclaim of its lease meet: either the call may be sent and its step is unknown, or the
step is due again and the call may not be sent. Never both, or it is paid twice; never neither, or it is lost.
"""

import asyncio
from collections.abc import Awaitable

import pytest

from heddle.ports import store
from heddle.store import postgres
from tests.races import holding, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def reserved(house: scene.House) -> store.Claimed:
    """Give a paid call that its worker is about to send when it is silent for too long."""
    house.deploy([scene.endpoint("one")], [scene.deployment.Route(model="sent", endpoint="one")])
    (run_id,), worker = house.submit(), await house.worker()
    await house.begin(run_id, worker, scene.call(1, "model", "sent"), ending=scene.suspended(1))
    (claimed,) = await house.claim_models(worker, "sent")
    house.silence(worker)
    return claimed


async def held_before_commit(held: postgres.PostgresStore, work: Awaitable[object]) -> asyncio.Task[object]:
    """Start a transaction that stops after a statement, with its locks."""
    connections = held._connections
    assert isinstance(connections, holding.HeldConnections)
    task = asyncio.ensure_future(work)
    await asyncio.wait_for(connections.reached.wait(), scene.PATIENCE_S)
    return task


async def armed(house: scene.House, name: str) -> postgres.PostgresStore:
    held = holding.held_store(house.database)
    await held.open()
    assert isinstance(held._connections, holding.HeldConnections)
    held._connections.arm(name)
    return held


def reclaim(engine: store.EngineStore) -> Awaitable[store.ReclaimReport]:
    return engine.reclaim(lease_s=15.0, margin_s=0.0, limit=10)


async def test_reclaim_when_the_intent_is_just_being_committed_then_the_call_is_sent_and_its_step_unknown(
    house: scene.House,
) -> None:
    claimed = await reserved(house)
    held = await armed(house, "mark_sending")
    intent = await held_before_commit(held, held.mark_sending(calls=[(claimed, "digest")]))

    taking = asyncio.ensure_future(reclaim(house.store))
    waited = await holding.waits_for_lock(house.connection, taking)
    held._connections.go.set()  # type: ignore[attr-defined]
    permitted, report = await intent, await taking
    await held.close()

    assert waited
    assert permitted == {(claimed.run_id, 1): None}
    assert (report.taken, report.unknown) == (1, 1)
    assert house.states(claimed.run_id) == {1: "unknown"}


async def test_intent_when_the_lease_is_just_being_taken_then_it_may_not_be_sent_and_its_step_is_due_again(
    house: scene.House,
) -> None:
    claimed = await reserved(house)
    held = await armed(house, "reclaim")
    taking = await held_before_commit(held, reclaim(held))

    intent = asyncio.ensure_future(house.store.mark_sending(calls=[(claimed, "digest")]))
    waited = await holding.waits_for_lock(house.connection, intent)
    held._connections.go.set()  # type: ignore[attr-defined]
    await taking
    permitted = await intent
    await held.close()

    assert waited
    assert permitted == {}
    assert house.states(claimed.run_id) == {1: "waiting"}
