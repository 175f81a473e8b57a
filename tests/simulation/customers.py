"""Do what customers do on a day: submit, twice under one key, for later, stop, signal, and try again what failed."""

import asyncio
import dataclasses
import datetime
import random
import uuid
from typing import Any

from heddle.core import run
from heddle.ports import doors, records
from heddle.program import direct
from heddle.testing.simulation import loop as loop_module
from heddle.testing.simulation import world as world_module
from tests.simulation import workflows

TENANTS = ("acme", "zeta")
WEBHOOK_URL = "https://shop.example/hooks"
SUBMIT_FOR_S = 10.0
# More than a day takes: every try after the first of it may succeed.
BUILDS_MAX = 100


@dataclasses.dataclass(slots=True, kw_only=True)
class Wanted:
    """Hold one run that was submitted. ``is_meddled``: somebody, or its deadline, may stop it."""

    run_id: uuid.UUID
    kind: str
    given: dict[str, Any]
    is_meddled: bool
    has_deadline: bool


class Customers:
    """Hold the customers of one day, and what they asked for."""

    def __init__(self, world: world_module.World, *, rng: random.Random) -> None:
        self.world = world
        self.rng = rng
        # Drawn from a source of their own, so that the others do what they did before.
        self.callers = world.rng("callers")
        self.builders = world.rng("builders")
        self.runs: list[Wanted] = []
        self.problems: list[str] = []

    async def come(self, count: int) -> None:
        """Have so many customers come and do what each does, until the last has gone."""
        calling = (self._call_directly(number) for number in range(count))
        await asyncio.gather(*(self._one(number) for number in range(count)), *calling)

    async def _one(self, number: int) -> None:
        rng = self.rng
        name = rng.choice(list(workflows.KINDS))
        kind = workflows.KINDS[name]
        has_deadline = kind.needs_deadline or rng.random() < 0.1
        is_cancelled, comes_twice, waits_s = rng.random() < 0.15, rng.random() < 0.2, rng.random() * SUBMIT_FOR_S
        start_at = None
        if rng.random() < 0.1:
            now_s = loop_module.START_UNIX_S + waits_s + rng.uniform(-1.0, 4.0)
            start_at = datetime.datetime.fromtimestamp(now_s, tz=datetime.UTC)
        new = records.NewRun(
            tenant=self.world.tenant(rng.choice(TENANTS)),
            workflow=name,
            version=1,
            input=kind.draw(rng),
            deadline_s=rng.uniform(5.0, 30.0) if has_deadline else None,
            max_cost_nano_usd=kind.max_cost_nano_usd,
            start_at=start_at,
            idempotency_key=f"key-{number}",
            fingerprint=f"body-{number}",
            # Without a draw, so that days are what they were before.
            webhook_url=WEBHOOK_URL if number % 2 else None,
        )
        await asyncio.sleep(waits_s)
        wanted = self._submit(new, is_meddled=has_deadline or is_cancelled)
        await asyncio.sleep(rng.random() * 8.0)
        if comes_twice and self.world.doors.submit(new).run_id != wanted.run_id:
            self.problems.append(f"one key gave two runs of {name}")
        if name == "sim_approval":
            self._signal(new.tenant, wanted.run_id)
        if is_cancelled:
            self.world.note(f"somebody cancels {wanted.run_id}")
            self.world.doors.cancel(tenant=new.tenant, run_id=wanted.run_id)
        # One that may wait for a person for ever keeps its deadline, which a retry would lift.
        if rng.random() < 0.3 and not kind.needs_deadline:
            await asyncio.sleep(rng.random() * 10.0)
            self._retry(new.tenant, wanted)

    async def _call_directly(self, number: int) -> None:
        """Make one call without a workflow, in any class; equal ones are asked for again and again."""
        rng = self.callers
        name = rng.choice(list(workflows.DIRECT))
        called = direct.find(name, is_routed=lambda _: True)
        assert called is not None, "the name is that of a call"
        given = called.validate_input(workflows.DIRECT[name].draw(rng))
        is_cancelled, has_deadline, waits_s = rng.random() < 0.1, rng.random() < 0.1, rng.random() * SUBMIT_FOR_S
        new = records.NewRun(
            tenant=self.world.tenant(rng.choice(TENANTS)),
            workflow=called.name,
            version=called.version,
            input=given,
            priority=rng.choice(list(run.Priority)),
            deadline_s=rng.uniform(5.0, 30.0) if has_deadline else None,
            idempotency_key=f"call-{number}",
            fingerprint=f"call-{number}",
            webhook_url=WEBHOOK_URL if number % 2 else None,
            call=called.planned(given),
        )
        await asyncio.sleep(waits_s)
        wanted = self._submit(new, is_meddled=has_deadline or is_cancelled)
        await asyncio.sleep(rng.random() * 8.0)
        if is_cancelled:
            self.world.note(f"somebody cancels {wanted.run_id}")
            self.world.doors.cancel(tenant=new.tenant, run_id=wanted.run_id)
        if rng.random() < 0.3:
            self._retry(new.tenant, wanted)

    async def build(self) -> None:
        """Have a run whose function fails beside a child of it, and try it again until both have come to their end."""
        rng = self.builders
        name = rng.choice(list(workflows.HOUSES))
        new = records.NewRun(
            tenant=self.world.tenant(rng.choice(TENANTS)),
            workflow=name,
            version=1,
            input=workflows.HOUSES[name].draw(rng),
            webhook_url=WEBHOOK_URL,
        )
        wanted = self._submit(new, is_meddled=False)
        for _ in range(BUILDS_MAX):
            await asyncio.sleep(1.0 + 3.0 * rng.random())
            if self.world.doors.run(tenant=new.tenant, run_id=wanted.run_id).state is run.RunState.SUCCEEDED:
                return
            self._retry(new.tenant, wanted)

    def _submit(self, new: records.NewRun, *, is_meddled: bool) -> Wanted:
        run_id = self.world.doors.submit(new).run_id
        self.world.note(f"{new.workflow} is submitted as {run_id}")
        wanted = Wanted(
            run_id=run_id,
            kind=new.workflow,
            given=dict(new.input),
            is_meddled=is_meddled,
            has_deadline=new.deadline_s is not None,
        )
        self.runs.append(wanted)
        return wanted

    def _signal(self, tenant: records.Tenant, run_id: uuid.UUID) -> None:
        verdict = self.rng.choice(("yes", "no"))
        for _ in range(self.rng.choice((0, 1, 1, 2))):
            try:
                self.world.doors.signal(
                    tenant=tenant, run_id=run_id, name="verdict", payload=verdict, idempotency_key="k"
                )
            except doors.RunTerminal:
                self.world.note(f"the signal for {run_id} comes too late")

    def _retry(self, tenant: records.Tenant, wanted: Wanted) -> None:
        """Try a run again, if it has failed or expired by now."""
        try:
            self.world.doors.retry(tenant=tenant, run_id=wanted.run_id)
        except doors.RunNotRetryable:
            return
        self.world.note(f"somebody tries {wanted.run_id} again")
