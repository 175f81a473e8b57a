"""Promises of the store about child runs when the run above them is tried again; see ``store_suite``."""

import uuid

from heddle.core import faults, plan
from heddle.core.run import RunState
from heddle.core.step import StepState
from tests.contract.store_suite import started
from tests.races import scene
from tests.races.scene import House, call, suspended


async def above(house: House) -> tuple[uuid.UUID, uuid.UUID, int]:
    """Start a run that waits for one child run, whose first call is done and whose second is to come."""
    run_id, worker = await started(house, call(1, "workflow", scene.WORKFLOW), ending=suspended(1))
    child_id = (await house.calls(run_id))[1].child_run
    assert child_id is not None
    await house.begin(child_id, worker, call(1, "step", "a"), call(2, "step", "b"), ending=scene.returned(1, 2))
    (a,) = await house.claim(worker, scene.step_lane("a"))
    await house.settle(scene.done(a, output="paid for"))
    return run_id, child_id, worker


async def fail(house: House, run_id: uuid.UUID, worker: int) -> None:
    """Let the second call of the child fail, and so the child and the run above it."""
    (b,) = await house.claim(worker, scene.step_lane("b"))
    await house.settle(scene.faulted(b))
    await house.pump(worker)
    await house.begin(run_id, worker, ending=scene.raised())
    assert (await house.shown(run_id)).state is RunState.FAILED


class AgainSuite:
    """What is below a run that is retried."""

    async def test_retry_when_a_child_run_failed_then_it_goes_on_and_what_it_has_done_is_not_done_again(
        self, house: House
    ) -> None:
        run_id, child_id, worker = await above(house)
        await fail(house, run_id, worker)

        await house.retry(run_id)
        await house.pump(worker)
        await house.begin(child_id, worker, ending=scene.returned(1, 2))
        assert await house.claim(worker, scene.step_lane("a")) == []
        (b,) = await house.claim(worker, scene.step_lane("b"))
        await house.settle(scene.done(b, output="late"))
        await house.pump(worker)

        shown = (await house.calls(run_id))[1]
        assert (shown.state, shown.child_run, shown.output) == (StepState.SUCCEEDED, child_id, ["paid for", "late"])
        assert house.count("run") == 2

    async def test_retry_when_the_child_took_too_long_then_it_has_its_time_again(self, house: House) -> None:
        options = plan.CallOptions(timeout_s=3_600.0)
        bounded = call(1, "workflow", scene.WORKFLOW, options=options)
        run_id, worker = await started(house, bounded, ending=suspended(1))
        child_id = (await house.calls(run_id))[1].child_run
        assert child_id is not None
        house.deadlines_now()
        await house.pump(worker)
        await house.pump(worker)
        await house.begin(run_id, worker, ending=scene.raised())
        before = (await house.shown(child_id)).state

        await house.retry(run_id)
        await house.pump(worker)

        assert (before, (await house.shown(child_id)).state) == (RunState.EXPIRED, RunState.RUNNING)
        assert house.count("timer") == 1
        house.deadlines_now()
        await house.pump(worker)
        await house.begin(child_id, worker, ending=plan.Raised(fault=scene.STOPPED))
        assert (await house.shown(child_id)).state is RunState.EXPIRED

    async def test_retry_when_both_are_retried_then_the_child_runs_once(self, house: House) -> None:
        run_id, child_id, worker = await above(house)
        await fail(house, run_id, worker)

        await house.retry(child_id)
        await house.retry(run_id)
        await house.pump(worker)

        assert (await house.shown(child_id)).state is RunState.RUNNING
        assert ((await house.calls(run_id))[1].child_run, house.count("run")) == (child_id, 2)
        assert [event.name for event in await house.events(child_id)].count("run.retried") == 1

    async def test_retry_when_the_child_was_retried_before_and_succeeded_then_its_value_is_taken(
        self, house: House
    ) -> None:
        run_id, child_id, worker = await above(house)
        await fail(house, run_id, worker)
        await house.retry(child_id)
        await house.begin(child_id, worker, ending=scene.returned(1, 2))
        (b,) = await house.claim(worker, scene.step_lane("b"))
        await house.settle(scene.done(b, output="late"))
        await house.pump(worker)

        await house.retry(run_id)
        for _ in range(2):
            await house.pump(worker)

        shown = (await house.calls(run_id))[1]
        assert (shown.state, shown.output, house.count("run")) == (StepState.SUCCEEDED, ["paid for", "late"], 2)

    async def test_retry_when_the_child_was_cancelled_then_another_is_begun(self, house: House) -> None:
        run_id, child_id, worker = await above(house)
        await house.cancel(child_id)
        await house.pump(worker)
        await house.begin(run_id, worker, ending=scene.raised())

        await house.retry(run_id)
        await house.pump(worker)

        assert (await house.shown(child_id)).state is RunState.CANCELLED
        assert (await house.calls(run_id))[1].child_run not in (None, child_id)

    async def test_retry_when_the_child_cannot_be_replayed_then_another_is_begun(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "workflow", scene.WORKFLOW), ending=suspended(1))
        child_id = (await house.calls(run_id))[1].child_run
        assert child_id is not None
        changed = faults.StepFault(fault=faults.Fault.WORKFLOW_CHANGED, message="another call")
        await house.begin(child_id, worker, ending=plan.Raised(fault=changed))
        await house.pump(worker)
        await house.begin(run_id, worker, ending=scene.raised())

        await house.retry(run_id)
        await house.pump(worker)

        assert (await house.calls(run_id))[1].child_run not in (None, child_id)
