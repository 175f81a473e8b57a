"""Run real workers in this process on a real database, for tests that look at what a customer sees."""

import asyncio
import contextlib
import pathlib
import types
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

from heddle import wiring
from heddle.client import letters
from heddle.compute import pool
from heddle.config import settings
from heddle.core import attempt, settle
from heddle.engine import parts as parts_module
from heddle.engine import worker
from heddle.ports import provider, records
from heddle.store import pulse
from heddle.testing import couriers
from heddle.transports import postgres as doorbell
from tests import pg
from tests.races import scene

PATIENCE_S = 60.0


class Painter:
    """Do at once what is asked, and count it."""

    capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.B, is_paid=True)

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        self.sent += 1
        return settle.Completed(output=request.input)

    async def close(self) -> None:
        """Hold nothing."""


def parts_of(
    database: pg.Database, folder: pathlib.Path, given: object, *, name: str = "w", preload: Sequence[str] = ()
) -> parts_module.Parts:
    """Name the parts of a worker: all real but its endpoints."""
    clock = wiring.SystemClock()
    limits = settings.Settings(
        state_dir=str(folder),
        sweep_interval_s=0.1,
        poll_interval_s=0.1,
        drain_s=5.0,
        cleanup_s=2.0,
        # Ten thousand calls in one pass take a loaded machine more than the default.
        activation_blocked_s=20.0,
    )
    return parts_module.Parts(
        settings=limits,
        store=scene.engine_store(database),
        pulse=pulse.PostgresPulse(dsn=database.dsn, timeout_s=5.0),
        doorbell=doorbell.PostgresDoorbell(dsn=database.dsn, debounce_s=0.01, clock=clock),
        compute=pool.ProcessPool(pool.PoolOptions(children=1, preload=tuple(preload))),
        blobs=cast("Any", types.SimpleNamespace()),
        clock=clock,
        build_provider=lambda _row: cast("provider.Provider", given),
        callback_url=lambda _endpoint, _attempt_id: None,
        courier=couriers.ScriptedCourier(),
        compose=letters.composer(public_url="", predictions=None),
        name=name,
    )


@contextlib.asynccontextmanager
async def working(*made: parts_module.Parts) -> AsyncIterator[None]:
    """Run workers for the block, and drain them."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(worker.Worker(parts).run(stop)) for parts in made]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)


async def until(question: Callable[[], bool]) -> None:
    """Look again and again, for a bounded time."""
    for _ in range(int(PATIENCE_S * 100)):
        if question():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {PATIENCE_S:g} s")


async def submitted(workflow: str, given: dict[str, Any], **more: Any) -> uuid.UUID:
    """Submit a run as a customer does."""
    found = await scene.in_thread(lambda: wiring.client().submit(workflow, given, **more))
    run_id: uuid.UUID = found.run.id
    return run_id


async def waited(run_id: uuid.UUID, *, timeout_s: float = PATIENCE_S) -> records.RunView:
    """Wait for a run as a customer does."""
    view: records.RunView = await scene.in_thread(lambda: wiring.client().wait(run_id, timeout_s=timeout_s))
    return view


async def ended(workflow: str, given: dict[str, Any], **more: Any) -> records.RunView:
    """Submit a run and wait for its end."""
    return await waited(await submitted(workflow, given, **more))
