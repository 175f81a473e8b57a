"""Run an installation in this process whose one endpoint is an adapter that speaks to a vendor's twin.

A real worker, PostgreSQL and a door for callbacks; the referee is the twin's own ledger.
"""

import asyncio
import contextlib
import dataclasses
import pathlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from heddle.config import deployment
from heddle.engine import parts as parts_module
from heddle.ports import provider
from heddle.providers import registry
from heddle.store import blobs
from heddle.store import django as django_store
from heddle.twins import registry as twins
from heddle.twins.kit import ledger, options, server
from tests import pg
from tests.integration import callback_door
from tests.integration import site as site_module
from tests.races import scene
from tests.twins import invented

ENVIRON = {"KEY": options.DEFAULT_API_KEY, "HOOK": options.DEFAULT_WEBHOOK_SECRET}


@dataclasses.dataclass(slots=True, kw_only=True)
class TwinSite(site_module.Site):
    """One installation, the twin that its endpoint leads to, and the address of its door."""

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

    def spent(self, run_id: uuid.UUID) -> tuple[str, int]:
        """How a run ended, and what was booked for it."""
        row = self.connection.execute(
            "select r.state, coalesce((select sum(a.cost_nano_usd) from heddle_attempt a where a.run_id = r.id), 0)"
            " from heddle_run r where r.id = %s",
            (run_id,),
        ).fetchone()
        assert row is not None
        return str(row[0]), int(row[1])

    def books(self) -> ledger.Summary:
        return ledger.summarise(self.folder / "paid.jsonl")


@contextlib.asynccontextmanager
async def selling(
    database: pg.Database,
    folder: pathlib.Path,
    *,
    vendor: str,
    given: Mapping[str, Any],
    price_nano_usd: int = 0,
    callback_secret: str | None = None,
    secret: str | None = "env:KEY",
    **plan: Any,
) -> AsyncIterator[TwinSite]:
    """An installation whose model ``twin_model`` leads to a vendor's twin with these faults; no worker runs yet."""
    adapters: dict[str, provider.Provider] = {}
    async with (
        server.Running(twins.load(vendor)(invented.given(folder, **plan))) as there,
        callback_door.serving(adapters) as door_url,
    ):
        endpoint = deployment.Endpoint(
            name="there",
            adapter=vendor,
            url=there.url,
            scopes=("there",),
            secret=secret,
            callback_secret=callback_secret,
            price_nano_usd=price_nano_usd,
            options=given,
        )
        adapters[endpoint.name] = made = registry.build(endpoint, ENVIRON)
        with database.connect() as connection:
            house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
            house.wipe()
            house.deploy(
                [scene.endpoint("there", price_nano_usd=price_nano_usd)],
                [deployment.Route(model="twin_model", endpoint="there")],
                scopes=[deployment.Scope(name="there", concurrency=4)],
            )
            tenant = await scene.in_thread(lambda: django_store.DjangoDoors().tenant(name="default"))
            yield TwinSite(
                database=database,
                connection=connection,
                folder=folder,
                tenant=tenant,
                made=made,
                there=there,
                door_url=door_url,
            )
        await made.close()


async def until(is_so: Callable[[], bool]) -> None:
    """Look again until it is so, for ten seconds at most."""
    for _ in range(1_000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to be in ten seconds")
