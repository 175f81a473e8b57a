"""Real workers tell real receivers on this machine how runs ended, signed, once each, whatever the receivers do."""

import dataclasses
import json
import pathlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from heddle import wiring
from heddle.client import letters
from heddle.core.policy import delivery
from heddle.engine import parts as parts_module
from heddle.providers import courier, transport
from tests import pg, webhook_checks
from tests.integration import forms_workflows, receivers, working
from tests.races import scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = "https://heddle.example"


@pytest.fixture(scope="module", autouse=True)
def private_allowed(database: pg.Database) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEDDLE_WEBHOOK_PRIVATE_ALLOWED", "1")
        patch.setenv("HEDDLE_WEBHOOK_ROTATION_S", "3600")
        caches = (wiring.house_settings, wiring.client, wiring.webhooks)
        for cache in caches:
            cache.cache_clear()
        yield
    for cache in caches:
        cache.cache_clear()


def parts_of(database: pg.Database, folder: pathlib.Path, **more: Any) -> parts_module.Parts:
    """Name the parts of a worker that delivers."""
    made = working.parts_of(database, folder, working.Painter(), preload=[forms_workflows.__name__])
    limits = dataclasses.replace(
        made.settings,
        **{
            "secret_key": wiring.house_settings().secret_key,
            "webhook_private_allowed": True,
            "webhook_timeout_s": 2.0,
            "webhook_look_s": 0.05,
            **more,
        },
    )
    return dataclasses.replace(
        made,
        settings=limits,
        courier=courier.HttpCourier(
            connections=transport.Transport(), now_s=made.clock.unix_s, is_private_allowed=True
        ),
        compose=letters.composer(public_url=ROOT, predictions=None),
    )


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
        async with working.working(parts_of(database, tmp_path)):
            yield made


async def cancelled(house: scene.House, url: str, count: int = 1) -> None:
    """End runs at once."""
    for _ in range(count):
        run_id = (await house.admit(webhook_url=url)).run_id
        await house.cancel(run_id)


async def rotated() -> str:
    """Make the next secret as an operator does."""
    secret, _ = await scene.in_thread(lambda: wiring.webhooks().rotate(tenant="default", actor="test"))
    return str(secret)


def states(house: scene.House) -> list[tuple[str, int]]:
    """Give where events are."""
    return house.rows("select state, tries from heddle_outbox order by run_id")


async def until_delivered(house: scene.House, count: int) -> None:
    """Wait until so many events were delivered."""
    await working.until(lambda: [state for state, _ in states(house)].count("delivered") >= count)


async def test_run_when_it_succeeds_then_its_receiver_has_the_run_signed(
    house: scene.House, receiver: receivers.Receiver
) -> None:
    secret = await rotated()

    view = await working.ended("forms.race", {"number": 4}, webhook_url=f"{receiver.url}/hooks?of=me")
    await until_delivered(house, 1)

    (letter,) = receiver.received
    said = json.loads(letter.body)
    assert webhook_checks.is_signed(secret=secret, headers=letter.headers, body=letter.body, now_s=time.time())
    assert said["type"] == "run.succeeded"
    assert said["data"]["id"] == said["data"]["submitted_as"] == str(view.id)
    assert (said["data"]["state"], said["data"]["output"]) == ("succeeded", {"winner": 1, "value": 40})
    assert said["data"]["links"]["self"] == f"{ROOT}/v1/runs/{view.id}"
    assert "input" not in said["data"]


async def test_receiver_when_it_fails_then_the_same_event_comes_again_newly_signed(
    house: scene.House, receiver: receivers.Receiver
) -> None:
    secret = await rotated()
    receiver.statuses["sick"] = 500
    await cancelled(house, f"{receiver.url}/sick")
    await working.until(lambda: states(house) == [("due", 1)])
    wait_s = float(house.value("select extract(epoch from next_at - last_at) from heddle_outbox"))

    receiver.statuses["sick"] = 204
    house.later(3_600.0)
    await until_delivered(house, 1)

    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)
    assert 5.0 <= wait_s <= 5.3
    assert states(house) == [("delivered", 2)]
    for letter in (first, second):
        assert webhook_checks.is_signed(secret=secret, headers=letter.headers, body=letter.body, now_s=letter.at_s)


async def test_receiver_when_it_redirects_then_nobody_follows(house: scene.House, receiver: receivers.Receiver) -> None:
    await cancelled(house, f"{receiver.url}/moved")

    await working.until(lambda: states(house) == [("due", 1)])

    assert [each.path for each in receiver.received] == ["/moved"]


