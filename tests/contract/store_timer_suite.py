"""Promises of the store and of the stage above it about timers that cannot be carried out; see ``store_suite``."""

import asyncio
import random
import types
import uuid
from typing import Any, cast

from heddle.config import settings
from heddle.core import plan
from heddle.core.run import RunState
from heddle.core.step import StepState
from heddle.engine import parts as parts_module
from heddle.engine import schedule, sweep
from heddle.ports import timers
from tests.contract.store_suite import started
from tests.races import scene
from tests.races.scene import House, call, suspended

SLEEP = plan.CallOptions(delay_s=3_600.0)


class _Clock:
    rng = random.Random(7)

    def monotonic_s(self) -> float:
        return 1.0

    def unix_s(self) -> float:
        return 1.0

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(0)


def scheduler(house: House, worker: int) -> schedule.Scheduler:
    """Make the stage of a worker that leads."""
    alive = asyncio.Event()
    alive.set()
    parts: Any = types.SimpleNamespace(
        store=house.store,
        clock=_Clock(),
        is_alive=alive,
        worker=worker,
        settings=settings.Settings(),
        wake=lambda *, readied: None,
    )
    leading = types.SimpleNamespace(is_leader=True)
    return schedule.Scheduler(cast("parts_module.Parts", parts), cast("sweep.Sweeper", leading))


async def sleeping(house: House) -> uuid.UUID:
    """Start a run that sleeps."""
    run_id, _ = await started(house, call(1, "sleep", "sleep", options=SLEEP), ending=suspended(1))
    return run_id


async def broken(house: House) -> tuple[uuid.UUID, uuid.UUID]:
    """Start a run whose child run has failed with what cannot be read; give both."""
    run_id, worker = await started(house, call(1, "workflow", scene.WORKFLOW), ending=suspended(1))
    child_id = (await house.calls(run_id))[1].child_run
    assert child_id is not None
    await house.begin(child_id, worker, ending=scene.raised())
    house.blame(child_id, "of_a_later_version")
    return run_id, child_id


class TimerSuite:
    """One timer that cannot be carried out, among others."""

    async def test_one_pass_when_one_timer_is_refused_then_all_others_fire_and_it_waits_with_nothing_lost(
        self, house: House
    ) -> None:
        before = [await sleeping(house) for _ in range(2)]
        run_id, _ = await broken(house)
        after = [await sleeping(house) for _ in range(3)]
        house.due_now()

        await scheduler(house, await house.worker()).one_pass()

        for each in (*before, *after):
            assert (await house.calls(each))[1].state is StepState.SUCCEEDED
        assert (await house.calls(run_id))[1].state is StepState.WAITING
        assert house.count("timer") == 1
        assert 0.0 < house.timer_in_s("child") <= 1.0

    async def test_one_pass_when_a_timer_is_refused_again_then_it_waits_longer_up_to_a_bound(
        self, house: House
    ) -> None:
        await broken(house)
        stage = scheduler(house, await house.worker())

        waits = []
        for _ in range(9):
            house.due_now()
            await stage.one_pass()
            waits.append(house.timer_in_s("child"))

        assert waits[0] <= 1.0
        assert 1.5 <= waits[2] <= 4.0
        assert 25.0 <= waits[8] <= 60.0

    async def test_one_pass_when_what_was_refused_is_mended_then_it_is_carried_out(self, house: House) -> None:
        run_id, child_id = await broken(house)
        stage = scheduler(house, await house.worker())
        house.due_now()
        await stage.one_pass()

        house.blame(child_id, "code_raised")
        house.due_now()
        await stage.one_pass()

        assert (await house.calls(run_id))[1].state is StepState.FAILED
        assert (await house.shown(run_id)).state is RunState.RUNNING
        assert house.count("timer") == 0

    async def test_put_off_when_the_timer_is_not_due_or_gone_then_nothing_changes(self, house: House) -> None:
        run_id = await sleeping(house)
        later, gone = timers.TimerRef(run_id, 1, "sleep"), timers.TimerRef(run_id, 2, "sleep")

        moved = [await house.store.put_off(timer=timer, delay_s=5.0) for timer in (later, gone)]

        assert moved == [False, False]
        assert house.timer_in_s("sleep") > 3_000.0
        assert house.count("timer") == 1
