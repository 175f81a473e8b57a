"""Run one installation in this process that buys from several simulated sellers, as its ``heddle.toml`` says.

Real workers, adapters, artifacts and PostgreSQL, and a door for callbacks; the referees are the sellers' own books.
What is tried here is how features meet, so that nothing but the sellers' manners is scripted.
"""

import asyncio
import contextlib
import dataclasses
import pathlib
import string
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from heddle import wiring
from heddle.config import deployment
from heddle.core import attempt, plan, step
from heddle.engine import parts as parts_module
from heddle.ports import operators, provider, records
from heddle.providers import prices, registry
from heddle.store import apply
from heddle.store import django as django_store
from heddle.store import operators as operators_store
from heddle.twins import registry as twins
from heddle.twins.kit import faults, ledger, options, server
from heddle.twins.simulator import terms, twin
from tests import pg
from tests.integration import callback_door, canary_child, site, working
from tests.races import invariants, scene

ENVIRON = {"KEY": options.DEFAULT_API_KEY, "HOOK": options.DEFAULT_WEBHOOK_SECRET}
PRICE_NANO_USD = 40_000_000
PATIENCE_S = 15.0
LOOK_S = 0.02
PICTURE: Mapping[str, Any] = {"prompt": "espresso on marble", "output_format": "png"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """Describe one seller's manners: its class, what a job costs, and what goes wrong with it."""

    idempotency: str = "C"
    price_nano_usd: int = PRICE_NANO_USD
    rates: faults.Rates = dataclasses.field(default_factory=faults.Rates)
    latency_s: float = 0.1
    late_s: float = 0.1

    def twin(self, folder: pathlib.Path, name: str) -> twin.SimulatorTwin:
        """Give the seller's twin."""
        given = options.Options(
            ledger=folder / f"{name}.jsonl",
            plan=faults.Plan(seed=7, rates=self.rates, latency_s=self.latency_s, late_s=self.late_s),
        )
        offered = terms.Terms(
            idempotency=attempt.IdempotencyClass(self.idempotency),
            concurrency=1_000,
            price_nano_usd=self.price_nano_usd,
        )
        return twin.SimulatorTwin(given, offered=offered)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """Describe one vendor's manners by what goes wrong with it."""

    vendor: str
    rates: faults.Rates = dataclasses.field(default_factory=faults.Rates)
    latency_s: float = 0.1

    def twin(self, folder: pathlib.Path, name: str) -> server.Twin:
        """Give the vendor's twin."""
        plan = faults.Plan(seed=7, rates=self.rates, latency_s=self.latency_s)
        return twins.load(self.vendor)(options.Options(ledger=folder / f"{name}.jsonl", plan=plan))


@dataclasses.dataclass(slots=True, kw_only=True)
class Town:
    """Hold the installation: its house, its adapters by endpoint, the sellers by name, where they keep their books."""

    house: scene.House
    folder: pathlib.Path
    adapters: Mapping[str, provider.Provider]
    sellers: Mapping[str, server.Running]
    door_url: str

    def parts(self, name: str = "w", **more: Any) -> parts_module.Parts:
        """Name the parts of a worker; without ``compute`` no medium is measured."""
        made = working.parts_of(self.house.database, self.folder, None, name=name, preload=[canary_child.__name__])
        made.settings = dataclasses.replace(made.settings, **more)
        made.blobs = canary_child.storage(self.folder)
        made.build_provider = lambda row: self.adapters[row.name]
        made.callback_url = lambda endpoint, attempt_id: f"{self.door_url}/callbacks/{endpoint}/{attempt_id}"
        return made

    def lean_parts(self, name: str = "w", **more: Any) -> parts_module.Parts:
        """Name the parts of a worker that measures nothing, and so starts at once."""
        made = self.parts(name, **more)
        made.compute = site.NoCompute()
        return made

    def read(self, config: str) -> deployment.Deployment:
        """Read a ``heddle.toml`` in which ``$NAME`` stands for the address of a seller."""
        urls = {name: running.url for name, running in self.sellers.items()}
        return deployment.parse(string.Template(config).substitute(urls), file="heddle.toml")

    def apply(self, config: str) -> None:
        """Apply a ``heddle.toml``."""
        wanted = self.read(config)
        with self.house.connection.transaction(), self.house.connection.cursor() as cursor:
            apply.apply(cursor, wanted, prices=prices.expected(wanted))

    async def tenant(self, name: str) -> records.Tenant:
        """Give a tenant."""
        found: records.Tenant = await scene.in_thread(lambda: django_store.DjangoDoors().tenant(name=name))
        return found

    async def buy(
        self,
        model: str,
        given: Mapping[str, Any] = PICTURE,
        *,
        of: records.Tenant | None = None,
        count: int = 1,
        **more: Any,
    ) -> list[uuid.UUID]:
        """Start so many calls of a model, each a run of its own. ``more``: what else is said of the runs."""
        call = direct(model, given)
        wanted = scene.new_run(of or self.house.tenant, workflow=f"model:{model}", input=dict(given), call=call, **more)
        submit = lambda: [self.house.doors().submit(wanted).run_id for _ in range(count)]  # noqa: E731
        made: list[uuid.UUID] = await scene.in_thread(submit)
        return made

    async def until(self, query: str, *parameters: Any) -> None:
        """Wait until a query gives a true value."""
        until_s = time.monotonic() + PATIENCE_S
        while not self.house.value(query, *parameters):
            assert time.monotonic() < until_s, f"{query} {parameters}: {self._faults()}"
            await asyncio.sleep(LOOK_S)

    def _faults(self) -> list[Any]:
        """Give how the latest calls stand and what is wrong with them."""
        return self.house.rows("select state, attempts, note, fault from heddle_step order by run_id desc limit 5")

    async def over(self, *runs: uuid.UUID) -> list[records.RunView]:
        """Wait for runs, and show them as their customer sees them."""
        await self.until(
            "select not exists (select 1 from heddle_run where id = any(%s) and state in ('queued', 'running'))",
            list(runs),
        )
        return [await self.house.shown(run_id) for run_id in runs]

    async def unknown(self, *runs: uuid.UUID) -> None:
        """Wait until the call of each run is, or was, of unknown outcome."""
        query = (
            "select count(distinct run_id) = %s from heddle_attempt where run_id = any(%s) and unknown_at is not null"
        )
        await self.until(query, len(runs), list(runs))

    async def ask(self, what: str, /, **given: Any) -> Any:
        """Call the operators' desk."""
        desk = operators_store.DjangoOperators(cleanup_s=scene.CLEANUP_S)
        return await scene.in_thread(lambda: getattr(desk, what)(**given, actor="test"))

    async def settle_unknown(self, run_id: uuid.UUID, *, verdict: str) -> None:
        """Decide the first call of a run by hand, again for as long as a worker is asking about it just then."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await self.ask(
                    "settle_unknown", run_id=run_id, ordinal=1, verdict=verdict, output=None, cost_nano_usd=None
                )
            except operators.ChangeRefused:
                if time.monotonic() >= until_s:
                    raise
            await asyncio.sleep(LOOK_S)

    def attempts(self, *runs: uuid.UUID) -> list[tuple[Any, ...]]:
        """Give where each try of runs went, how it ended and with which code, and what it cost, in order."""
        return self.house.rows(
            "select e.name, a.state, a.fault ->> 'code', a.cost_nano_usd from heddle_attempt a"
            " join heddle_endpoint e on e.id = a.endpoint_id where a.run_id = any(%s) order by a.run_id, a.number",
            list(runs),
        )

    def book(self, seller: str) -> ledger.Summary:
        """Read the book of a seller."""
        return ledger.summarise(self.folder / f"{seller}.jsonl")

    def charged(self) -> int:
        """Add up what the ledger charged."""
        return int(
            self.house.value("select coalesce(sum(amount_nano_usd), 0) from heddle_ledger where kind = 'charge'")
        )

    def broken(self, *, drained: bool = True) -> dict[str, list[Any]]:
        """List what does not hold between the tables."""
        return invariants.broken(self.house.connection, drained=drained)


def direct(model: str, given: Mapping[str, Any]) -> plan.PlannedCall:
    """Plan the one call that a run is."""
    return plan.PlannedCall(
        ordinal=1,
        kind=step.StepKind.MODEL,
        name=model,
        version=1,
        digest=f"model.{model}",
        arguments=dict(given),
        parents=(),
        options=plan.CallOptions(),
    )


@contextlib.asynccontextmanager
async def opened(
    database: pg.Database, folder: pathlib.Path, config: str, **sellers: Seller | Vendor
) -> AsyncIterator[Town]:
    """Open the sellers and apply the ``heddle.toml``; no worker runs yet."""
    adapters: dict[str, provider.Provider] = {}
    async with contextlib.AsyncExitStack() as stack:
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setenv(canary_child.FOLDER, str(folder))
        connection = stack.enter_context(database.connect())
        running = {
            name: await stack.enter_async_context(server.Running(seller.twin(folder, name)))
            for name, seller in sellers.items()
        }
        door_url = await stack.enter_async_context(callback_door.serving(adapters))
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        house.wipe()
        connection.execute("delete from heddle_canary; delete from heddle_score_delta; delete from heddle_score")
        connection.execute("update heddle_tenant set budget_nano_usd_per_day = null, budget_nano_usd_per_month = null")
        town = Town(house=house, folder=folder, adapters=adapters, sellers=running, door_url=door_url)
        town.apply(config)
        for endpoint in town.read(config).endpoints.values():
            adapters[endpoint.name] = registry.build(endpoint, ENVIRON)
            stack.push_async_callback(adapters[endpoint.name].close)
        house.tenant = await town.tenant("default")
        wiring.client.cache_clear()
        yield town
