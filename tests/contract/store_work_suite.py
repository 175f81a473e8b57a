"""More promises of the store: waits, leases and what the dead leave behind; see ``store_suite``."""

import uuid

import pytest

from heddle.core import plan
from heddle.core.attempt import AttemptState
from heddle.core.run import RunState
from heddle.core.step import StepState
from heddle.ports import doors, store
from tests.contract.store_suite import deploy, started, states
from tests.races import scene
from tests.races.scene import House, call, suspended


class PageSuite:
    """Pages of a run's calls."""

    async def test_steps_when_paged_then_each_call_comes_once_with_its_own_attempts(self, house: House) -> None:
        calls = [call(ordinal, "step", "double") for ordinal in range(1, 6)]
        run_id, worker = await started(house, *calls, ending=suspended(*range(1, 6)))
        for leased in await house.claim(worker, scene.step_lane("double")):
            await house.settle(scene.done(leased))

        pages = [await house.calls(run_id, after=after, limit=2) for after in (0, 2, 4, 5)]

        assert [list(page) for page in pages] == [[1, 2], [3, 4], [5], []]
        assert [len(view.attempts) for page in pages for view in page.values()] == [1] * 5


class WaitSuite:
    """Signals, sleeps, callbacks and child runs."""

    async def test_signal_when_it_comes_before_the_wait_then_it_is_buffered(self, house: House) -> None:
        run_id, worker = (await house.admit()).run_id, await house.worker()
        await house.signal(run_id, "verdict", "yes")

        await house.begin(run_id, worker, call(1, "signal", "verdict"), ending=suspended(1))
        await house.pump(worker)

        assert (await house.calls(run_id))[1].output == "yes"

    async def test_signal_when_its_key_comes_twice_then_it_is_delivered_once(self, house: House) -> None:
        run_id, worker = await started(
            house, call(1, "signal", "verdict"), call(2, "signal", "verdict"), ending=suspended(1, 2)
        )

        await house.signal(run_id, "verdict", "yes", "k")
        await house.signal(run_id, "verdict", "yes", "k")
        await house.pump(worker)

        assert await states(house, run_id) == {1: StepState.SUCCEEDED, 2: StepState.WAITING}

    async def test_signal_when_two_come_for_two_calls_then_each_gets_its_own(self, house: House) -> None:
        run_id, worker = await started(
            house, call(1, "signal", "verdict"), call(2, "signal", "verdict"), ending=suspended(1, 2)
        )

        await house.signal(run_id, "verdict", "first")
        await house.signal(run_id, "verdict", "second")
        await house.pump(worker)

        assert {ordinal: view.output for ordinal, view in (await house.calls(run_id)).items()} == {
            1: "first",
            2: "second",
        }

    async def test_signal_when_one_is_buffered_for_two_calls_then_the_other_goes_on_waiting(self, house: House) -> None:
        options = plan.CallOptions(delay_s=3_600.0)
        run_id, worker = (await house.admit()).run_id, await house.worker()
        await house.signal(run_id, "verdict", "first")
        calls = [call(ordinal, "signal", "verdict", options=options) for ordinal in (1, 2)]
        await house.begin(run_id, worker, *calls, ending=suspended(1, 2))

        await house.pump(worker)
        between = await states(house, run_id)
        await house.signal(run_id, "verdict", "second")
        await house.pump(worker)

        assert between == {1: StepState.SUCCEEDED, 2: StepState.WAITING}
        assert (await house.calls(run_id))[2].output == "second"

    async def test_signal_when_its_time_is_over_then_the_call_fails(self, house: House) -> None:
        options = plan.CallOptions(delay_s=0.001)
        run_id, worker = await started(house, call(1, "signal", "verdict", options=options), ending=suspended(1))

        house.due_now()
        await house.pump(worker)

        assert await states(house, run_id) == {1: StepState.FAILED}

    async def test_signal_when_the_run_is_over_then_it_is_refused(self, house: House) -> None:
        run_id, _ = await started(house, ending=scene.returned())

        with pytest.raises(doors.RunTerminal):
            await house.signal(run_id, "verdict")

    async def test_signal_when_a_run_has_as_many_as_it_may_then_the_next_is_refused_and_none_is_lost(
        self, house: House
    ) -> None:
        run_id, worker = (await house.admit()).run_id, await house.worker()
        for number in range(scene.SIGNALS_MAX):
            await house.signal(run_id, "verdict", number, str(number))

        with pytest.raises(doors.SignalsFull, match=rf"run {run_id} keeps .* as it may, 4 \(HEDDLE_SIGNALS_MAX"):
            await house.signal(run_id, "another", "late", "late")
        await house.signal(run_id, "verdict", 0, "0")

        waits = [call(ordinal, "signal", "verdict") for ordinal in range(1, scene.SIGNALS_MAX + 2)]
        await house.begin(run_id, worker, *waits, ending=suspended(*range(1, scene.SIGNALS_MAX + 2)))
        await house.pump(worker)
        await house.signal(run_id, "another", "late", "late")

        outputs = [view.output for _, view in sorted((await house.calls(run_id)).items())]
        assert outputs == [*range(scene.SIGNALS_MAX), None]

    async def test_signal_when_a_call_waits_for_it_then_it_is_taken_however_many_others_are_kept(
        self, house: House
    ) -> None:
        run_id, worker = await started(house, call(1, "signal", "verdict"), ending=suspended(1))
        for _ in range(scene.SIGNALS_MAX):
            await house.signal(run_id, "noise")

        await house.signal(run_id, "verdict", "yes")
        with pytest.raises(doors.SignalsFull):
            await house.signal(run_id, "verdict", "no")
        await house.pump(worker)

        assert (await house.calls(run_id))[1].output == "yes"

    async def test_callback_when_it_comes_twice_then_one_poll_is_made_due(self, house: House) -> None:
        deploy(house)
        _, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.accepted(sent))

        found = [await house.callback(sent, "event"), await house.callback(sent, "event")]
        await house.pump(worker)

        assert found == [True, False]
        assert [item.ordinal for item in await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")] == [1]

    async def test_callback_when_it_comes_during_a_poll_then_the_next_poll_is_at_once(self, house: House) -> None:
        deploy(house)
        _, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.accepted(sent))
        house.due_now()
        await house.pump(worker)
        (poll,) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")

        await house.callback(sent, "event")
        await house.settle(scene.accepted(poll, delay_s=3_600.0))
        await house.pump(worker)

        assert len(await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")) == 1

    async def test_callback_when_the_attempt_is_of_another_endpoint_then_it_is_not_found(self, house: House) -> None:
        deploy(house)
        _, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")

        with pytest.raises(LookupError):
            await house.callback(sent, "event", endpoint="other")

    async def test_child_when_it_succeeds_then_its_output_is_the_calls(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "workflow", scene.WORKFLOW), ending=suspended(1))
        child_id = (await house.calls(run_id))[1].child_run
        assert child_id is not None

        await house.begin(child_id, worker, call(1, "now", "now", output=5), ending=scene.returned(1))
        await house.pump(worker)

        assert (await house.calls(run_id))[1].output == [5]

    async def test_child_when_it_takes_an_output_that_is_not_there_then_the_call_fails_and_others_go_on(
        self, house: House
    ) -> None:
        bad = plan.PlannedCall(
            ordinal=2,
            kind=scene.step.StepKind.WORKFLOW,
            name=scene.WORKFLOW,
            version=1,
            digest="d",
            arguments={"x": {plan.CALL: [1, ["missing"]]}},
            parents=(1,),
            options=plan.CallOptions(),
        )
        run_id, worker = await started(
            house,
            call(1, "step", "a"),
            bad,
            call(3, "sleep", "sleep", options=plan.CallOptions(delay_s=0.001)),
            ending=scene.returned(),
        )
        (a,) = await house.claim(worker, scene.step_lane("a"))
        await house.settle(scene.done(a, {"there": 1}))

        house.due_now()
        await house.pump(worker)

        assert await states(house, run_id) == {1: StepState.SUCCEEDED, 2: StepState.FAILED, 3: StepState.SUCCEEDED}

    async def test_child_when_its_parent_is_cancelled_then_it_is_cancelled_too(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "workflow", scene.WORKFLOW), ending=suspended(1))
        child_id = (await house.calls(run_id))[1].child_run
        assert child_id is not None
        await house.begin(child_id, worker, call(1, "step", "a"), ending=suspended(1))

        await house.cancel(run_id)
        for _ in range(2):
            house.due_now()
            await house.pump(worker)

        assert [(await house.shown(each)).state for each in (run_id, child_id)] == [RunState.CANCELLED] * 2

    async def test_child_when_it_fails_then_the_call_fails_with_its_fault(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "workflow", scene.WORKFLOW), ending=suspended(1))
        child_id = (await house.calls(run_id))[1].child_run
        assert child_id is not None

        await house.begin(child_id, worker, ending=scene.raised("the kiln is cold"))
        await house.pump(worker)

        fault = (await house.calls(run_id))[1].fault
        assert fault is not None
        assert "the kiln is cold" in fault.message


