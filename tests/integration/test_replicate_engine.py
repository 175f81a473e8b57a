"""A real worker, PostgreSQL and the twin of Replicate: what was bought is paid once, whatever became of the answer."""

import asyncio
import contextlib
import dataclasses
import importlib
import pathlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from heddle.config import deployment
from heddle.engine import parts as parts_module
from heddle.ports import provider
from heddle.program import registry as programs
from heddle.providers import registry
from heddle.store import blobs
from heddle.store import django as django_store
from heddle.twins.kit import faults, ledger, options, server
from heddle.twins.replicate import twin
from tests import pg
from tests.integration import site as site_module
from tests.integration import twin_workflows
from tests.races import scene
from tests.twins import invented

pytestmark = pytest.mark.asyncio(loop_scope="module")
PRICE_NANO_USD = 3_000_000
ENVIRON = {"KEY": options.DEFAULT_API_KEY, "HOOK": options.DEFAULT_WEBHOOK_SECRET}


@dataclasses.dataclass(slots=True, kw_only=True)
class TwinSite(site_module.Site):
    """An installation whose one endpoint is the adapter, speaking to a twin, with a door for its callbacks."""

    made: provider.Provider
    there: server.Running
    door_url: str

    def _parts(self) -> parts_module.Parts:
        kept = blobs.FilesystemBlobs(directory=self.folder / "artifacts", bytes_max=10_000_000, pixels_max=10_000_000)
        return dataclasses.replace(
            site_module.Site._parts(self),
            blobs=kept,
            build_provider=lambda _row: self.made,
            callback_url=lambda endpoint, attempt_id: f"{self.door_url}/callbacks/{endpoint}/{attempt_id}",
        )


@pytest.fixture(scope="module", autouse=True)
def workflows() -> Iterator[None]:
    """Register the workflow for this file only."""
    with programs.isolated():
        importlib.reload(twin_workflows)
        yield


@contextlib.asynccontextmanager
async def door(adapters: list[provider.Provider]) -> AsyncIterator[str]:
    """Take callbacks as the product's door does: verified by the adapter, then kept with the job that they name."""

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        try:
            event = adapters[0].verify_callback(headers=headers, body=body, now_s=time.time())
        except provider.CallbackRefused:
            return web.Response(status=401)
        keep = lambda: django_store.DjangoDoors().callback(  # noqa: E731
            endpoint=request.match_info["endpoint"],
            attempt_id=request.match_info["attempt"],
            event_id=event.event_id,
            handle=event.handle,
        )
        await scene.in_thread(keep)
        return web.Response(status=202)

    application = web.Application()
    application.router.add_post("/callbacks/{endpoint}/{attempt}", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def selling(database: pg.Database, folder: pathlib.Path, **plan: Any) -> AsyncIterator[TwinSite]:
    """An installation and a twin with these faults; no worker runs yet."""
    adapters: list[provider.Provider] = []
    async with (
        server.Running(twin.ReplicateTwin(invented.given(folder, latency_s=0.3, **plan))) as there,
        door(adapters) as door_url,
    ):
        endpoint = deployment.Endpoint(
            name="flux",
            adapter="replicate",
            url=there.url,
            scopes=("flux",),
            secret="env:KEY",
            callback_secret="env:HOOK",
            price_nano_usd=PRICE_NANO_USD,
            options={
                "model_name": "black-forest-labs/flux-schnell",
                "poll_after_s": 0.2,
                "lookup_bound_s": 60,
            },
        )
        adapters.append(registry.build(endpoint, ENVIRON))
        with database.connect() as connection:
            house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
            house.wipe()
            house.deploy(
                [scene.endpoint("flux", price_nano_usd=PRICE_NANO_USD)],
                [deployment.Route(model="twin_flux", endpoint="flux")],
                scopes=[deployment.Scope(name="flux", concurrency=4)],
            )
            tenant = await scene.in_thread(lambda: django_store.DjangoDoors().tenant(name="default"))
            yield TwinSite(
                database=database,
                connection=connection,
                folder=folder,
                tenant=tenant,
                made=adapters[0],
                there=there,
                door_url=door_url,
            )
        await adapters[0].close()


async def until(is_so: Callable[[], bool]) -> None:
    """Look again until it is so, for ten seconds at most."""
    for _ in range(1_000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to be in ten seconds")


def spent(site: TwinSite, run_id: uuid.UUID) -> tuple[str, int]:
    """How a run ended, and what was booked for it."""
    row = site.connection.execute(
        "select r.state, coalesce((select sum(a.cost_nano_usd) from heddle_attempt a where a.run_id = r.id), 0)"
        " from heddle_run r where r.id = %s",
        (run_id,),
    ).fetchone()
    assert row is not None
    return str(row[0]), int(row[1])


async def test_picture_when_ordered_then_made_and_booked_as_the_twin_was_paid(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with selling(database, tmp_path) as site, site.working():
        run_id = await site.submit("twin.picture", prompt="espresso on marble")
        await site.ended(run_id)
        found = spent(site, run_id)

    summary = ledger.summarise(tmp_path / "paid.jsonl")
    assert found == ("succeeded", PRICE_NANO_USD)
    assert (summary.paid, summary.paid_nano_usd) == (1, PRICE_NANO_USD)


async def test_picture_when_the_answer_to_its_order_is_cut_then_its_webhook_finds_it_and_it_is_paid_once(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    rates = faults.Rates(cut=1.0, callback_forged=1.0, callback_duplicated=1.0)
    async with selling(database, tmp_path, rates=rates, cut_at_bytes=40) as site, site.working():
        run_id = await site.submit("twin.picture", prompt="espresso on marble")
        await site.ended(run_id)
        found = spent(site, run_id)

    assert found == ("succeeded", PRICE_NANO_USD)
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 1


async def test_picture_when_answer_and_webhook_are_both_lost_then_unknown_and_never_bought_again(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    rates = faults.Rates(cut=1.0, callback_lost=1.0)
    async with selling(database, tmp_path, rates=rates) as site, site.working():
        run_id = await site.submit("twin.picture", prompt="espresso on marble")
        await site.until("select count(*) from heddle_step where run_id = %s and state = 'unknown'", run_id)
        await until(lambda: site.there.twin.jobs.open_count == 0)  # what was bought is made, and nobody is told
        found = spent(site, run_id)

    assert found == ("running", 0)
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 1


async def test_pictures_when_everything_goes_wrong_at_once_then_each_is_made_and_paid_once(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    rates = faults.Rates(
        throttled=0.2, cut=0.3, ask_failed=0.2, callback_duplicated=0.3, callback_late=0.2, callback_forged=0.3
    )
    async with selling(database, tmp_path, rates=rates, late_s=0.5, seed=11) as site, site.working():
        run_ids = [await site.submit("twin.picture", prompt=f"espresso {number}") for number in range(12)]
        for run_id in run_ids:
            await site.ended(run_id)
        found = [spent(site, run_id) for run_id in run_ids]

    assert found == [("succeeded", PRICE_NANO_USD)] * 12
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 12
