"""Equal calls of a model that declares it share one paid call: real workers and database, a provider that counts."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from heddle import wiring
from heddle.config import deployment
from heddle.core import attempt, settle
from heddle.core.run import RunState
from heddle.ports import provider
from tests import pg
from tests.integration import reuse_workflows, working
from tests.races import scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
EQUAL_CALLS = 20
assert reuse_workflows.draw.name == "reuse_draw"


class Painter:
    """Answer after a moment; count what was asked for, by seed."""

    capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.B, is_paid=True)

    def __init__(self) -> None:
        self.asked: list[int | None] = []

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        self.asked.append(request.input.get("seed"))
        await asyncio.sleep(0.2)
        return settle.Completed(output=len(self.asked))

    async def close(self) -> None:
        """Hold nothing."""


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def workers(
    database: pg.Database, tmp_path_factory: pytest.TempPathFactory, painter: Painter
) -> AsyncIterator[None]:
    folder = tmp_path_factory.mktemp("reuse")
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        house.deploy(
            [scene.endpoint("one")],
            [deployment.Route(model="reuse_draw", endpoint="one")],
            scopes=[deployment.Scope(name="one", concurrency=50)],
        )
    wiring.client.cache_clear()
    made = [working.parts_of(database, folder, painter, name=name) for name in ("one", "two")]
    async with working.working(*made):
        yield


async def test_calls_when_they_are_equal_and_at_once_then_one_is_paid_and_all_have_its_result(
    workers: None, painter: Painter
) -> None:
    runs = [await working.submitted("model:reuse_draw", {"seed": 1}) for _ in range(EQUAL_CALLS)]
    views = [await working.waited(run_id) for run_id in runs]

    assert painter.asked.count(1) == 1
    assert {(view.state, view.output) for view in views} == {(RunState.SUCCEEDED, views[0].output)}
    assert sum(view.cost_nano_usd for view in views) == scene.COST_NANO_USD


async def test_call_when_an_equal_one_ended_before_then_it_is_free_and_says_whose_result_it_has(
    workers: None, painter: Painter
) -> None:
    first = await working.submitted("model:reuse_draw", {"seed": 2})
    await working.waited(first)
    second = await working.submitted("model:reuse_draw", {"seed": 2})
    view = await working.waited(second)

    (call,) = await scene.in_thread(lambda: wiring.client().steps(second))

    assert painter.asked.count(2) == 1
    assert (view.cost_nano_usd, call.reused_run, call.reused_call) == (0, first, 1)
    assert call.attempts == ()


async def test_call_when_it_lacks_what_makes_it_deterministic_then_each_is_made(
    workers: None, painter: Painter
) -> None:
    for _ in range(2):
        await working.ended("model:reuse_draw", {})

    assert painter.asked.count(None) == 2


async def test_call_when_it_is_to_be_fresh_then_it_is_made_beside_the_shared_one(
    workers: None, painter: Painter
) -> None:
    view = await working.ended("reuse.twice", {"seed": 3})

    assert view.state is RunState.SUCCEEDED
    assert painter.asked.count(3) == 2
