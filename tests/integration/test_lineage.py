"""A restored database is recognised; nothing is sent until what it lost is known, and calls are looked up first."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from heddle.config import deployment
from tests.races import fixtures, invariants, scene, verdicts

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    open_house.connection.execute("delete from heddle_lineage")
    open_house.deploy([scene.endpoint("one")], [deployment.Route(model="paint", endpoint="one", tier=0, weight=1)])
    yield open_house
    assert not invariants.broken(open_house.connection)
    open_house.connection.execute("delete from heddle_lineage")


async def restored(house: scene.House) -> None:
    """Let the noted history be another one than the server's, as after a restore."""
    await house.store.note_lineage()
    house.connection.execute("update heddle_lineage set timeline = timeline - 1")
    found = await house.store.note_lineage()
    assert found is not None
    assert found.is_new


async def test_lineage_when_it_is_the_first_look_then_it_is_noted_and_nothing_is_paused(house: scene.House) -> None:
    first = await house.store.note_lineage()
    again = await house.store.note_lineage()

    assert first is not None
    assert again is not None
    assert (first.is_new, first.is_paused, again.is_new) == (False, False, False)


async def test_lineage_when_the_history_is_new_then_sending_pauses_until_nothing_is_in_doubt(
    house: scene.House,
) -> None:
    worker = await house.worker()
    (run_id,) = house.submit()
    await house.begin(run_id, worker, scene.call(1, "model", "paint"), ending=scene.returned(1))
    await restored(house)

    while_paused = await house.claim_models(worker, "paint")
    is_resumed = await house.store.end_restore(hold_s=300.0)
    again = await house.store.end_restore(hold_s=300.0)

    assert (while_paused, is_resumed, again) == ([], True, False)


async def test_lineage_when_a_lost_worker_still_holds_a_call_then_sending_stays_paused_until_the_time_is_over(
    house: scene.House,
) -> None:
    worker = await house.worker()
    (run_id,) = house.submit()
    await house.begin(run_id, worker, scene.call(1, "model", "paint"), ending=scene.returned(1))
    (held,) = await house.claim_models(worker, "paint")
    await restored(house)

    assert not await house.store.end_restore(hold_s=300.0)
    assert not await house.store.end_restore(hold_s=0)
    house.connection.execute("update heddle_lineage set sending_paused_at = now() - interval '301 seconds'")
    assert await house.store.end_restore(hold_s=300.0)
    await house.settle(verdicts.done(held))


async def test_reserved_call_when_its_worker_was_lost_with_the_history_then_it_is_looked_up_and_not_sent_anew(
    house: scene.House,
) -> None:
    worker = await house.worker()
    (run_id,) = house.submit()
    await house.begin(run_id, worker, scene.call(1, "model", "paint"), ending=scene.returned(1))
    await house.claim_models(worker, "paint")
    await restored(house)
    house.silence(worker)

    await house.store.reclaim(lease_s=15.0, margin_s=0.0, limit=10)

    assert house.states(run_id) == {1: "unknown"}


async def test_call_of_an_old_run_when_sent_after_a_restore_then_it_is_looked_up_first_and_once(
    house: scene.House,
) -> None:
    worker = await house.worker()
    (run_id,) = house.submit()
    await house.begin(run_id, worker, scene.call(1, "model", "paint"), ending=scene.returned(1))
    await restored(house)
    await house.store.end_restore(hold_s=300.0)
    (claimed,) = await house.claim_models(worker, "paint")

    may_send = await house.store.mark_sending(calls=[(claimed, "digest")])

    assert may_send == {}
    assert house.states(run_id) == {1: "unknown"}
    await look_up_finds_nothing(house, worker)
    house.due_now()
    await house.pump(worker)
    (again,) = await house.claim_models(worker, "paint")
    assert again.number == 2
    assert await house.store.mark_sending(calls=[(again, "digest")]) == {(run_id, 1): None}
    await house.settle(verdicts.done(again))


async def look_up_finds_nothing(house: scene.House, worker: int) -> None:
    house.due_now()
    await house.pump(worker)
    lane = house.value("select poll_lane from heddle_endpoint where name = 'one'")
    (polled,) = await house.claim(worker, lane, purpose="poll")
    await house.settle(verdicts.faulted(polled, verdict="retry"))


async def test_call_of_a_new_run_when_sent_after_a_restore_then_it_is_sent(house: scene.House) -> None:
    worker = await house.worker()
    await restored(house)
    await house.store.end_restore(hold_s=300.0)
    (run_id,) = house.submit()
    await house.begin(run_id, worker, scene.call(1, "model", "paint"), ending=scene.returned(1))
    (claimed,) = await house.claim_models(worker, "paint")

    assert await house.store.mark_sending(calls=[(claimed, "digest")]) == {(run_id, 1): None}
    await house.settle(verdicts.done(claimed))
