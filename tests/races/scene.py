"""Set up runs by hand and work on them as workers would, one statement at a time, so that a test can stop between any
two.

A ``House`` is a database with one deployment; a ``HeldStore`` stops its next transaction after its last statement and
before its commit. Plans are made here by hand: no workflow function runs.
"""

import asyncio
import dataclasses
import types
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from heddle.config import deployment
from heddle.core import faults, lanes, plan, step
from heddle.core.policy import price
from heddle.core.run import Priority
from heddle.ports import records, store
from heddle.store import apply, postgres, schedule, statements
from heddle.store import django as django_store
from tests import pg
from tests.races import looks
from tests.races.verdicts import COST_NANO_USD, accepted, attempt_id, done, faulted, ref, unsure

__all__ = ["COST_NANO_USD", "Priority", "accepted", "attempt_id", "done", "faulted", "ref", "unsure"]
WORKFLOW = "shoot"
PRIORITY = "standard"
ACTIVATIONS = lanes.number("activation", WORKFLOW, 1, PRIORITY)
CLEANUP_S = 60.0
SIGNALS_MAX = 4
PATIENCE_S = 30.0
STOPPED = faults.StepFault(fault=faults.Fault.CANCELLED, message="stopped")
MOVING_TABLES = [
    "ready",
    "lane_tenant",
    "lease",
    "slot",
    "timer",
    "limit_delta",
    "load",
    "load_delta",
    "open_run",
    "budget_day",
    "budget_call",
    "outbox",
    "receiver",
    "webhook_disabled",
    "webhook_secret",
    "signal",
    "inbox",
    "stray",
    "result",
    "ledger",
    "spend_day",
    "spend_reported",
    "workflow",
    "workflow_cost",
    "idempotency",
    "worker",
    "event",
    "attempt",
    "step",
    "run",
    "chain",
    "route",
    "endpoint",
    "limit_state",
    "model",
]


def step_lane(name: str) -> int:
    """Give the lane of a step."""
    return lanes.number("step", name, 1, PRIORITY)


def model_lane(name: str) -> int:
    """Give the lane of a model."""
    return lanes.number("model", name, 1, PRIORITY)


def call(
    ordinal: int,
    kind: str,
    name: str,
    *,
    parents: Sequence[int] = (),
    options: plan.CallOptions | None = None,
    output: Any = None,
) -> plan.PlannedCall:
    """Plan one call that takes the values of its parents."""
    return plan.PlannedCall(
        ordinal=ordinal,
        kind=step.StepKind(kind),
        name=name,
        version=1,
        digest=f"{kind}.{name}",
        arguments={str(parent): {plan.CALL: [parent, []]} for parent in parents},
        parents=tuple(parents),
        options=options or plan.CallOptions(),
        output=output,
    )


def suspended(*ordinals: int, count: int | None = None, max_failed: int | None = None) -> plan.Suspended:
    """End a plan at an await."""
    return plan.Suspended(
        need=plan.Need(ordinals=ordinals, count=len(ordinals) if count is None else count, max_failed=max_failed)
    )


def returned(*refs: int) -> plan.Returned:
    """End a plan with a value made of calls."""
    return plan.Returned(shape=[{plan.CALL: [ref, []]} for ref in refs], refs=refs)


def raised(message: str = "boom") -> plan.Raised:
    """End a plan with a fault of the author's code."""
    return plan.Raised(fault=faults.StepFault(fault=faults.Fault.CODE_RAISED, message=message))


async def in_thread(work: Callable[[], Any]) -> Any:
    """Run synchronous doors in a thread, and close what Django opened there."""

    def run() -> Any:
        from django.db import connections as django_connections

        try:
            return work()
        finally:
            django_connections.close_all()

    return await asyncio.to_thread(run)


def engine_store(
    database: pg.Database, *, on_retry: Callable[[str, Exception], None] = lambda *_: None, size: int = 6
) -> postgres.PostgresStore:
    """Make a store as a worker has it."""
    return postgres.PostgresStore(
        dsn=database.dsn,
        pool_size=size,
        timeout_s=20,
        statement_timeout_s=30,
        is_prepared=True,
        send_window_s=5.0,
        claim_endpoints=4,
        on_retry=on_retry,
    )


def endpoint(name: str, *scopes: str, price_nano_usd: int = COST_NANO_USD) -> deployment.Endpoint:
    """Describe an endpoint."""
    return deployment.Endpoint(
        name=name, adapter="http", url="http://127.0.0.1:9/", scopes=scopes or (name,), price_nano_usd=price_nano_usd
    )


