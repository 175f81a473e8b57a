"""A claim waits for nothing, so it can lease a step while its run is being stopped: whatever the worker then does, the
stop stands.

The stop is held before its commit, so the claim sees the run as it was; three connections are at work.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from heddle.ports import store
from tests.races import holding, invariants, scene, working

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEEDS: dict[str, Callable[[store.Claimed], store.Settlement]] = {
    "done": scene.done,
    "failed": scene.faulted,
    "retried": lambda claimed: scene.faulted(claimed, verdict="retry", delay_s=1.0),
    "unknown": scene.unsure,
    "buried": lambda claimed: scene.unsure(claimed, verdict="bury"),
    "accepted": scene.accepted,
}


async def claimed_while_stopped(house: scene.House, *, kind: str) -> store.Claimed:
    """Claim the only call of a run while the run is being cancelled."""
    house.deploy([scene.endpoint("one")], [scene.deployment.Route(model="sent", endpoint="one")])
    (run_id,), worker = house.submit(), await house.worker()
    await house.begin(run_id, worker, scene.call(1, kind, "sent"), ending=scene.suspended(1))
    gate, reached = threading.Event(), asyncio.Event()
    doors = holding.HeldDoors("stop", reached, lambda: gate.wait(scene.PATIENCE_S), asyncio.get_running_loop())
    stopping = asyncio.ensure_future(scene.in_thread(lambda: doors.cancel(tenant=house.tenant, run_id=run_id)))
    await asyncio.wait_for(reached.wait(), scene.PATIENCE_S)
    taken: dict[str, Any] = {
        "model": lambda: house.claim_models(worker, "sent"),
        "step": lambda: house.claim(worker, scene.step_lane("sent")),
    }
    (claimed,) = await taken[kind]()
    gate.set()
    await stopping
    return claimed


@pytest.mark.parametrize("deed", DEEDS)
async def test_claim_during_a_stop_when_the_call_was_sent_then_the_stop_stands(house: scene.House, deed: str) -> None:
    claimed = await claimed_while_stopped(house, kind="model")

    report = await house.settle(DEEDS[deed](claimed))

    assert (report.settled, report.fenced) == (0, 1)
    assert house.states(claimed.run_id) == {1: "cancelled"}
    assert not invariants.broken(house.connection)
    await working.drain(house, wishes=working.local_wishes(endpoints=["one"]), models=["sent"])
    assert not invariants.broken(house.connection, drained=True)
    assert house.state(claimed.run_id) == "cancelled"


@pytest.mark.parametrize("deed", ["done", "failed", "retried"])
async def test_claim_during_a_stop_when_the_step_ran_then_the_stop_stands(house: scene.House, deed: str) -> None:
    claimed = await claimed_while_stopped(house, kind="step")

    await house.settle(DEEDS[deed](claimed))

    assert house.states(claimed.run_id) == {1: "cancelled"}
    assert not invariants.broken(house.connection)


async def test_claim_during_a_stop_when_the_call_is_paid_then_it_may_not_be_sent(house: scene.House) -> None:
    claimed = await claimed_while_stopped(house, kind="model")

    assert await house.store.mark_sending(calls=[(claimed, "digest")]) == {}


async def test_claim_during_a_stop_when_the_worker_dies_then_the_slot_is_let_go(house: scene.House) -> None:
    claimed = await claimed_while_stopped(house, kind="model")
    house.connection.execute("update heddle_worker set seen_at = now() - interval '1 hour'")

    await house.store.reclaim(lease_s=15.0, margin_s=0.0, limit=10)

    assert not invariants.broken(house.connection)
    assert house.states(claimed.run_id) == {1: "cancelled"}


async def test_three_stages_when_a_stop_and_a_callback_wait_for_a_settle_then_they_follow_in_line(
    house: scene.House,
) -> None:
    house.deploy([scene.endpoint("one")], [scene.deployment.Route(model="sent", endpoint="one")])
    (run_id,), worker = house.submit(), await house.worker()
    await house.begin(
        run_id, worker, scene.call(1, "model", "sent"), scene.call(2, "step", "a"), ending=scene.suspended(1, 2)
    )
    (sent,), (step,) = await house.claim_models(worker, "sent"), await house.claim(worker, scene.step_lane("a"))
    await house.settle(scene.accepted(sent))
    held = holding.held_store(house.database)
    await held.open()
    connections = held._connections
    assert isinstance(connections, holding.HeldConnections)
    connections.arm()

    first = asyncio.ensure_future(held.settle(settlements=[scene.done(step)]))
    await asyncio.wait_for(connections.reached.wait(), scene.PATIENCE_S)
    second = asyncio.ensure_future(house.cancel(run_id))
    assert await holding.waits_for_lock(house.connection, second)
    third = asyncio.ensure_future(house.callback(sent, "event"))
    assert await holding.waits_for_lock(house.connection, third, count=2)
    connections.go.set()
    await asyncio.gather(first, second, third)
    await held.close()

    assert house.states(run_id) == {1: "cancelled", 2: "succeeded"}
    assert not invariants.broken(house.connection)