async def test_receiver_when_it_is_gone_then_nothing_more_is_sent_until_it_is_enabled(
    house: scene.House, receiver: receivers.Receiver
) -> None:
    url = f"{receiver.url}/410"
    await cancelled(house, url)
    await working.until(lambda: states(house) == [("disabled", 1)])

    await cancelled(house, url)
    await working.until(lambda: states(house) == [("disabled", 1), ("disabled", 0)])
    (gone,) = await scene.in_thread(lambda: wiring.webhooks().disabled(tenant="default"))
    receiver.statuses["410"] = 204
    await scene.in_thread(lambda: wiring.webhooks().enable(url, tenant="default", actor="test"))
    listed = await scene.in_thread(lambda: wiring.webhooks().deliveries(tenant="default", state="disabled"))
    await scene.in_thread(lambda: wiring.webhooks().redeliver(str(listed[0].id), tenant="default", actor="test"))
    await until_delivered(house, 1)

    assert gone.url == url
    assert len(receiver.received) == 2
    assert receiver.received[1].id == str(listed[0].id)


async def test_receiver_when_it_asks_for_a_pause_then_nothing_comes_before_its_end(
    house: scene.House, receiver: receivers.Receiver
) -> None:
    await cancelled(house, f"{receiver.url}/pause")
    await working.until(lambda: states(house) == [("due", 1)])

    await cancelled(house, f"{receiver.url}/well")
    async with receivers.receiving() as other:
        await cancelled(house, f"{other.url}/well")
        await until_delivered(house, 1)
        held = len(receiver.received)
        house.later(121.0)
        await until_delivered(house, 2)

    assert held == 1
    assert receiver.received[1].path in ("/pause", "/well")


async def test_receiver_when_it_hangs_then_the_others_have_theirs_meanwhile(
    house: scene.House, receiver: receivers.Receiver
) -> None:
    await cancelled(house, f"{receiver.url}/hang", count=20)
    async with receivers.receiving() as other:
        await cancelled(house, f"{other.url}/well", count=20)
        await until_delivered(house, 20)

    assert len({each.id for each in other.received}) == len(other.received) == 20
    assert receiver.open_most == 4


async def test_secret_when_rotated_then_both_fit_for_the_grace_period_and_nothing_is_lost(
    house: scene.House, receiver: receivers.Receiver
) -> None:
    old = await rotated()
    new = await rotated()
    await cancelled(house, f"{receiver.url}/well")
    await until_delivered(house, 1)
    house.later(3_601.0)
    await cancelled(house, f"{receiver.url}/well")
    await until_delivered(house, 2)

    during, after = receiver.received
    fits = [
        [
            webhook_checks.is_signed(secret=each, headers=letter.headers, body=letter.body, now_s=letter.at_s)
            for each in (old, new)
        ]
        for letter in (during, after)
    ]
    assert fits == [[True, True], [False, True]]


async def test_worker_when_it_is_asked_to_stop_then_what_is_on_its_way_is_finished_and_written(
    database: pg.Database, tmp_path: pathlib.Path, receiver: receivers.Receiver
) -> None:
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        house.wipe()
        async with working.working(parts_of(database, tmp_path, webhook_timeout_s=20.0)):
            await cancelled(house, f"{receiver.url}/hang")
            await working.until(lambda: len(receiver.received) == 1)
            receiver.released.set()

        assert states(house) == [("delivered", 1)]


async def test_worker_when_a_receiver_hangs_while_it_is_asked_to_stop_then_it_leaves_in_order_all_the_same(
    database: pg.Database, tmp_path: pathlib.Path, receiver: receivers.Receiver
) -> None:
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        house.wipe()
        async with working.working(parts_of(database, tmp_path, webhook_timeout_s=30.0, drain_s=1.0)):
            await cancelled(house, f"{receiver.url}/hang")
            await working.until(lambda: len(receiver.received) == 1)

        assert states(house) == [("due", 0)]
        assert house.rows("select state from heddle_worker") == [("gone",)]


async def test_event_when_every_try_failed_then_it_is_dead_and_can_be_redelivered(
    house: scene.House, receiver: receivers.Receiver
) -> None:
    receiver.statuses["sick"] = 500
    await cancelled(house, f"{receiver.url}/sick")
    for tries in range(1, delivery.OPTIONS.tries_max):
        await working.until(lambda tries=tries: states(house) == [("due", tries)])  # type: ignore[misc]
        house.later(1.1 * delivery.OPTIONS.schedule_s[-1])  # more than the longest wait with all of its jitter
    await working.until(lambda: states(house) == [("dead", 10)])

    receiver.statuses["sick"] = 204
    (dead,) = await scene.in_thread(lambda: wiring.webhooks().deliveries(tenant="default", state="dead"))
    await scene.in_thread(lambda: wiring.webhooks().redeliver(str(dead.id), tenant="default", actor="test"))
    house.later(60.0)
    await until_delivered(house, 1)

    assert (dead.tries, dead.last_status, dead.last_error) == (10, 500, "the receiver answered 500")
    assert len({each.id for each in receiver.received}) == 1
    assert len(receiver.received) == 11
