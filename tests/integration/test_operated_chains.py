"""A bulk operation is done in chunks of bounded work, and means the whole chain of a run that goes on as others."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from heddle.core import plan, run
from heddle.ports import operators
from heddle.store import operating as operating_store
from heddle.store import operators as operators_store
from tests.races import fixtures, invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house
ON = plan.Continued(workflow=scene.WORKFLOW, input={}, version=1)


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    open_house.connection.execute("delete from heddle_operation")
    yield open_house
    assert not invariants.broken(open_house.connection)


async def ask(what: str, /, **given: Any) -> Any:
    """Call the operators' desk."""
    desk = operators_store.DjangoOperators(cleanup_s=scene.CLEANUP_S)
    return await scene.in_thread(lambda: getattr(desk, what)(**given))


async def start(house: scene.House, action: str, **more: Any) -> uuid.UUID:
    new = operators.NewOperation(
        tenant=more.get("tenant", house.tenant),
        action=operators.Action(action),
        where=operators.BulkFilter(workflow=scene.WORKFLOW),
        priority=more.get("priority"),
        actor="test",
    )
    view: operators.OperationView = await ask("start_operation", new=new)
    return view.id


async def carry_out(house: scene.House, operation_id: uuid.UUID) -> operators.OperationView:
    """Do the chunks of an operation, as a leader would."""
    for _ in range(1_000):
        done = await house.store.operate(batch=3, cleanup_s=scene.CLEANUP_S)
        if done is None or done.is_over:
            break
    view: operators.OperationView = await ask("operation", tenant=house.tenant, operation_id=operation_id)
    return view


async def chain(house: scene.House, worker: int, first: uuid.UUID, *, links: int) -> list[uuid.UUID]:
    """Let a run go on as so many others, and give them all."""
    found = [first]
    for _ in range(links):
        await house.begin(found[-1], worker, ending=ON)
        found.append(house.value("select continued_as from heddle_run where id = %s", found[-1]))
    return found


async def test_cancel_when_a_run_goes_on_as_another_meanwhile_then_that_one_is_cancelled(house: scene.House) -> None:
    worker = await house.worker()
    (first,) = house.submit()
    operation_id = await start(house, "cancel")
    links = await chain(house, worker, first, links=3)

    view = await carry_out(house, operation_id)

    assert [house.state(each) for each in links] == [*["succeeded"] * 3, "cancelled"]
    assert (view.matched, view.changed) == (1, 1)


async def test_cancel_when_a_chain_had_ended_before_then_nothing_is_meant(house: scene.House) -> None:
    worker = await house.worker()
    (first,) = house.submit()
    links = await chain(house, worker, first, links=1)
    await house.begin(links[-1], worker, ending=scene.returned())
    spared = (await start(house, "cancel"), *house.submit())

    view = await carry_out(house, spared[0])

    assert (view.matched, house.state(spared[1])) == (0, "queued")


async def test_reprioritise_when_a_run_goes_on_as_another_meanwhile_then_that_one_moves(house: scene.House) -> None:
    worker = await house.worker()
    (first,) = house.submit()
    operation_id = await start(house, "reprioritise", priority=run.Priority.BATCH)
    links = await chain(house, worker, first, links=1)

    await carry_out(house, operation_id)

    priorities = "select priority from heddle_run where id = %s"
    assert [house.value(priorities, each) for each in links] == ["standard", "batch"]


async def test_chain_when_its_first_run_has_gone_with_its_week_then_the_others_lead_to_the_last(
    house: scene.House,
) -> None:
    worker = await house.worker()
    links = await chain(house, worker, house.submit()[0], links=4)
    house.connection.execute("delete from heddle_run where id = %s", [links[0]])

    shown = await house.shown(links[1])
    await house.signal(links[2], "word", "heard")
    is_cancelled = await house.cancel(links[1])

    assert (shown.continued_last, is_cancelled) == (links[-1], True)
    assert house.value("select run_id from heddle_signal") == links[-1]
    assert house.state(links[-1]) == "cancelled"


@pytest.mark.parametrize(("calls", "chunks"), [(1, [1, 1, 1, 1]), (3, [2, 2]), (4, [2, 2]), (5, [3, 1]), (99, [4])])
async def test_cancel_when_runs_have_many_calls_then_a_chunk_takes_no_more_than_are_bearable(
    house: scene.House, monkeypatch: pytest.MonkeyPatch, calls: int, chunks: list[int]
) -> None:
    monkeypatch.setattr(operating_store, "CALLS_AT_ONCE", calls)
    worker = await house.worker()
    for _ in range(4):
        (run_id,) = house.submit()
        pair = [scene.call(number, "step", f"s{number}") for number in (1, 2)]
        await house.begin(run_id, worker, *pair, ending=scene.suspended(1))
    operation_id = await start(house, "cancel")

    done = [await house.store.operate(batch=50, cleanup_s=scene.CLEANUP_S) for _ in range(6)]

    view: operators.OperationView = await ask("operation", tenant=house.tenant, operation_id=operation_id)
    assert [each.changed for each in done if each is not None and each.changed] == chunks
    assert [each.changed_in_all for each in done if each is not None and each.is_over] == [4]
    assert (view.state, view.looked_at, view.matched, view.changed) == ("done", 4, 4, 4)


async def test_operate_when_one_tenants_takes_long_then_anothers_does_not_wait_for_its_end(house: scene.House) -> None:
    other = await scene.in_thread(lambda: house.doors().tenant(name="hurried"))
    house.submit(count=9)
    wanted = scene.new_run(other)
    hurried = (await scene.in_thread(lambda: house.doors().submit(wanted))).run_id
    first, second = [await start(house, "cancel") for _ in range(2)]
    await house.store.operate(batch=2, cleanup_s=scene.CLEANUP_S)
    await start(house, "cancel", tenant=other)

    await house.store.operate(batch=2, cleanup_s=scene.CLEANUP_S)
    await house.store.operate(batch=2, cleanup_s=scene.CLEANUP_S)

    assert house.state(hurried) == "cancelled"
    looked_at = dict(house.rows("select id, looked_at from heddle_operation where tenant_id = 1"))
    assert looked_at == {first: 4, second: 0}
