"""Live one seeded day: runs are submitted, stopped and signalled while workers die, freeze and lose the store; then
the weather clears, and everything must come to its end.

A day that breaks a promise raises ``BadDay`` with the seed, what was broken and the end of the trace.
"""

import asyncio
import dataclasses
import logging
import random
import uuid
from typing import Any

from heddle.config import deployment
from heddle.core import attempt
from heddle.ports import doors, records
from heddle.testing.simulation import loop as loop_module
from heddle.testing.simulation import provider, world
from tests.simulation import invariants, referee, workflows

CHECK_EVERY = 20
STORM_S = 15.0
PATIENCE_S = 400.0
TRACE_SHOWN = 120
A, B, C = attempt.IdempotencyClass.A, attempt.IdempotencyClass.B, attempt.IdempotencyClass.C


class BadDay(AssertionError):
    """Say what was broken on which seed."""

    def __init__(self, seed: int, problems: list[str], trace: list[str]) -> None:
        shown = "\n".join(trace[-TRACE_SHOWN:])
        count = len(problems)
        super().__init__(
            f"seed {seed}: {count} promises broken; `make sim SEED={seed}` shows the day again\n"
            + "\n".join(f"  - {problem}" for problem in problems[:20])
            + f"\nthe last {min(TRACE_SHOWN, len(trace))} of {len(trace)} moves:\n{shown}"
        )
        self.problems = problems


@dataclasses.dataclass(slots=True, kw_only=True)
class Wanted:
    """Hold one run that was submitted. ``is_meddled``: somebody stopped it, or it has a deadline that may pass."""

    run_id: uuid.UUID
    kind: str
    given: dict[str, Any]
    is_meddled: bool


def _deployment(rng: random.Random) -> tuple[deployment.Deployment, dict[str, provider.Manners]]:
    """Draw where models run, under which limits, and how their providers behave."""

    def manners(idempotency: attempt.IdempotencyClass, *, is_job: bool, is_paid: bool = True) -> provider.Manners:
        return provider.Manners(
            idempotency=idempotency,
            is_job=is_job,
            is_paid=is_paid,
            price_nano_usd=workflows.PRICE_NANO_USD if is_paid else 0,
            work_most_s=rng.uniform(0.1, 3.0),
            refuse_rate=rng.choice((0.0, 0.05)),
            throttle_rate=rng.choice((0.0, 0.05)),
            fail_rate=rng.choice((0.0, 0.05)),
            deaf_rate=rng.choice((0.0, 0.05)),
            mute_rate=rng.choice((0.0, 0.05)),
            callback_rate=rng.choice((0.0, 0.5)),
        )

    found = {
        "one_a": manners(A, is_job=rng.random() < 0.5),
        "two_a": manners(A, is_job=rng.random() < 0.5),
        "one_b": manners(B, is_job=rng.random() < 0.5),
        "one_c": manners(C, is_job=rng.random() < 0.3),
        "free": manners(C, is_job=False, is_paid=False),
    }
    endpoints = {
        name: deployment.Endpoint(
            name=name,
            adapter="http",
            url="http://127.0.0.1:9/",
            scopes=(name, "account") if name.endswith("_a") else (name,),
            timeout_s=4.0,
            price_nano_usd=each.price_nano_usd,
        )
        for name, each in found.items()
    }
    scopes = [deployment.Scope(name=name, concurrency=rng.choice((1, 2, 3, 5))) for name in found]
    scopes.append(deployment.Scope(name="account", concurrency=6, requests_per_min=rng.choice((None, 240))))
    routes = (
        deployment.Route(model="sim_paint_a", endpoint="one_a"),
        deployment.Route(model="sim_paint_a", endpoint="two_a", tier=rng.choice((0, 1))),
        deployment.Route(model="sim_paint_b", endpoint="one_b"),
        deployment.Route(model="sim_guess_c", endpoint="one_c"),
        deployment.Route(model="sim_guess_again_c", endpoint="one_c"),
        deployment.Route(model="sim_describe", endpoint="free"),
    )
    models = (
        deployment.Model(name="sim_guess_again_c", unknown_policy="at_least_once"),
        deployment.Model(name="sim_paint_a", fallback_after_s=1.0),
    )
    wanted = deployment.Deployment(
        models={model.name: model for model in models},
        endpoints=endpoints,
        scopes={scope.name: scope for scope in scopes},
        routes=routes,
        tenants={name: deployment.Tenant(name=name, weight=weight) for name, weight in (("acme", 1), ("zeta", 3))},
    )
    return wanted, found


