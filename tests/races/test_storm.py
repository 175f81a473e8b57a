"""Four workers and a door do everything at once to the same runs, from a seed; then the rest is worked off and
everything must add up.
"""

import asyncio
import random
import uuid
from collections.abc import Sequence

import pytest

from heddle.core import plan
from heddle.ports import doors, store
from tests import pg
from tests.races import invariants, scene, working

pytestmark = pytest.mark.asyncio(loop_scope="module")

RUNS, WORKERS, TURNS = 30, 4, 60
STEPS = ("a", "b")
MODELS = ("m", "n")
ENDPOINTS = ("one", "two", "three")


def program(seed: int) -> working.Program:
    """Make a function that plans a small graph twice, waits for its first calls, and returns."""

    def run(journal: plan.Journal) -> tuple[Sequence[plan.PlannedCall], plan.Ending]:
        if journal.stopping is not None:
            return (), plan.Raised(fault=scene.STOPPED)
        rng, planned = random.Random(f"{seed}.{len(journal.entries)}"), len(journal.entries)
        if planned >= 12:
            return (), scene.returned()
        calls = []
        for ordinal in range(planned + 1, planned + 7):
            kind, name = rng.choice(
                [("step", rng.choice(STEPS)), ("model", rng.choice(MODELS)), ("signal", "verdict"), ("sleep", "sleep")]
            )
            earlier = list(range(max(1, planned - 2), ordinal))
            parents = (
                sorted(rng.sample(earlier, min(len(earlier), rng.choice([0, 0, 1, 2]))))
                if kind in ("step", "model")
                else []
            )
            options = (
                plan.CallOptions(delay_s=0.01, detach=rng.random() < 0.2)
                if kind in ("signal", "sleep")
                else plan.CallOptions()
            )
            calls.append(scene.call(ordinal, kind, name, parents=parents, options=options))
        return calls, scene.suspended(*(call.ordinal for call in calls), count=rng.randint(1, 6))

    return run


def settled(claimed: store.Claimed, rng: random.Random) -> store.Settlement:
    """Choose what becomes of a claimed call."""
    if claimed.endpoint_id is None:
        return rng.choice(
            [scene.done, scene.done, scene.faulted, lambda item: scene.faulted(item, verdict="retry", delay_s=0.01)]
        )(claimed)
    return rng.choice(
        [
            scene.done,
            scene.done,
            scene.faulted,
            lambda item: scene.accepted(item, delay_s=0.01),
            lambda item: scene.unsure(item, delay_s=0.01),
            lambda item: scene.faulted(item, verdict="retry", delay_s=0.01),
        ]
    )(claimed)


class Worker:
    """Do one thing after the other, as the seed says."""

    def __init__(
        self, house: scene.House, run_ids: list[uuid.UUID], programs: dict[uuid.UUID, working.Program], seed: str
    ) -> None:
        self.house, self.run_ids, self.programs = house, run_ids, programs
        self.rng = random.Random(seed)
        self.sent: list[store.Claimed] = []

    async def live(self) -> None:
        self.worker = await self.house.worker()
        for _ in range(TURNS):
            await self.rng.choices(
                [
                    self.local,
                    self.models,
                    self.pump,
                    self.cancel,
                    self.signal,
                    self.callback,
                    self.die,
                    self.fold,
                    self.retry,
                ],
                weights=[10, 10, 5, 1, 3, 3, 1, 2, 1],
            )[0]()

    async def local(self) -> None:
        wishes = working.local_wishes(*STEPS, endpoints=ENDPOINTS)
        claimed = await self.house.store.claim_local(worker=self.worker, claim_id=uuid.uuid4(), lanes=wishes, caps=[20])
        await self.finish(claimed)

    async def models(self) -> None:
        claimed = await self.house.claim_models(self.worker, *MODELS, want=10)
        paid = [item for item in claimed if self.rng.random() < 0.9]
        if paid:
            await self.house.store.mark_sending(calls=[(item, "digest") for item in paid])
        await self.finish(claimed)

    async def finish(self, claimed: list[store.Claimed]) -> None:
        kept = [item for item in claimed if item.purpose == "activate" or self.rng.random() < 0.9]
        plans = [item for item in kept if item.purpose == "activate" or item.state == "cancelled"]
        await working.act(self.house, plans, self.programs)
        rest = [item for item in kept if item.purpose != "activate" and item.state != "cancelled"]
        self.sent += [item for item in rest if item.endpoint_id is not None]
        if rest:
            await self.house.settle(*(settled(item, self.rng) for item in rest))

    async def pump(self) -> None:
        await self.house.pump(self.worker)

    async def cancel(self) -> None:
        await self.house.cancel(self.rng.choice(self.run_ids))

    async def signal(self) -> None:
        try:
            await self.house.signal(self.rng.choice(self.run_ids), "verdict", "yes", self.rng.choice([None, "k"]))
        except (doors.RunTerminal, doors.SignalsFull):
            return

    async def retry(self) -> None:
        try:
            await self.house.retry(self.rng.choice(self.run_ids))
        except doors.RunNotRetryable:
            return

    async def callback(self) -> None:
        for claimed in self.sent[-1:]:
            name = self.house.value("select name from heddle_endpoint where id = %s", claimed.endpoint_id)
            await self.house.callback(claimed, str(self.rng.randrange(5)), endpoint=name)

    async def die(self) -> None:
        self.house.silence(self.worker)
        self.worker = await self.house.worker()
        await self.house.store.reclaim(lease_s=15.0, margin_s=0.0, limit=50)

    async def fold(self) -> None:
        await self.house.store.fold_idle()
        assert await self.house.store.recount() == []


@pytest.mark.parametrize("seed", [1, 2])
async def test_storm_when_everybody_works_on_the_same_runs_then_everything_adds_up(
    database: pg.Database, house: scene.House, seed: int
) -> None:
    deadlocks: list[int] = []
    house.store._connections._on_retry = lambda *_: deadlocks.append(1)
    endpoints = [
        scene.endpoint("one", "one", "shared"),
        scene.endpoint("two", "two", "shared"),
        scene.endpoint("three"),
    ]
    routes = [scene.deployment.Route(model=model, endpoint=name) for model in MODELS for name in ENDPOINTS]
    house.deploy(
        endpoints,
        routes,
        scopes=[
            scene.deployment.Scope(name="shared", concurrency=6),
            scene.deployment.Scope(name="one", concurrency=4),
        ],
    )
    run_ids = house.submit(count=RUNS)
    programs = {run_id: program(index + 1_000 * seed) for index, run_id in enumerate(run_ids)}

    workers = [Worker(house, run_ids, programs, f"{seed}.{index}") for index in range(WORKERS)]
    await asyncio.gather(*(worker.live() for worker in workers))

    during = invariants.broken(house.connection)
    await working.drain(
        house, wishes=working.local_wishes(*STEPS, endpoints=ENDPOINTS), models=MODELS, programs=programs
    )
    assert during == {}
    assert deadlocks == []
    assert invariants.broken(house.connection, drained=True) == {}
    assert await house.store.recount() == []
