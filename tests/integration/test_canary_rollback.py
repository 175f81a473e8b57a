"""A canary whose pictures are blank is rolled back by itself: gates refuse them, the leader counts, claims leave it."""

import dataclasses
import io
import pathlib
import random
import uuid
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio
from PIL import Image

from heddle import wiring
from heddle.config import deployment
from heddle.core import attempt, settle
from heddle.core.policy import quality
from heddle.core.run import RunState
from heddle.ports import provider, records, store
from heddle.store import operators as operators_store
from tests import pg
from tests.integration import canary_child, working
from tests.races import invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODEL = "canary_paint"
PRICE_NANO_USD = 40_000_000
GATES = quality.QualityOptions(decodes=True, width_min=64, blank_max=0.95, tries_max=3)


class Studio:
    """Paint at once: noise, or nothing at all."""

    capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.A, is_paid=True)

    def __init__(self, *, is_blank: bool) -> None:
        self._is_blank = is_blank
        self._rng = random.Random(5)

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        made = Image.new("RGB", (64, 64), "white")
        if not self._is_blank:
            made = Image.frombytes("RGB", (64, 64), self._rng.randbytes(64 * 64 * 3))
        stream = io.BytesIO()
        made.save(stream, "PNG")
        stored = await request.artifacts.write(stream.getvalue(), media_type="image/png")
        return settle.Completed(output={"image": stored.as_json()}, cost_nano_usd=PRICE_NANO_USD)

    async def close(self) -> None:
        """Hold nothing."""


def built(row: store.EndpointRow) -> provider.Provider:
    return cast("provider.Provider", Studio(is_blank=row.name == "canary_new"))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def house(database: pg.Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[scene.House]:
    folder: pathlib.Path = tmp_path_factory.mktemp("canary")
    with database.connect() as connection, pytest.MonkeyPatch.context() as patched:
        patched.setenv(canary_child.FOLDER, str(folder))
        made = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        made.deploy(
            [scene.endpoint("canary_old"), scene.endpoint("canary_new")],
            [
                deployment.Route(model=MODEL, endpoint="canary_old"),
                deployment.Route(model=MODEL, endpoint="canary_new", canary=True),
            ],
            models=[deployment.Model(name=MODEL, quality=GATES)],
        )
        parts = working.parts_of(database, folder, None, preload=[canary_child.__name__])
        parts.blobs = canary_child.storage(folder)
        parts.build_provider = built
        parts.settings = dataclasses.replace(parts.settings, route_interval_s=0.2, load_interval_s=0.1)
        async with working.working(parts):
            yield made
            await working.until(lambda: not invariants.broken(connection, drained=True))


async def paint(house: scene.House, count: int) -> list[uuid.UUID]:
    """Start so many calls, each a run of its own."""
    wanted = scene.new_run(house.tenant, workflow=f"model:{MODEL}", call=scene.call(1, "model", MODEL))

    def submit() -> list[uuid.UUID]:
        return [house.doors().submit(wanted).run_id for _ in range(count)]

    found: list[uuid.UUID] = await scene.in_thread(submit)
    return found


async def over(runs: list[uuid.UUID]) -> list[records.RunView]:
    """Wait for runs."""
    return [await working.waited(run_id) for run_id in runs]


def endpoints_of(house: scene.House, runs: list[uuid.UUID]) -> list[tuple[Any, ...]]:
    """Give where each try of runs went, how it ended, with which code, and what it cost."""
    return house.rows(
        "select e.name, a.state, a.fault ->> 'code', a.cost_nano_usd from heddle_attempt a "
        "join heddle_endpoint e on e.id = a.endpoint_id where a.run_id = any(%s)",
        runs,
    )


async def test_canary_when_its_pictures_are_blank_then_it_is_rolled_back_by_itself(house: scene.House) -> None:
    desk = operators_store.DjangoOperators(cleanup_s=scene.CLEANUP_S)
    await scene.in_thread(
        lambda: desk.start_canary(model=MODEL, endpoint="canary_new", share=0.4, margin=0.05, actor="test")
    )
    runs: list[uuid.UUID] = []

    def is_rolled_back() -> bool:
        return bool(house.rows("select 1 from heddle_canary where state = 'rolled_back'"))

    for _ in range(40):
        if is_rolled_back():
            break
        made = await paint(house, 15)
        runs += made
        await over(made)
    later = await paint(house, 20)
    ended = await over(later)

    assert is_rolled_back()
    assert {view.state for view in ended} == {RunState.SUCCEEDED}
    assert {(name, state) for name, state, _, _ in endpoints_of(house, later)} == {("canary_old", "done")}
    tries = endpoints_of(house, runs)
    refused = [each for each in tries if each[0] == "canary_new"]
    # Refused results were paid for, and are booked.
    assert set(refused) == {("canary_new", "rejected", "quality", PRICE_NANO_USD)}
    assert len(refused) >= 20
    assert house.value("select sum(amount_nano_usd) from heddle_ledger where kind = 'charge'") == PRICE_NANO_USD * (
        len(tries) + len(later)
    )
    (reason,) = house.rows("select after ->> 'reason' from heddle_audit where actor = 'leader'")[0]
    assert "calls were bad" in reason
    breakers = house.rows("select distinct breaker from heddle_limit_state")
    assert breakers == [("closed",)]
    shown = {each.name: each for each in await scene.in_thread(lambda: wiring.client().endpoints())}
    assert shown["canary_new"].routes[0].weight_now == 0.0
