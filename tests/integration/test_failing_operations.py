"""A bulk operation that always fails is ended with its reason shown, and the tenant's next one goes on."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from heddle.core import run
from heddle.ports import operating, operators, records
from heddle.store import operators as operators_store
from tests.races import fixtures, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    open_house.connection.execute("delete from heddle_operation")
    yield open_house


@pytest.fixture
def refusing(house: scene.House) -> Iterator[None]:
    """Let the database refuse whatever cancels a run with the label ``bad``."""
    house.connection.execute(
        "create function refuse_bad() returns trigger language plpgsql as $$ begin"
        " raise exception 'this run is bad' using errcode = 'check_violation', detail = 'row (secret)'; end $$"
    )
    house.connection.execute(
        "create trigger refuse_bad before update on heddle_run for each row"
        " when (new.cancel_requested_at is not null or new.state = 'cancelled') execute function refuse_bad()"
    )
    yield
    house.connection.execute("drop trigger refuse_bad on heddle_run; drop function refuse_bad()")


async def ask(what: str, /, **given: Any) -> Any:
    """Call the operators' desk."""
    desk = operators_store.DjangoOperators(cleanup_s=scene.CLEANUP_S)
    return await scene.in_thread(lambda: getattr(desk, what)(**given))


async def begin(house: scene.House, action: str, priority: run.Priority | None = None) -> operators.OperationView:
    """Start an operation on every run of the workflow."""
    new = operators.NewOperation(
        tenant=records.Tenant(id=house.tenant.id, name=house.tenant.name),
        action=operators.Action(action),
        where=operators.BulkFilter(workflow=scene.WORKFLOW),
        priority=priority,
        actor="test",
    )
    view: operators.OperationView = await ask("start_operation", new=new)
    return view


async def chunk(house: scene.House, *, batch: int = 5) -> operating.OperationStep | None:
    return await house.store.operate(batch=batch, cleanup_s=scene.CLEANUP_S)


@pytest.mark.usefixtures("refusing")
async def test_operation_when_its_chunk_raises_then_it_is_named_and_once_ended_the_next_one_goes_on(
    house: scene.House,
) -> None:
    house.submit(count=3)
    bad = await begin(house, "cancel")
    good = await begin(house, "reprioritise", run.Priority.BATCH)

    with pytest.raises(operating.ChunkFailed) as caught:
        await chunk(house)
    is_ended = await house.store.fail_operation(id=caught.value.id, reason=caught.value.reason)
    is_ended_again = await house.store.fail_operation(id=caught.value.id, reason="again")
    for _ in range(9):
        await chunk(house)

    shown = [await ask("operation", tenant=house.tenant, operation_id=each.id) for each in (bad, good)]
    assert (caught.value.id, caught.value.action, is_ended, is_ended_again) == (bad.id, "cancel", True, False)
    assert [(view.state, view.changed) for view in shown] == [("stopped", 0), ("done", 3)]
    assert shown[0].reason == "CheckViolation: this run is bad"
    assert shown[0].finished_at is not None
    assert shown[1].reason is None
    audited = [(each.actor, each.subject) for each in await ask("audit", limit=9) if each.action == "operation.fail"]
    assert audited == [("leader", f"operation {bad.id}")]


async def test_operation_when_the_schema_is_of_another_release_then_it_is_not_the_operations_fault(
    house: scene.House,
) -> None:
    house.submit(count=1)
    await begin(house, "cancel")
    house.connection.execute("alter table heddle_run rename column cancel_requested_at to elsewhere")

    try:
        with pytest.raises(Exception, match="cancel_requested_at") as caught:
            await chunk(house)
    finally:
        house.connection.execute("alter table heddle_run rename column elsewhere to cancel_requested_at")

    assert not isinstance(caught.value, operating.ChunkFailed)


async def test_operation_when_one_run_takes_too_long_then_it_failed_and_while_there_were_more_it_did_not(
    house: scene.House,
) -> None:
    house.submit(count=2)
    bad = await begin(house, "cancel")
    house.connection.execute(
        "create function tarry() returns trigger language plpgsql as $$ begin"
        " perform pg_cancel_backend(pg_backend_pid()); perform pg_sleep(9); return new; end $$"
    )
    house.connection.execute("create trigger tarry before update on heddle_run for each row execute function tarry()")

    raised = []
    for batch in (2, 1):
        with pytest.raises(Exception, match="cancel") as caught:
            await chunk(house, batch=batch)
        raised.append(type(caught.value).__name__)
    house.connection.execute("drop trigger tarry on heddle_run; drop function tarry()")

    assert raised == ["StoreLost", "ChunkFailed"]
    view = await ask("operation", tenant=house.tenant, operation_id=bad.id)
    assert (view.state, view.reason) == ("queued", None)


async def test_operation_when_it_is_stopped_by_hand_then_that_is_its_reason(house: scene.House) -> None:
    house.submit(count=1)
    begun = await begin(house, "cancel")

    await ask("stop_operation", tenant=house.tenant, operation_id=begun.id, actor="somebody")

    view = await ask("operation", tenant=house.tenant, operation_id=begun.id)
    assert (view.state, view.reason) == ("stopped", "it was stopped by hand")
