"""A pointer to a shared result stays as long as its call, and then as long as its result may be taken."""

import pytest

from tests.contract import store_reuse_suite as suite
from tests.contract.store_suite import deploy
from tests.races import fixtures, scene

open_house = fixtures.open_house
house = fixtures.house
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def pruned(house: scene.House) -> tuple[int, int]:
    """Let the time of every pointer come, prune, and tell how many went and how many are left."""
    house.connection.execute("update heddle_result set until = now() - interval '1 second'")
    gone = await house.store.prune(idempotency_hours=72, limit=100)
    return gone, house.count("result")


async def first_sent(house: scene.House) -> scene.store.Claimed:
    deploy(house)
    worker = await house.worker()
    await suite.look(house, await suite.looking(house, worker))
    (sent,) = await house.claim_models(worker, "sent")
    return sent


async def test_prune_when_a_call_is_under_way_or_ended_lately_then_its_pointer_stays(house: scene.House) -> None:
    sent = await first_sent(house)
    under_way = await pruned(house)
    await house.settle(scene.done(sent, 1))
    young = await pruned(house)
    kept_h = house.value("select extract(epoch from until - now()) / 3600 from heddle_result")

    assert (under_way, young) == ((0, 1), (0, 1))
    assert 23.9 < float(kept_h) <= 24.0


async def test_prune_when_a_result_is_too_old_or_came_to_nothing_then_its_pointer_goes(house: scene.House) -> None:
    sent = await first_sent(house)
    await house.settle(scene.faulted(sent))
    failed = await pruned(house)
    await house.settle(scene.done(await first_sent(house), 1))
    house.outdate_results()

    assert (failed, await pruned(house)) == ((1, 0), (1, 0))


async def test_prune_when_an_older_release_noted_it_then_it_goes_by_its_time(house: scene.House) -> None:
    await house.settle(scene.done(await first_sent(house), 1))
    house.connection.execute("update heddle_result set hours = null")

    assert await pruned(house) == (1, 0)
