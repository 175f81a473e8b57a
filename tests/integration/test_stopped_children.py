"""A child run that is stopped with the run above it goes on when that is retried: real workers, the public client."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from heddle import wiring
from heddle.config import deployment
from heddle.core import faults, settle
from heddle.core.run import RunState
from heddle.core.step import StepKind, StepState
from heddle.ports import doors, provider
from tests import pg
from tests.integration import children_workflows, working
from tests.races import invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
assert children_workflows.portrait.name == "children.portrait"


class Studio(working.Painter):
    """Sell pictures; refuse the first check of every number."""

    def __init__(self) -> None:
        super().__init__()
        self.checked: set[int] = set()

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        number = request.input["number"]
        if request.model != "children_check":
            return await super().send(request)
        if number not in self.checked:
            self.checked.add(number)
            return settle.Faulted(fault=faults.StepFault(fault=faults.Fault.REJECTED_PERMANENT, message="not yet"))
        return settle.Completed(output=request.input)


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def workers(
    database: pg.Database, tmp_path_factory: pytest.TempPathFactory, studio: Studio
) -> AsyncIterator[pg.Database]:
    folder = tmp_path_factory.mktemp("children")
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        house.deploy(
            [scene.endpoint("children_studio")],
            [
                deployment.Route(model="children_buy", endpoint="children_studio"),
                deployment.Route(model="children_check", endpoint="children_studio"),
            ],
        )
        async with working.working(working.parts_of(database, folder, studio)):
            yield database
            await working.until(lambda: not invariants.broken(connection, drained=True))


async def pictured(run_id: uuid.UUID) -> uuid.UUID:
    """Wait until the portrait below an album has its picture and waits to be seen; give its run."""
    for _ in range(int(working.PATIENCE_S * 20)):
        child_id = await scene.in_thread(lambda: _pictured(run_id))
        if child_id is not None:
            return uuid.UUID(str(child_id))
        await asyncio.sleep(0.05)
    raise AssertionError(f"no picture within {working.PATIENCE_S:g} s")


def _pictured(run_id: uuid.UUID) -> uuid.UUID | None:
    client = wiring.client()
    child_id = next((step.child_run for step in client.steps(run_id) if step.ordinal == 1), None)
    states = [] if child_id is None else [(step.kind, step.state) for step in client.steps(child_id)]
    is_there = states == [(StepKind.MODEL, StepState.SUCCEEDED), (StepKind.SIGNAL, StepState.WAITING)]
    return child_id if is_there else None


async def test_retry_when_a_child_was_stopped_with_the_run_above_it_then_what_it_paid_for_is_not_paid_again(
    workers: pg.Database, studio: Studio
) -> None:
    client = wiring.client()
    run_id = await working.submitted("children.album", {"number": 7})
    child_id = await pictured(run_id)
    await scene.in_thread(lambda: client.signal(run_id, "checked"))
    failed = await working.waited(run_id)
    stopped = await working.waited(child_id)
    with pytest.raises(doors.RunNotRetryable, match="neither failed nor expired"):
        await scene.in_thread(lambda: client.retry(child_id))

    await scene.in_thread(lambda: client.retry(run_id))
    again_id = await pictured(run_id)
    await scene.in_thread(lambda: client.signal(child_id, "seen"))
    view = await working.waited(run_id)

    assert (failed.state, stopped.state) == (RunState.FAILED, RunState.CANCELLED)
    assert (view.state, view.output, view.error) == (RunState.SUCCEEDED, 7, None)
    assert (studio.sent, again_id) == (1, child_id)
    told = [event.name for event in await scene.in_thread(lambda: client.events(child_id))]
    assert told[-1] == "run.succeeded"
    assert {"run.cancelled", "run.retried"} <= set(told)
