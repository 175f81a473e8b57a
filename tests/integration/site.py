"""Run one installation in this process: PostgreSQL, a real worker whose endpoint answers as the test says, waiting.

Nothing here waits without a deadline.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import pathlib
import time
import types
import uuid
from collections.abc import AsyncIterator
from typing import Any, cast

import psycopg

from heddle import wiring
from heddle.client import letters
from heddle.config import settings
from heddle.core import attempt, reasons, settle
from heddle.engine import parts as parts_module
from heddle.engine import worker
from heddle.ports import compute, provider, records
from heddle.store import django as django_store
from heddle.store import pulse
from heddle.testing import couriers
from heddle.transports import postgres as doorbell
from tests import pg
from tests.races import scene

PATIENCE_S = 60.0
LOOK_S = 0.02


class NoCompute:
    """Stand in for the compute pool: every step here is async."""

    size = 0
    free = 0

    async def start(self) -> None:
        """Start nothing."""

    async def run(self, call: compute.ComputeCall) -> compute.ComputeOutcome:
        raise compute.ComputeUnavailable(call.label)

    async def close(self, drain_s: float) -> None:
        """Close nothing."""


class Studio:
    """Answer calls as the test says: after a gate, by a job that takes its time, or not at all."""

    capabilities = provider.Capabilities(
        idempotency=attempt.IdempotencyClass.B, is_paid=True, has_poll=True, has_lookup=True, lookup_bound_s=600.0
    )

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: settle.Outcome | None = None

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        await asyncio.wait_for(self.gate.wait(), PATIENCE_S)
        return self.answer or settle.Completed(output=request.input, cost_nano_usd=1)

    async def poll(self, *_given: Any, **_named: Any) -> settle.Outcome:
        return settle.StillRunning(poll_after_s=20.0, note="fourth in the provider's queue")

    async def lookup(self, *_given: Any, **_named: Any) -> settle.Outcome:
        return settle.Unknown(message="nobody knows")

    async def close(self) -> None:
        """Hold nothing."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Site:
    """One installation whose worker can be started and stopped."""

    database: pg.Database
    connection: psycopg.Connection[Any]
    folder: pathlib.Path
    tenant: records.Tenant
    studio: Studio = dataclasses.field(default_factory=Studio)

    async def submit(self, workflow: str, *, version: int = 1, start_in_s: float = 0.0, **values: Any) -> uuid.UUID:
        start_at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=start_in_s)
        new = records.NewRun(
            tenant=self.tenant,
            workflow=workflow,
            version=version,
            input=values,
            start_at=start_at if start_in_s else None,
        )
        submission: records.Submission = await scene.in_thread(lambda: django_store.DjangoDoors().submit(new))
        return submission.run_id

    async def why(self, run_id: uuid.UUID) -> reasons.Explanation:
        explain = lambda: django_store.DjangoDoors().why(tenant=self.tenant, run_id=run_id)  # noqa: E731
        found: reasons.Explanation = await scene.in_thread(explain)
        return found

    async def until_why(self, run_id: uuid.UUID, cause: reasons.Cause) -> reasons.Explanation:
        """Wait until the last cause of a run's waiting is this one."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            found = await self.why(run_id)
            if cause in {reason.cause for reason in found.chain}:
                return found
            assert time.monotonic() < until_s, found
            await asyncio.sleep(LOOK_S)

    async def until(self, query: str, *parameters: Any) -> Any:
        """Wait until a query gives a true value, and give it."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            row = self.connection.execute(query, parameters).fetchone()
            if row is not None and row[0]:
                return row[0]
            assert time.monotonic() < until_s, query
            await asyncio.sleep(LOOK_S)

    async def ended(self, run_id: uuid.UUID) -> None:
        await self.until("select state not in ('queued', 'running') from heddle_run where id = %s", run_id)

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run a worker for the block, and drain it."""
        stop = asyncio.Event()
        task = asyncio.create_task(worker.Worker(self._parts()).run(stop))
        await self.until("select count(*) from heddle_worker where state = 'alive'")
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, PATIENCE_S)

    def _parts(self) -> parts_module.Parts:
        clock = wiring.SystemClock()
        return parts_module.Parts(
            settings=settings.Settings(
                state_dir=str(self.folder),
                sweep_interval_s=0.1,
                poll_interval_s=0.1,
                load_interval_s=0.2,
                drain_s=0.5,
                worker_batch=10,
                worker_steps_max=20,
            ),
            store=scene.engine_store(self.database),
            pulse=pulse.PostgresPulse(dsn=self.database.dsn, timeout_s=5.0),
            doorbell=doorbell.PostgresDoorbell(dsn=self.database.dsn, debounce_s=0.01, clock=clock),
            compute=NoCompute(),
            blobs=cast("Any", types.SimpleNamespace()),
            clock=clock,
            build_provider=lambda _row: cast("provider.Provider", self.studio),
            callback_url=lambda _endpoint, _attempt_id: None,
            courier=couriers.ScriptedCourier(),
            compose=letters.composer(public_url="", predictions=None),
            name="why",
        )
