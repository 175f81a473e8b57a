"""A provider that enforces limits, and a fleet of real workers in this process that call it; the provider is the judge.

The provider is an HTTP server that keeps its own books: when each call came, what it used, how many were open, what it
refused. The workers are ``engine.worker.Worker`` with their own stores and the product's ``http`` adapter; only the
compute pool and the artifact store, which model calls do not use, are empty. Everything shares one loop, whose lag is
measured: on a busy machine calls arrive that much later than they were claimed.
"""

import asyncio
import contextlib
import dataclasses
import pathlib
import time
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast

from aiohttp import web

from heddle import wiring
from heddle.client import letters
from heddle.config import deployment, settings
from heddle.engine import parts as parts_module
from heddle.engine import worker
from heddle.providers import transport
from heddle.store import pulse
from heddle.testing import couriers
from heddle.transports import postgres as doorbell
from tests import pg
from tests.races import scene

PATIENCE_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Hold one call as the provider saw it: seconds since it began, tokens used, calls open with it, the answer."""

    at_s: float
    tokens: int
    open: int
    status: int


class Provider:
    """Answer model calls over HTTP and remember each; ``behave`` says what a call comes to."""

    def __init__(self, behave: Callable[["Provider", dict[str, Any]], Awaitable[web.Response]]) -> None:
        self._behave = behave
        self._started_s = time.monotonic()
        self.seen: list[Seen] = []
        self.open = 0
        self.most_open = 0

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._started_s

    async def answer(self, request: web.Request) -> web.Response:
        at_s, body = self.now_s, await request.json()
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        opened = self.open
        try:
            response = await self._behave(self, body)
        except asyncio.CancelledError:
            self.seen.append(Seen(at_s=at_s, tokens=0, open=opened, status=0))
            raise
        finally:
            self.open -= 1
        self.seen.append(
            Seen(at_s=at_s, tokens=int(response.headers.get("x-used", 0)), open=opened, status=response.status)
        )
        return response

    def statuses(self) -> dict[int, int]:
        """Count answers by status."""
        counted: dict[int, int] = {}
        for each in self.seen:
            counted[each.status] = counted.get(each.status, 0) + 1
        return counted

    def most_in(self, window_s: float, *, tokens: bool = False) -> int:
        """Give the most calls, or tokens, that were taken in any window of this length."""
        taken = sorted((each.at_s, each.tokens if tokens else 1) for each in self.seen if each.status == 200)
        most = total = first = 0
        for at_s, units in taken:
            total += units
            while taken[first][0] <= at_s - window_s:
                total -= taken[first][1]
                first += 1
            most = max(most, total)
        return most


@contextlib.asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[str]:
    """Serve for the block and give the address."""
    application = web.Application()
    application.router.add_post("/{tail:.*}", provider.answer)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


class NoCompute:
    """Stand for the compute pool of workers that run no sync step."""

    size = free = 0

    async def start(self) -> None: ...

    async def close(self, drain_s: float) -> None: ...


@contextlib.asynccontextmanager
async def fleet(database: pg.Database, folder: pathlib.Path, *, workers: int) -> AsyncIterator["Lag"]:
    """Run so many workers for the block; what they hold at its end is given a moment and then given back."""
    stop, clock = asyncio.Event(), wiring.SystemClock()
    limits = settings.Settings(
        state_dir=str(folder),
        sweep_interval_s=0.5,
        poll_interval_s=0.1,
        drain_s=1.0,
        worker_batch=50,
        govern_interval_s=0.25,
    )
    tasks = []
    for number in range(workers):
        connections = transport.Transport()
        made = parts_module.Parts(
            settings=limits,
            store=scene.engine_store(database, size=3),
            pulse=pulse.PostgresPulse(dsn=database.dsn, timeout_s=5.0),
            doorbell=doorbell.PostgresDoorbell(dsn=database.dsn, debounce_s=0.01, clock=clock),
            compute=cast("Any", NoCompute()),
            blobs=cast("Any", types.SimpleNamespace()),
            clock=clock,
            build_provider=lambda row, connections=connections: wiring.provider_of(row, connections),
            callback_url=lambda _endpoint, _attempt_id: None,
            courier=couriers.ScriptedCourier(),
            compose=letters.composer(public_url="", predictions=None),
            name=f"fleet-{number}",
        )
        tasks.append(asyncio.create_task(worker.Worker(made).run(stop)))
    lag = Lag()
    watching = asyncio.create_task(lag.watch())
    try:
        yield lag
    finally:
        watching.cancel()
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)


class Lag:
    """Measure how late this loop wakes up; the largest of it."""

    def __init__(self) -> None:
        self.most_s = 0.0

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            asked_s = time.monotonic()
            await asyncio.sleep(0.01)
            self.most_s = max(self.most_s, time.monotonic() - asked_s - 0.01)


def endpoint(
    name: str, url: str, *, price_nano_usd: int = 0, timeout_s: float = 20.0, **options: Any
) -> deployment.Endpoint:
    """Describe an endpoint of the ``http`` adapter; its input is its body."""
    return deployment.Endpoint(
        name=name,
        adapter="http",
        url=url,
        scopes=(name,),
        timeout_s=timeout_s,
        price_nano_usd=price_nano_usd,
        options=options,
    )


def deploy(
    house: scene.House,
    endpoints: Sequence[deployment.Endpoint],
    *,
    scopes: Sequence[deployment.Scope],
    models: Sequence[deployment.Model] = (),
) -> None:
    """Route the model ``m`` to the endpoints, one tier after the other."""
    routes = [deployment.Route(model="m", endpoint=each.name, tier=tier) for tier, each in enumerate(endpoints)]
    house.deploy(endpoints, routes, scopes=scopes, models=models)


def queue(house: scene.House, count: int) -> None:
    """Put so many calls of the model ``m`` in line."""
    house.fill(lane=scene.model_lane("m"), name="m", count=count, kind="model")


async def act(house: scene.House, statement: str) -> None:
    """Do something to the database from a thread: waiting for a worker's lock in its own loop would be for ever."""
    await asyncio.to_thread(house.connection.execute, statement)


async def until(question: Callable[[], bool], *, what: str, patience_s: float = PATIENCE_S) -> float:
    """Look again and again for a bounded time; give how long it took in seconds."""
    started_s = time.monotonic()
    while time.monotonic() - started_s < patience_s:
        if await asyncio.to_thread(question):
            return time.monotonic() - started_s
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {patience_s:g} s: {what}")
