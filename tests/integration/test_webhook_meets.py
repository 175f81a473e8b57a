"""Each end of a run is told of once, with its own state and in order, also of one that is retried or cancelled.

Real workers, PostgreSQL and a real receiver on this machine, which is down at times.
"""

import json
import pathlib
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from heddle import wiring
from heddle.core.run import RunState
from tests import pg
from tests.integration import hooked_workflows, receivers, test_webhooks, working
from tests.races import invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
private_allowed = test_webhooks.private_allowed


@pytest.fixture(autouse=True)
def manners() -> Iterator[None]:
    """Let every number fail again after a test."""
    yield
    hooked_workflows.MANNERS.clear()


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncIterator[receivers.Receiver]:
    async with receivers.receiving() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def house(
    database: pg.Database, receiver: receivers.Receiver, tmp_path: pathlib.Path
) -> AsyncIterator[scene.House]:
    with database.connect() as connection:
        made = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        made.wipe()
        async with working.working(test_webhooks.parts_of(database, tmp_path)):
            yield made
        assert invariants.broken(connection) == {}  # a run that was stopped in line leaves its place there


async def ordered(receiver: receivers.Receiver, path: str = "well") -> uuid.UUID:
    """Start an order that fails, and wait for its end."""
    run_id = await working.submitted("hooked.order", {"number": 1}, webhook_url=f"{receiver.url}/{path}")
    assert (await working.waited(run_id)).state is RunState.FAILED
    return run_id


async def retried(run_id: uuid.UUID, manner: str) -> None:
    """Retry an order whose work now has another manner."""
    hooked_workflows.MANNERS[1] = manner
    await scene.in_thread(lambda: wiring.client().retry(run_id))


async def told(house: scene.House, count: int) -> None:
    """Wait until so many events were delivered."""
    await working.until(lambda: house.value("select count(*) from heddle_outbox where state = 'delivered'") == count)


def said(receiver: receivers.Receiver) -> list[Mapping[str, Any]]:
    """Read what came, in order."""
    return [json.loads(letter.body) for letter in receiver.received]


def types_of(receiver: receivers.Receiver) -> list[str]:
    """Give the types of what came, in order; each says the state that it tells of, and when that was."""
    found = said(receiver)
    for each in found:
        assert each["type"] == f"run.{each['data']['state']}"
        assert each["data"]["finished_at"] == each["timestamp"]
    return [str(each["type"]) for each in found]


async def names(house: scene.House, run_id: uuid.UUID) -> list[str]:
    """Name what happened to a run as a whole."""
    return [event.name for event in await house.events(run_id) if event.name.startswith("run.")]


async def test_run_when_it_is_retried_and_ends_well_then_both_ends_are_told_of_once(
    house: scene.House, receiver: receivers.Receiver
) -> None:
    run_id = await ordered(receiver)
    await told(house, 1)
    await retried(run_id, "work")
    await told(house, 2)

    first, second = receiver.received
    assert types_of(receiver) == ["run.failed", "run.succeeded"]
    assert first.id != second.id
    assert {each["data"]["id"] for each in said(receiver)} == {str(run_id)}
    assert said(receiver)[1]["data"]["output"] == 10
    assert [name for name in await names(house, run_id) if name != "run.queued"][-3:] == [
        "run.failed",
        "run.retried",
        "run.succeeded",
    ]


async def test_run_when_it_is_retried_and_cancelled_twice_then_the_cancel_is_told_of_once(
    house: scene.House, receiver: receivers.Receiver
) -> None:
    run_id = await ordered(receiver)
    await retried(run_id, "hang")
    await working.until(lambda: house.count("lease") == 1 and house.states(run_id) == {1: "due"})
    stopped = [await house.cancel(run_id)]
    assert (await working.waited(run_id)).state is RunState.CANCELLED
    stopped.append(await house.cancel(run_id))
    await told(house, 2)

    assert stopped == [True, False]
    assert types_of(receiver) == ["run.failed", "run.cancelled"]
    assert house.count("outbox") == 2


async def test_run_when_it_has_ended_again_before_anybody_was_told_then_each_letter_has_its_own_end(
    house: scene.House, receiver: receivers.Receiver
) -> None:
    house.connection.execute(
        "insert into heddle_receiver (tenant_id, receiver, failures, hold_until, at)"
        " values (%s, %s, 1, now() + interval '1 hour', now())",
        (house.tenant.id, receiver.url),
    )
    run_id = await ordered(receiver)
    await retried(run_id, "work")
    assert (await working.waited(run_id)).state is RunState.SUCCEEDED

    house.connection.execute("delete from heddle_receiver")
    await told(house, 2)

    assert types_of(receiver) == ["run.failed", "run.succeeded"]
    assert "output" not in said(receiver)[0]["data"]


async def test_run_when_its_receiver_is_down_while_it_is_retried_then_the_ends_come_in_order_all_the_same(
    house: scene.House, receiver: receivers.Receiver
) -> None:
    receiver.statuses["sick"] = 500
    run_id = await ordered(receiver, "sick")
    await working.until(lambda: house.rows("select state, tries from heddle_outbox") == [("due", 1)])
    await retried(run_id, "work")
    assert (await working.waited(run_id)).state is RunState.SUCCEEDED
    other = (await house.admit(webhook_url=f"{receiver.url}/well")).run_id
    await house.cancel(other)
    await told(house, 1)  # the receiver has been looked at since, and what waits for another has not gone

    receiver.statuses["sick"] = 204
    house.later(3_600.0)
    await told(house, 3)

    assert types_of(receiver) == ["run.failed", "run.cancelled", "run.failed", "run.succeeded"]
    assert receiver.received[0].body == receiver.received[2].body
    assert receiver.received[0].id == receiver.received[2].id
    assert house.rows("select type, tries from heddle_outbox where run_id = %s order by seq", run_id) == [
        ("run.failed", 2),
        ("run.succeeded", 1),
    ]