class Day:
    """Hold one day."""

    def __init__(self, seed: int) -> None:
        logging.getLogger("heddle").setLevel(logging.CRITICAL + 1)
        self.seed = seed
        self.rng = random.Random(f"{seed}.day")
        wanted, manners = _deployment(self.rng)
        self.world = world.World(
            seed, wanted=wanted, manners=manners, answer=lambda given: {"value": workflows.painted(given["number"])}
        )
        self.problems: list[str] = []
        self.runs: list[Wanted] = []
        self._commits = 0
        self.world.memory.on_commit = self._on_commit

    def _on_commit(self) -> None:
        self._commits += 1
        if self._commits % CHECK_EVERY == 0 and not self.problems:
            self.problems += [f"a transaction raised {error!r}" for error in self.world.memory.errors]
            self.problems += invariants.broken(self.world.memory.tables)
            for problem in self.problems:
                self.world.note(f"BROKEN: {problem}")

    def live(self) -> "Day":
        """Live it. Raises BadDay."""
        try:
            self.world.run(self._live())
        except (AssertionError, loop_module.Standstill) as error:
            self.problems.append(f"{type(error).__name__}: {error}")
        finally:
            self.world.close()
        self.problems += referee.broken(self)
        if self.problems:
            raise BadDay(self.seed, self.problems, self.world.trace)
        return self

    async def _live(self) -> None:
        self._cloud_over()
        for _ in range(self.rng.randint(2, 4)):
            self.world.start_worker()
        await asyncio.gather(self._submit(), self._trouble())
        self._clear_up()
        await self._all_over()

    # What customers do

    async def _submit(self) -> None:
        tenants = [self.world.tenant(name) for name in ("acme", "zeta")]
        todo = [self._one(self.rng.choice(tenants)) for _ in range(self.rng.randint(5, 12))]
        await asyncio.gather(*todo)

    async def _one(self, tenant: records.Tenant) -> None:
        rng = self.rng
        name = rng.choice(list(workflows.KINDS))
        kind = workflows.KINDS[name]
        given = kind.draw(rng)
        has_deadline = kind.needs_deadline or rng.random() < 0.1
        is_cancelled = rng.random() < 0.15
        waits = (rng.random() * STORM_S * 0.6, rng.random() * 8.0)
        new = records.NewRun(
            tenant=tenant,
            workflow=name,
            version=1,
            input=given,
            deadline_s=rng.uniform(5.0, 30.0) if has_deadline else None,
            max_cost_nano_usd=kind.max_cost_nano_usd,
        )
        await asyncio.sleep(waits[0])
        run_id = self.world.doors.submit(new).run_id
        self.world.note(f"{name} is submitted as {run_id}")
        self.runs.append(
            Wanted(run_id=run_id, kind=name, given=given, is_meddled=has_deadline or is_cancelled)
        )
        await asyncio.sleep(waits[1])
        if name == "sim_approval":
            self._signal(tenant, run_id)
        if is_cancelled:
            self.world.note(f"somebody cancels {run_id}")
            self.world.doors.cancel(tenant=tenant, run_id=run_id)

    def _signal(self, tenant: records.Tenant, run_id: uuid.UUID) -> None:
        verdict = self.rng.choice(("yes", "no"))
        for _ in range(self.rng.choice((0, 1, 1, 2))):
            try:
                self.world.doors.signal(
                    tenant=tenant, run_id=run_id, name="verdict", payload=verdict, idempotency_key="k"
                )
            except doors.RunTerminal:
                self.world.note(f"the signal for {run_id} comes too late")

    # What goes wrong

    def _cloud_over(self) -> None:
        weather, rng = self.world.weather, self.rng
        weather.slow_rate = rng.choice((0.0, 0.01, 0.03))
        weather.lost_before_rate = rng.choice((0.0, 0.01, 0.05))
        weather.lost_after_rate = rng.choice((0.0, 0.01, 0.05))
        weather.kill_rate = rng.choice((0.0, 0.0, 0.002, 0.005))
        weather.freeze_rate = rng.choice((0.0, 0.0, 0.002, 0.005))
        weather.lost_beat_rate = rng.choice((0.0, 0.1))
        self.world.exchange.loss_rate = rng.choice((0.0, 0.1, 0.3))

    async def _trouble(self) -> None:
        """Kill, freeze and cut workers at drawn moments; a dead one is replaced after a while."""
        until_s = STORM_S
        while self.world.loop.time() < until_s:
            await asyncio.sleep(self.rng.random() * 4.0)
            self._replace_dead()
            running = [hand for hand in self.world.hands if hand.is_running]
            if not running:
                continue
            hand = self.rng.choice(running)
            match self.rng.randrange(6):
                case 0:
                    self._light(hand, lambda hand=hand: self.world.kill(hand))
                case 1:
                    freeze_s = self.rng.random() * 3 * self.world.limits.lease_s
                    self._light(hand, lambda hand=hand, freeze_s=freeze_s: self.world.freeze(hand, freeze_s))
                case 2:
                    self._cut(hand, self.rng.random() * 10.0)
                case 3:
                    hand.clock.wall_error_s = self.rng.uniform(-3_600.0, 3_600.0)
                case 4:
                    hand.compute.crash_rate = self.rng.choice((0.0, 0.1))
                case _:
                    hand.stop.set()

    def _light(self, hand: world.Hand, blown: Any) -> None:
        """Let something happen to a worker between two of its own moves, some moves from now."""
        hand.process.blown, hand.process.fuse = blown, self.rng.randrange(400)

    def _cut(self, hand: world.Hand, for_s: float) -> None:
        self.world.note(f"{hand.name} loses the store for {for_s:.2f} s")
        hand.gate.is_cut = True

        def mend() -> None:
            hand.gate.is_cut = False

        self.world.loop.call_later(for_s, mend, context=loop_module.context_of(None))

    def _replace_dead(self) -> None:
        alive = [
            hand
            for hand in self.world.hands
            if hand.process.life is not loop_module.Life.DEAD and hand.task is not None and not hand.task.done()
        ]
        if len(alive) < 2:
            self.world.start_worker()

    # How it ends

    def _clear_up(self) -> None:
        self.world.note("the weather clears")
        self.world.weather.__init__()  # type: ignore[misc]
        self.world.exchange.loss_rate = 0.0
        for hand in self.world.hands:
            hand.process.fuse, hand.compute.crash_rate = None, 0.0
        for hand in self.world.hands:
            hand.gate.is_cut = False
        self.world.start_worker()
        self.world.start_worker()

    async def _all_over(self) -> None:
        tables, until_s = self.world.memory.tables, self.world.loop.time() + PATIENCE_S
        while self.world.loop.time() < until_s and not self.problems:
            await asyncio.sleep(1.0)
            self.problems += [f"a worker ended: {error!r}" for error in self.world.errors]
            if not any(row.is_live for row in tables.runs.values()) and not invariants.left_over(tables):
                return