@dataclasses.dataclass(slots=True, kw_only=True)
class House(looks.Looks):
    """Hold one database with its deployment, and a connection that looks and sets the stage."""

    database: pg.Database
    connection: psycopg.Connection[Any]
    store: postgres.PostgresStore
    tenant: records.Tenant = dataclasses.field(default_factory=lambda: records.Tenant(id=1, name="default"))

    def wipe(self) -> None:
        """Empty every table, so that a scene starts on a clean stage."""
        self.connection.execute(";".join(f"delete from heddle_{table}" for table in MOVING_TABLES))

    def deploy(
        self,
        endpoints: Sequence[deployment.Endpoint],
        routes: Sequence[deployment.Route],
        *,
        scopes: Sequence[deployment.Scope] = (),
        models: Sequence[deployment.Model] = (),
        tenants: Sequence[deployment.Tenant] = (),
        workflows: Sequence[deployment.Workflow] = (),
        prices: Mapping[tuple[str, str], price.Expected] = types.MappingProxyType({}),
    ) -> None:
        """Write a deployment."""
        wanted = deployment.Deployment(
            models={item.name: item for item in models},
            endpoints={item.name: item for item in endpoints},
            scopes={item.name: item for item in scopes},
            routes=tuple(routes),
            tenants={item.name: item for item in tenants},
            workflows={item.name: item for item in workflows},
        )
        with self.connection.transaction(), self.connection.cursor() as cursor:
            apply.apply(cursor, wanted, prices=prices)

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        """Look."""
        return self.connection.execute(query, parameters).fetchall()

    def states(self, run_id: uuid.UUID) -> dict[int, str]:
        """Give the states of a run's calls."""
        return dict(self.rows("select ordinal, state from heddle_step where run_id = %s", run_id))

    def state(self, run_id: uuid.UUID) -> str:
        """Give the state of a run."""
        return str(self.value("select state from heddle_run where id = %s", run_id))

    def submit(self, *, count: int = 1, tenant_id: int = 1, **more: Any) -> list[uuid.UUID]:
        """Write runs."""
        arrays, made = schedule.NewRuns(), [self.store.new_run_id() for _ in range(count)]
        for run_id in made:
            arrays.add(
                run_id=run_id,
                tenant_id=tenant_id,
                workflow=WORKFLOW,
                version=1,
                priority=PRIORITY,
                arguments={},
                **more,
            )
        self.connection.execute(statements.load("new_runs"), arrays.values)
        return made

    def fill(self, *, lane: int, name: str, count: int, tenant_id: int = 1, kind: str = "step") -> None:
        """Put one run with so many due calls in line, without planning them."""
        (run_id,) = self.submit(tenant_id=tenant_id)
        self.connection.execute("delete from heddle_ready where run_id = %s", (run_id,))
        self.connection.execute(
            "update heddle_run set state = 'running', is_activation_due = false, open = %s, planned = %s where id = %s",
            (count, count, run_id),
        )
        self.connection.execute(
            "insert into heddle_step (run_id, ordinal, kind, name, lane, tenant_id, state, digest, input, created_at) "
            "select %s, n, %s, %s, %s, %s, 'due', 'd', '{}', now() from generate_series(1, %s) n",
            (run_id, kind, name, lane, tenant_id, count),
        )
        self.connection.execute(
            "insert into heddle_ready (lane, tenant_id, run_id, ordinal) select %s, %s, %s, n from "
            "generate_series(1, %s) n",
            (lane, tenant_id, run_id, count),
        )

    def due_now(self) -> None:
        """Let the time of every timer come."""
        self.connection.execute("update heddle_timer set due_at = now() - interval '1 second'")

    def outdate_results(self) -> None:
        """Let the time of every result be over: what has ended, ended a year ago."""
        for table in ("step", "attempt"):
            self.connection.execute(f"update heddle_{table} set finished_at = finished_at - interval '1 year'")
        self.connection.execute("update heddle_result set until = now() - interval '1 second'")

    def later(self, seconds: float) -> None:
        """Let time pass for webhooks: what is due, held, retiring or over is that much older."""
        moved = {
            "outbox": ("at", "next_at", "ended_at"),
            "receiver": ("hold_until", "probe_until", "at"),
            "webhook_secret": ("created_at", "retires_at"),
            "webhook_disabled": ("at",),
        }
        for table, columns in moved.items():
            changes = ", ".join(f"{column} = {column} - make_interval(secs => {seconds:f})" for column in columns)
            self.connection.execute(f"update heddle_{table} set {changes}")

    def silence(self, worker: int, *, hours: float = 1.0) -> None:
        """Let a worker have been silent for so long."""
        change = "update heddle_worker set seen_at = now() - make_interval(secs => %s) where id = %s"
        self.connection.execute(change, (hours * 3_600.0, worker))

    async def worker(self, name: str = "w") -> int:
        """Register a worker."""
        return await self.store.register(name=name, detail={})

    async def claim(self, worker: int, lane: int, *, purpose: str = "execute", cap: int = 50) -> list[store.Claimed]:
        """Claim from one lane without limits."""
        wish = store.LaneWish(lane=lane, group=1, purpose=purpose, share=1.0)
        return await self.store.claim_local(worker=worker, claim_id=uuid.uuid4(), lanes=[wish], caps=[cap])

    async def claim_models(self, worker: int, *models: str, want: int = 50) -> list[store.Claimed]:
        """Claim model calls."""
        wishes = [store.ModelWish(lane=model_lane(model), model=model, share=1.0) for model in models]
        return await self.store.claim_models(worker=worker, claim_id=uuid.uuid4(), lanes=wishes, want=want) or []

    async def write(
        self,
        claimed: store.Claimed,
        *calls: plan.PlannedCall,
        ending: plan.Ending,
        direct: store.Direct | None = None,
        **more: Any,
    ) -> store.PlanReport:
        """Write one plan under a claimed activation: a first one by what its claim brought."""
        seen, first = claimed.wake_seq, claimed
        if seen is None:
            seen = (await self.store.journals(run_ids=[claimed.run_id], outputs_of={}))[claimed.run_id].wake_seq
            first = None
        made = plan.Plan(run_id=claimed.run_id, calls=calls, ending=ending, **more)
        return await self.store.write_plans(
            plans=[store.PlanWrite(plan=made, fence=claimed.fence, wake_seq=seen, first=first)],
            cleanup_s=CLEANUP_S,
            direct=direct,
        )

    async def begin(
        self, run_id: uuid.UUID, worker: int, *calls: plan.PlannedCall, ending: plan.Ending, **more: Any
    ) -> store.PlanReport:
        """Claim the run's activation and write a plan."""
        (claimed,) = [
            item for item in await self.claim(worker, ACTIVATIONS, purpose="activate") if item.run_id == run_id
        ]
        return await self.write(claimed, *calls, ending=ending, **more)

    async def settle(self, *settled: store.Settlement, direct: store.Direct | None = None) -> store.SettleReport:
        """Settle a batch."""
        return await self.store.settle(settlements=settled, direct=direct)

    async def pump(self, worker: int) -> store.PumpReport:
        """Carry out due timers."""
        return await pump(self.store, worker)

    def doors(self) -> django_store.DjangoDoors:
        """Give the doors."""
        return django_store.DjangoDoors(cleanup_s=CLEANUP_S, signals_max=SIGNALS_MAX)

    def pause(self, kind: str, name: str) -> None:
        """Pause an endpoint, a model or a tenant, as an operator does."""
        self.connection.execute(statements.load(f"pause_{kind}"), {"name": name, "is_paused": True, "before": None})

    async def shown(self, run_id: uuid.UUID) -> records.RunView:
        """Look at a run as its customer does."""
        view: records.RunView = await in_thread(lambda: self.doors().run(tenant=self.tenant, run_id=run_id))
        return view

    async def calls(self, run_id: uuid.UUID, *, after: int = 0, limit: int = 1_000) -> dict[int, records.StepView]:
        """Look at the calls of a run as its customer does."""
        views = await in_thread(lambda: self.doors().steps(tenant=self.tenant, run_id=run_id, after=after, limit=limit))
        return {view.ordinal: view for view in views}

    async def events(self, run_id: uuid.UUID, *, after_seq: int = 0, limit: int = 100) -> list[records.EventView]:
        """Read what happened to a run as its customer does."""
        told: list[records.EventView] = await in_thread(
            lambda: self.doors().events(tenant=self.tenant, run_id=run_id, after_seq=after_seq, limit=limit)
        )
        return told

    async def admit(self, **more: Any) -> records.Submission:
        """Submit a run through the doors."""
        submission: records.Submission = await in_thread(lambda: self.doors().submit(new_run(self.tenant, **more)))
        return submission

    async def retry(self, run_id: uuid.UUID) -> None:
        """Retry a run through the doors."""
        await in_thread(lambda: self.doors().retry(tenant=self.tenant, run_id=run_id))

    async def callback(
        self, claimed: store.Claimed, event_id: str, *, endpoint: str = "one", handle: str | None = None
    ) -> bool:
        """Deliver a provider's callback through the doors."""
        name = attempt_id(claimed)
        return bool(
            await in_thread(
                lambda: self.doors().callback(endpoint=endpoint, attempt_id=name, event_id=event_id, handle=handle)
            )
        )

    async def cancel(self, run_id: uuid.UUID) -> bool:
        """Cancel a run through the doors."""
        return bool(await in_thread(lambda: self.doors().cancel(tenant=self.tenant, run_id=run_id)))

    async def signal(self, run_id: uuid.UUID, name: str, payload: Any = None, key: str | None = None) -> None:
        """Signal a run through the doors."""
        await in_thread(
            lambda: self.doors().signal(
                tenant=self.tenant, run_id=run_id, name=name, payload=payload, idempotency_key=key
            )
        )


async def pump(engine: postgres.PostgresStore, worker: int) -> store.PumpReport:
    """Carry out the timers that are due, at most as many as a worker takes together."""
    due = await engine.due_timers(late_s=0.0, limit=500)
    return await engine.carry_out(due=due, worker=worker, cleanup_s=CLEANUP_S) if due else store.PumpReport()


def new_run(tenant: records.Tenant, **more: Any) -> records.NewRun:
    """Ask for a run."""
    return records.NewRun(tenant=tenant, **{"workflow": WORKFLOW, "version": 1, "input": {}, **more})