class LeaseSuite:
    """Fences, late results and what becomes of the work of the dead."""

    async def test_settle_when_the_fence_is_old_then_nothing_moves(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "step", "a"), ending=suspended(1))
        (first,) = await house.claim(worker, scene.step_lane("a"))
        await house.store.give_back(leases=[scene.ref(first)])
        (second,) = await house.claim(worker, scene.step_lane("a"))

        report = await house.settle(scene.done(first))

        assert (report.settled, report.fenced) == (0, 1)
        assert await states(house, run_id) == {1: StepState.DUE}
        assert (await house.settle(scene.done(second))).settled == 1

    async def test_settle_when_it_is_written_twice_then_the_second_changes_nothing(self, house: House) -> None:
        run_id, worker = await started(
            house, call(1, "step", "a"), call(2, "step", "b", parents=[1]), ending=suspended(2)
        )
        (a,) = await house.claim(worker, scene.step_lane("a"))
        await house.settle(scene.done(a))
        before = house.all_runs(), await house.calls(run_id)

        await house.settle(scene.done(a))

        assert (house.all_runs(), await house.calls(run_id)) == before

    async def test_settle_when_a_paid_result_comes_late_then_it_is_kept_and_booked(self, house: House) -> None:
        deploy(house)
        run_id, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")
        await house.store.mark_sending(calls=[(sent, "digest")])
        await house.cancel(run_id)

        report = await house.settle(scene.done(sent, "picture"))

        shown = await house.shown(run_id)
        assert (report.settled, report.late) == (0, 1)
        assert (await house.calls(run_id))[1].attempts[0].state is AttemptState.LATE
        assert shown.cost_nano_usd == scene.COST_NANO_USD
        assert [amount for _, amount in house.charges()] == [scene.COST_NANO_USD]

    async def test_settle_when_a_stopped_call_was_accepted_after_all_then_the_provider_is_asked_to_stop(
        self, house: House
    ) -> None:
        deploy(house)
        run_id, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")
        await house.store.mark_sending(calls=[(sent, "digest")])
        await house.cancel(run_id)

        await house.settle(scene.accepted(sent))

        (asked,) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")
        assert (asked.state, asked.handle) == ("cancelled", "job-1")

    async def test_reclaim_when_nothing_was_sent_then_the_call_is_due_again_at_once(self, house: House) -> None:
        deploy(house)
        run_id, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        dead = await house.worker("dead")
        await house.claim_models(dead, "sent")
        house.silence(dead)

        report = await house.store.reclaim(lease_s=15.0, margin_s=2.0, limit=10)
        await house.pump(worker)
        (second,) = await house.claim_models(worker, "sent")

        assert report == store.ReclaimReport(dead_workers=1, taken=1, readied=0, unknown=0)
        assert (second.number, second.attempts_before) == (2, 1)
        assert (await house.calls(run_id))[1].attempts[0].state is AttemptState.ABANDONED

    async def test_reclaim_when_the_call_may_have_been_sent_then_it_is_unknown_and_looked_up(
        self, house: House
    ) -> None:
        deploy(house)
        run_id, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        dead = await house.worker("dead")
        (sent,) = await house.claim_models(dead, "sent")
        await house.store.mark_sending(calls=[(sent, "digest")])
        house.silence(dead)

        report = await house.store.reclaim(lease_s=15.0, margin_s=2.0, limit=10)
        between = await states(house, run_id)
        house.due_now()
        await house.pump(worker)
        (asked,) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")

        assert report.unknown == 1
        assert between == {1: StepState.UNKNOWN}
        assert (asked.state, asked.attempt_state) == ("unknown", "unknown")
        assert await house.claim_models(worker, "sent") == []

    async def test_reclaim_when_a_step_ran_then_it_is_in_line_again_and_its_crash_is_counted(
        self, house: House
    ) -> None:
        _, worker = await started(house, call(1, "step", "a"), ending=suspended(1))
        dead = await house.worker("dead")
        await house.claim(dead, scene.step_lane("a"))
        house.silence(dead)

        await house.store.reclaim(lease_s=15.0, margin_s=2.0, limit=10)

        (again,) = await house.claim(worker, scene.step_lane("a"))
        assert (again.crashes, again.number, again.attempts_before) == (1, 2, 1)

    async def test_reclaim_when_the_worker_has_just_beaten_then_nothing_is_taken(self, house: House) -> None:
        _, worker = await started(house, call(1, "step", "a"), ending=suspended(1))
        await house.claim(worker, scene.step_lane("a"))

        assert await house.store.reclaim(lease_s=15.0, margin_s=2.0, limit=10) == store.ReclaimReport()

    async def test_reclaim_when_a_worker_died_asking_a_job_to_stop_then_somebody_else_asks(self, house: House) -> None:
        deploy(house)
        run_id, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        dead = await house.worker("dead")
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.accepted(sent))
        await house.cancel(run_id)
        await house.claim(dead, scene.lanes.of_poll("one"), purpose="poll")
        house.silence(dead)

        await house.store.reclaim(lease_s=15.0, margin_s=2.0, limit=10)

        (asked,) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")
        assert asked.state == "cancelled"

    async def test_claim_when_its_outcome_is_unknown_then_it_is_read_back_by_its_id(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "step", "a"), ending=suspended(1))
        (claimed,) = await house.claim(worker, scene.step_lane("a"))
        claim_id = house.claim_id(run_id)

        assert await house.store.readback(worker=worker, claim_ids=[claim_id]) == [scene.ref(claimed)]
        assert await house.store.readback(worker=worker, claim_ids=[uuid.uuid4()]) == []
