"""fal's jobs through the whole engine: real workers, database, adapter and door, on a bad day of fal's twin.

Every answer to a submission is cut after it was paid, and every callback is forged first and sent twice. Class C has
neither a key nor a look-up, so the signed callback alone tells which job a submission became.
"""

import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Self

import pytest
import pytest_asyncio
from aiohttp import web

from heddle import client as client_room
from heddle import wiring
from heddle.client import tokens
from heddle.config import deployment
from heddle.core import ids
from heddle.core.run import RunState
from heddle.ports import provider
from heddle.store import blobs
from heddle.twins.fal import twin
from heddle.twins.kit import ledger
from tests import pg
from tests.integration import fal_engine_workflows, twin_caller, working
from tests.races import scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
RUNS = 4  # fewer lost answers than open the breaker, which would rightly keep the others waiting
assert fal_engine_workflows.draw.name == "fal_engine_draw"


class Door:
    """Take callbacks as the web process does, and count those that were believed and those that were not."""

    def __init__(self, adapter: provider.Provider) -> None:
        self.believed = 0
        self.refused = 0
        self.url = ""
        self._client = wiring.client()
        self._client._verify_callback = self._verify
        self._adapter = adapter

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/callbacks/{endpoint}/{token}", self._take)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def callback_url(self, endpoint: str, attempt_id: str) -> str:
        secret = self._client.limits.secret_key
        token = tokens.callback_token(secret_key=secret, attempt_id=ids.AttemptId.parse(attempt_id))
        return f"{self.url}/callbacks/{endpoint}/{token}"

    def _verify(
        self, *, endpoint: str, headers: Mapping[str, str], body: bytes, now_s: float
    ) -> provider.CallbackEvent:
        return self._adapter.verify_callback(headers=headers, body=body, now_s=now_s)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            await scene.in_thread(
                lambda: self._client.callback(
                    endpoint=request.match_info["endpoint"],
                    token=request.match_info["token"],
                    headers=headers,
                    body=body,
                )
            )
        except (provider.CallbackRefused, client_room.TokenRefused):
            self.refused += 1
            return web.Response(status=401)
        self.believed += 1
        return web.Response(status=202)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def door(database: pg.Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("fal_engine")
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        house.deploy(
            [scene.endpoint("fal")],
            [deployment.Route(model="fal_engine_draw", endpoint="fal")],
            scopes=[deployment.Scope(name="fal", concurrency=50)],
        )
    wiring.client.cache_clear()
    plan = {"latency_s": 0.3, "cut": 1.0, "callback_forged": 1.0, "callback_duplicated": 1.0}
    settings = {"model_name": "fal-ai/flux/dev", "jwks_url": "{url}/.well-known/jwks.json"}
    async with (
        twin_caller.calling(twin.FalTwin, folder, plan, **settings) as there,
        Door(there.provider) as door,
    ):
        store = blobs.FilesystemBlobs(directory=folder / "kept", bytes_max=1_000_000, pixels_max=1_000_000)
        parts = dataclasses.replace(
            working.parts_of(database, folder, there.provider), blobs=store, callback_url=door.callback_url
        )
        async with working.working(parts):
            yield door
    wiring.client.cache_clear()
    summary = ledger.summarise(folder / "paid.jsonl")
    assert (summary.paid, summary.paid_twice) == (RUNS, ())


async def test_runs_when_every_answer_is_lost_then_the_signed_callbacks_bring_their_pictures_and_each_is_paid_once(
    door: Door,
) -> None:
    run_ids = [
        await working.submitted("model:fal_engine_draw", {"prompt": "dusk", "seed": seed}) for seed in range(RUNS)
    ]
    # One after another: each wait holds a thread, and the door needs some too.
    views = [await working.waited(run_id) for run_id in run_ids]

    assert {view.state for view in views} == {RunState.SUCCEEDED}, [view.error for view in views]
    assert {view.output["images"][0]["media_type"] for view in views} == {"image/png"}
    assert len({view.output["images"][0]["id"] for view in views}) == RUNS
    assert {view.cost_nano_usd for view in views} == {25_000_000}
    assert door.refused == RUNS
    assert door.believed >= RUNS
