"""Promises of the store about child runs when the run above them is tried again; see ``store_suite``."""

import uuid

import pytest

from heddle.core import faults, lanes, plan
from heddle.core.run import RunState
from heddle.core.step import StepState
from heddle.ports import doors, store
from tests.contract.store_suite import deploy, started
from tests.races import scene
from tests.races.scene import House, call, suspended


async def calling(house: House, *, deadline_s: float | None = None) -> tuple[uuid.UUID, uuid.UUID, int]:
    """Start a run that waits for one child run, of which nothing has been done."""
    run_id, worker = (await house.admit(deadline_s=deadline_s)).run_id, await house.worker()
    await house.begin(run_id, worker, call(1, "workflow", scene.WORKFLOW), ending=suspended(1))
    child_id = (await house.calls(run_id))[1].child_run
    assert child_id is not None
    return run_id, child_id, worker


async def above(
    house: House, *, ending: plan.Ending | None = None, deadline_s: float | None = None
) -> tuple[uuid.UUID, uuid.UUID, int]:
    """Start a run that waits for one child run, whose first call is done and whose second is to come.

    ``ending``: of what the function of the child has done so far, which is all.
    """
    run_id, child_id, worker = await calling(house, deadline_s=deadline_s)
    calls = (call(1, "step", "a"), call(2, "step", "b"))
    await house.begin(child_id, worker, *calls, ending=ending or scene.returned(1, 2))
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


async def expire(house: House, run_id: uuid.UUID, worker: int) -> None:
    """Let the time of a run be over, and what is below it be told to stop."""
    house.deadlines_now(only=run_id)
    await house.pump(worker)
    await house.begin(run_id, worker, ending=plan.Raised(fault=scene.STOPPED))
    await house.pump(worker)
    assert (await house.shown(run_id)).state is RunState.EXPIRED


async def finish(house: House, child_id: uuid.UUID, worker: int) -> None:
    """Let a child run whose first call is done go on to its end."""
    await house.begin(child_id, worker, ending=scene.returned(1, 2))
    assert await house.claim(worker, scene.step_lane("a")) == []
    (b,) = await house.claim(worker, scene.step_lane("b"))
    await house.settle(scene.done(b, output="late"))
    await house.pump(worker)


async def sending(house: House) -> tuple[uuid.UUID, uuid.UUID, int, store.Claimed]:
    """Let a child run be at a paid call, which is being sent."""
    deploy(house)
    run_id, child_id, worker = await calling(house, deadline_s=3_600.0)
    await house.begin(child_id, worker, call(1, "model", "sent"), ending=scene.returned(1))
    (sent,) = await house.claim_models(worker, "sent")
    await house.store.mark_sending(calls=[(sent, "digest")])
    return run_id, child_id, worker, sent


