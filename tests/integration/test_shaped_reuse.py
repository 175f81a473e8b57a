"""A result in the model's shape, told of by a callback, and taken by equal calls: by whom it may be, and for nothing.

Real workers, PostgreSQL and a simulated seller that is asked after nobody but when it has called back.
"""

import asyncio
import contextlib
import pathlib
import uuid
from collections.abc import AsyncIterator

import pytest

from heddle import wiring
from heddle.core import artifact
from heddle.core.run import RunState
from heddle.engine import reuse
from heddle.ports import records
from heddle.store import standing
from tests import pg
from tests.integration import canary_child, shaped_models, town, working
from tests.races import scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
OWN, SHARED = shaped_models.own.name, shaped_models.shared.name
# Whoever is not called back would wait for longer than the test does.
CONFIG = f"""
[tenants.default]
[tenants.other]
[endpoints.there]
adapter = "simulator"
url = "$there"
secret = "env:KEY"
callback_secret = "env:HOOK"
price_usd = "0.04"
class = "A"
poll_after_s = 600
[endpoints.there.shape]
input = {{ prompt = "{{input.scene}}", seed = "{{input.seed}}", output_format = "png", width = 64, height = 64 }}
output = {{ picture = "{{output.image}}", scene = "{{input.scene}}" }}
[[routes]]
model = "{OWN}"
endpoint = "there"
[[routes]]
model = "{SHARED}"
endpoint = "there"
"""


@contextlib.asynccontextmanager
async def opened(database: pg.Database, folder: pathlib.Path) -> AsyncIterator[town.Town]:
    """Open the installation with a worker."""
    seller = town.Seller(idempotency="A", latency_s=0.2)
    async with (
        town.opened(database, folder, CONFIG, there=seller) as there,
        working.working(there.lean_parts(poll_after_max_s=600.0)),
    ):
        yield there


async def asked(model: str, *, seed: int, tenant: str = "default") -> records.RunView:
    """Ask for a picture and wait for it."""
    run_id = await working.submitted(f"model:{model}", {"scene": "espresso", "seed": seed}, tenant=tenant)
    view: records.RunView = await scene.in_thread(
        lambda: wiring.client().wait(run_id, tenant=tenant, timeout_s=working.PATIENCE_S)
    )
    return view


async def call_of(run_id: uuid.UUID, *, tenant: str = "default") -> records.StepView:
    """Look at the one call of a run."""
    (found,) = await scene.in_thread(lambda: wiring.client().steps(run_id, tenant=tenant))
    call: records.StepView = found
    return call


def picture_of(view: records.RunView) -> artifact.Artifact:
    """Give the picture of a run, whose output has the model's shape."""
    assert isinstance(view.output, dict)
    assert set(view.output) == {"picture", "scene"}
    assert view.output["scene"] == "espresso"
    return artifact.Artifact.from_json(view.output["picture"])


def removed(folder: pathlib.Path, picture: artifact.Artifact, *, tenant: str = "default") -> None:
    """Remove a file as whoever needs the room does: the storage has a folder for each tenant."""
    for path in (folder / tenant).rglob(f"{picture.sha256}*"):
        path.unlink()


async def test_result_when_an_equal_call_comes_then_it_gets_the_shaped_one_for_nothing_and_says_whose(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with opened(database, tmp_path) as there:
        first = await asked(OWN, seed=1)
        second = await asked(OWN, seed=1)
        call = await call_of(second.id)

        assert first.state is second.state is RunState.SUCCEEDED
        assert picture_of(first) == picture_of(second)
        assert (first.cost_nano_usd, second.cost_nano_usd) == (town.PRICE_NANO_USD, 0)
        assert (call.reused_run, call.reused_call, call.attempts) == (first.id, 1, ())
        assert (there.book("there").paid, there.charged()) == (1, town.PRICE_NANO_USD)
        assert there.broken() == {}


async def test_result_when_an_equal_call_comes_while_the_seller_works_then_both_get_the_shaped_one_and_one_is_paid(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with opened(database, tmp_path) as there:
        given = {"scene": "espresso", "seed": 2}
        runs = [await working.submitted(f"model:{OWN}", given) for _ in range(3)]
        views = [await working.waited(run_id) for run_id in runs]

        assert len({picture_of(view) for view in views}) == 1
        assert sorted(view.cost_nano_usd for view in views) == [0, 0, town.PRICE_NANO_USD]
        assert there.book("there").paid == 1
        assert there.broken() == {}


async def test_result_when_another_tenant_asks_then_it_pays_for_its_own(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with opened(database, tmp_path) as there:
        await asked(OWN, seed=3)
        other = await asked(OWN, seed=3, tenant="other")
        call = await call_of(other.id, tenant="other")

        assert (other.state, other.cost_nano_usd) == (RunState.SUCCEEDED, town.PRICE_NANO_USD)
        assert (call.reused_run, len(call.attempts)) == (None, 1)
        assert there.book("there").paid == 2
        assert there.broken() == {}


async def test_result_when_it_is_shared_then_another_tenant_has_its_own_copy_of_the_shaped_one_for_nothing(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with opened(database, tmp_path) as there:
        first = await asked(SHARED, seed=4)
        other = await asked(SHARED, seed=4, tenant="other")
        call = await call_of(other.id, tenant="other")
        picture = picture_of(other)
        storage = canary_child.storage(tmp_path)
        kept = [len(chunk) async for chunk in storage.read(tenant="other", sha256=picture.sha256)]

        assert picture == picture_of(first)
        assert (other.state, other.cost_nano_usd) == (RunState.SUCCEEDED, 0)
        assert (call.reused_call, call.attempts) == (1, ())
        assert sum(kept) == picture.size_bytes
        assert (there.book("there").paid, there.charged()) == (1, town.PRICE_NANO_USD)
        assert there.broken() == {}


async def test_result_when_its_picture_was_removed_then_the_next_pays_for_it_anew_and_those_after_take_that_one(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with opened(database, tmp_path) as there:
        first = await asked(OWN, seed=5)
        removed(tmp_path, picture_of(first))
        second = await asked(OWN, seed=5)
        third = await asked(OWN, seed=5)
        calls = [await call_of(view.id) for view in (second, third)]

        assert [view.state for view in (second, third)] == [RunState.SUCCEEDED] * 2
        assert [view.cost_nano_usd for view in (second, third)] == [town.PRICE_NANO_USD, 0]
        assert [(call.reused_run, len(call.attempts)) for call in calls] == [(None, 1), (second.id, 0)]
        assert there.book("there").paid == 2
        assert there.broken() == {}


async def test_result_when_its_picture_was_removed_then_another_tenant_pays_for_its_own(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with opened(database, tmp_path) as there:
        removed(tmp_path, picture_of(await asked(SHARED, seed=6)))
        other = await asked(SHARED, seed=6, tenant="other")
        kept = await canary_child.storage(tmp_path).stat(tenant="other", sha256=picture_of(other).sha256)

        assert (other.state, other.cost_nano_usd) == (RunState.SUCCEEDED, town.PRICE_NANO_USD)
        assert kept == picture_of(other)
        assert there.book("there").paid == 2
        assert there.broken() == {}


async def test_result_when_the_artifact_folder_is_not_there_then_the_call_waits_for_it_and_pays_nothing(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    async with opened(database, folder) as there:
        first = await asked(OWN, seed=7)
        hidden = [(path, tmp_path / path.name) for path in folder.iterdir() if not path.name.startswith(".")]
        for path, elsewhere in hidden:
            path.rename(elsewhere)
        run_id = await working.submitted(f"model:{OWN}", {"scene": "espresso", "seed": 7})
        told = await told_of(run_id)
        problem = standing.checks(storage=canary_child.storage(folder), state_dir=tmp_path)["artifacts"]
        not_ready = await scene.in_thread(problem)
        for path, elsewhere in hidden:
            elsewhere.rename(path)
        second = await working.waited(run_id)

        assert reuse.NOT_MOUNTED in told
        assert "mount it" in (not_ready or "")
        assert await scene.in_thread(problem) is None
        assert (second.state, second.cost_nano_usd) == (RunState.SUCCEEDED, 0)
        assert picture_of(first) == picture_of(second)
        assert there.book("there").paid == 1


async def told_of(run_id: uuid.UUID) -> str:
    """Wait until a run's call has a fault; give what it says."""
    for _ in range(int(working.PATIENCE_S * 20)):
        call = await call_of(run_id)
        if call.fault is not None:
            return call.fault.message
        await asyncio.sleep(0.05)
    raise AssertionError(f"no fault within {working.PATIENCE_S:g} s")