async def asked_after(house: House, run_id: uuid.UUID, worker: int) -> store.Claimed:
    """Retry the run above, and claim the paid call below it: not to be sent, but to be asked after."""
    await house.retry(run_id)
    for _ in range(2):
        house.due_now()
        await house.pump(worker)
    assert await house.claim_models(worker, "sent") == []
    (asked,) = await house.claim(worker, lanes.of_poll("one"), purpose="poll")
    return asked


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

    async def test_retry_when_the_run_above_expired_then_its_child_goes_on_and_nothing_is_paid_twice(
        self, house: House
    ) -> None:
        run_id, child_id, worker = await above(house, deadline_s=3_600.0)
        await expire(house, run_id, worker)
        before = (await house.shown(child_id)).state

        await house.retry(run_id)
        await house.pump(worker)
        await finish(house, child_id, worker)

        shown = (await house.calls(run_id))[1]
        assert before is RunState.CANCELLED
        assert (shown.state, shown.child_run, shown.output) == (StepState.SUCCEEDED, child_id, ["paid for", "late"])
        assert (house.count("run"), (await house.shown(child_id)).error) == (2, None)

    async def test_retry_when_the_function_above_raised_beside_an_open_child_then_the_child_goes_on(
        self, house: House
    ) -> None:
        calls = (call(1, "workflow", scene.WORKFLOW), call(2, "step", "x"))
        run_id, worker = await started(house, *calls, ending=suspended(2))
        child_id = (await house.calls(run_id))[1].child_run
        assert child_id is not None
        await house.begin(child_id, worker, call(1, "step", "a"), call(2, "step", "b"), ending=suspended(2))
        (a,) = await house.claim(worker, scene.step_lane("a"))
        (x,) = await house.claim(worker, scene.step_lane("x"))
        await house.settle(scene.done(a, output="paid for"), scene.faulted(x))
        await house.begin(run_id, worker, ending=scene.raised())
        await house.pump(worker)
        await house.begin(child_id, worker, ending=plan.Raised(fault=scene.STOPPED))
        assert (await house.shown(child_id)).state is RunState.CANCELLED

        await house.retry(run_id)
        await house.pump(worker)
        await finish(house, child_id, worker)

        assert (await house.calls(run_id))[1].output == ["paid for", "late"]

    async def test_retry_when_a_run_expired_two_above_then_all_below_go_on(self, house: House) -> None:
        run_id, middle_id, worker = await calling(house, deadline_s=3_600.0)
        await house.begin(middle_id, worker, call(1, "workflow", scene.WORKFLOW), ending=scene.returned(1))
        child_id = (await house.calls(middle_id))[1].child_run
        assert child_id is not None
        await house.begin(child_id, worker, call(1, "step", "a"), call(2, "step", "b"), ending=suspended(2))
        (a,) = await house.claim(worker, scene.step_lane("a"))
        await house.settle(scene.done(a, output="paid for"))
        await expire(house, run_id, worker)
        await house.pump(worker)
        await house.begin(child_id, worker, ending=plan.Raised(fault=scene.STOPPED))

        await house.retry(run_id)
        await house.pump(worker)
        await house.begin(middle_id, worker, ending=scene.returned(1))
        await house.pump(worker)
        await finish(house, child_id, worker)
        await house.pump(worker)

        shown = (await house.calls(run_id))[1]
        assert (shown.state, shown.output) == (StepState.SUCCEEDED, [["paid for", "late"]])
        assert house.count("run") == 3

    async def test_retry_when_the_child_is_still_cleaning_up_then_it_goes_on_after_that(self, house: House) -> None:
        run_id, child_id, worker = await above(house, deadline_s=3_600.0, ending=suspended(2))
        house.deadlines_now(only=run_id)
        await house.pump(worker)
        await house.begin(run_id, worker, ending=plan.Raised(fault=scene.STOPPED))
        await house.pump(worker)

        await house.retry(run_id)
        await house.pump(worker)
        await house.begin(child_id, worker, ending=plan.Raised(fault=scene.STOPPED))
        house.due_now()
        await house.pump(worker)
        await finish(house, child_id, worker)

        assert (await house.calls(run_id))[1].output == ["paid for", "late"]
        assert house.count("run") == 2

    async def test_retry_when_it_comes_before_the_child_was_told_to_stop_then_the_child_goes_on_too(
        self, house: House
    ) -> None:
        run_id, child_id, worker = await above(house, deadline_s=3_600.0)
        house.deadlines_now(only=run_id)
        await house.pump(worker)
        await house.begin(run_id, worker, ending=plan.Raised(fault=scene.STOPPED))

        await house.retry(run_id)
        await house.pump(worker)
        for _ in range(2):
            house.due_now()
            await house.pump(worker)
        await finish(house, child_id, worker)

        shown = (await house.calls(run_id))[1]
        assert (shown.state, shown.output, house.count("run")) == (StepState.SUCCEEDED, ["paid for", "late"], 2)

    async def test_retry_when_the_answer_to_a_paid_call_came_after_the_stop_then_it_is_taken_and_not_paid_again(
        self, house: House
    ) -> None:
        run_id, child_id, worker, sent = await sending(house)
        await expire(house, run_id, worker)
        await house.settle(scene.done(sent, "late picture"))

        asked = await asked_after(house, run_id, worker)
        await house.settle(scene.done(asked, asked.result))
        await house.begin(child_id, worker, ending=scene.returned(1))
        await house.pump(worker)

        assert (asked.state, asked.number, asked.attempt_state) == ("unknown", sent.number, "late")
        assert (await house.calls(run_id))[1].output == ["late picture"]
        assert house.charges() == [("charge", scene.COST_NANO_USD)]
        assert house.count("slot") == 0

    async def test_retry_when_it_is_not_known_what_became_of_a_paid_call_then_it_is_asked_after(
        self, house: House
    ) -> None:
        run_id, child_id, worker, sent = await sending(house)
        await expire(house, run_id, worker)
        await house.settle(scene.unsure(sent))

        asked = await asked_after(house, run_id, worker)

        assert (asked.run_id, asked.state, asked.number) == (child_id, "unknown", sent.number)

    async def test_retry_when_the_provider_has_the_job_of_a_paid_call_then_it_is_asked_for_that(
        self, house: House
    ) -> None:
        run_id, child_id, worker, sent = await sending(house)
        await house.settle(scene.accepted(sent, handle="job-7"))
        await expire(house, run_id, worker)

        asked = await asked_after(house, run_id, worker)

        assert (asked.run_id, asked.state, asked.handle) == (child_id, "pending", "job-7")

    async def test_retry_when_the_child_was_stopped_from_above_then_it_has_the_time_that_its_call_allows_again(
        self, house: House
    ) -> None:
        bounded = call(1, "workflow", scene.WORKFLOW, options=plan.CallOptions(timeout_s=3_600.0))
        run_id, worker = (await house.admit(deadline_s=60.0)).run_id, await house.worker()
        await house.begin(run_id, worker, bounded, ending=suspended(1))
        child_id = (await house.calls(run_id))[1].child_run
        assert child_id is not None
        await expire(house, run_id, worker)
        before = (await house.shown(child_id)).state

        await house.retry(run_id)
        await house.pump(worker)

        assert (before, (await house.shown(child_id)).state) == (RunState.CANCELLED, RunState.RUNNING)
        assert 3_500.0 < house.timer_in_s("deadline") <= 3_600.0

    async def test_retry_when_somebody_had_cancelled_the_child_before_the_run_above_expired_then_another_is_begun(
        self, house: House
    ) -> None:
        run_id, child_id, worker = await above(house, deadline_s=3_600.0, ending=suspended(2))
        await house.cancel(child_id)
        house.deadlines_now(only=run_id)
        await house.pump(worker)
        for claimed in await house.claim(worker, scene.ACTIVATIONS, purpose="activate"):
            await house.write(claimed, ending=plan.Raised(fault=scene.STOPPED))
        await house.pump(worker)

        await house.retry(run_id)
        await house.pump(worker)

        assert (await house.shown(child_id)).state is RunState.CANCELLED
        assert (await house.calls(run_id))[1].child_run not in (None, child_id)

    async def test_retry_when_the_child_failed_as_the_run_above_ended_then_it_goes_on_and_its_call_waits(
        self, house: House
    ) -> None:
        run_id, child_id, worker = await above(house, deadline_s=3_600.0)
        house.deadlines_now(only=run_id)
        await house.pump(worker)
        await house.begin(run_id, worker, ending=plan.Raised(fault=scene.STOPPED))
        (b,) = await house.claim(worker, scene.step_lane("b"))
        await house.settle(scene.faulted(b))

        await house.retry(run_id)
        await house.pump(worker)

        assert (await house.shown(child_id)).state is RunState.RUNNING
        assert (await house.calls(run_id))[1].state is StepState.WAITING

    async def test_retry_when_somebody_retries_the_stopped_child_itself_then_it_is_refused(self, house: House) -> None:
        run_id, child_id, worker = await above(house, deadline_s=3_600.0)
        await expire(house, run_id, worker)

        with pytest.raises(doors.RunNotRetryable):
            await house.retry(child_id)

        shown = await house.shown(child_id)
        assert shown.error is not None
        assert (shown.state, shown.error["message"]) == (RunState.CANCELLED, "the run above it stopped it")

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
