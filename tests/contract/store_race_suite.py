"""More promises of the store: what becomes of calls that nobody waits for any more; see ``store_suite``."""

from heddle.core import plan
from heddle.core.run import RunState
from heddle.core.step import StepState
from heddle.ports import stopping, store
from tests.contract.store_suite import deploy, started, states
from tests.races import scene
from tests.races.scene import House, call, suspended


class StoppedJobSuite:
    """What becomes of provider jobs whose calls were stopped, and of calls whose time is over."""

    async def test_cancel_when_a_paid_call_is_being_sent_then_its_slot_is_held_until_the_job_is_known(
        self, house: House
    ) -> None:
        deploy(house)
        run_id, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")
        await house.store.mark_sending(calls=[(sent, "digest")])

        await house.cancel(run_id)
        await house.settle(scene.unsure(sent))
        held = house.value("select count(*) from heddle_slot")
        house.due_now()
        await house.pump(worker)
        (look,) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")
        await house.store.look_again(looks=[stopping.LookAgain(lease=scene.ref(look), delay_s=0.0, handle="job-1")])
        await house.pump(worker)
        (poll,) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")
        await house.store.close_cancelled(closings=[(scene.ref(poll), "done", scene.COST_NANO_USD)])

        assert held == 1
        assert (look.state, look.attempt_state, look.handle) == ("cancelled", "unknown", None)
        assert (poll.state, poll.attempt_state, poll.handle) == ("cancelled", "accepted", "job-1")
        assert house.value("select count(*) from heddle_slot") == 0
        assert house.charges() == [("charge", scene.COST_NANO_USD)]

    async def test_claim_when_the_deadline_has_passed_then_no_call_is_handed_out(self, house: House) -> None:
        deploy(house)
        run_id, worker = (await house.admit(deadline_s=3_600.0)).run_id, await house.worker()
        await house.begin(run_id, worker, call(1, "model", "sent"), call(2, "step", "a"), ending=suspended(1))

        house.connection.execute("update heddle_run set deadline_at = now() - interval '1 second'")
        house.connection.execute("update heddle_timer set due_at = now() - interval '1 second' where kind = 'deadline'")
        claimed = await house.claim_models(worker, "sent") + await house.claim(worker, scene.step_lane("a"))
        await house.pump(worker)

        assert claimed == []
        assert await states(house, run_id) == {1: StepState.CANCELLED, 2: StepState.CANCELLED}
        assert house.value("select count(*) from heddle_attempt") == 0


class RaceSuite:
    """What becomes of calls that lost first_of."""

    async def test_race_when_one_has_won_then_the_losers_and_what_needs_them_are_over_and_the_run_goes_on(
        self, house: House
    ) -> None:
        run_id, worker = await started(
            house,
            call(1, "step", "a"),
            call(2, "step", "b"),
            call(3, "sleep", "sleep", options=plan.CallOptions(delay_s=3_600.0)),
            call(4, "workflow", scene.WORKFLOW),
            call(5, "step", "c", parents=[2]),
            ending=suspended(1, 2, 3, 4, count=1),
        )
        child_id = (await house.calls(run_id))[4].child_run
        (a,), (b,) = await house.claim(worker, scene.step_lane("a")), await house.claim(worker, scene.step_lane("b"))
        await house.settle(scene.done(a))
        fresh = call(6, "step", "d")

        report = await house.begin(run_id, worker, fresh, ending=scene.returned(1), cancels=(2, 3, 4, 6))
        late = await house.settle(scene.done(b))
        await house.pump(worker)
        assert child_id is not None

        cancelled = StepState.CANCELLED
        assert await states(house, run_id) == {
            1: StepState.SUCCEEDED,
            2: cancelled,
            3: cancelled,
            4: cancelled,
            5: StepState.SKIPPED,
            6: cancelled,
        }
        assert report.stopped == (run_id,)
        assert late.fenced == 1
        assert (await house.shown(run_id)).state is RunState.SUCCEEDED
        assert (await house.shown(child_id)).state is RunState.CANCELLED

    async def test_race_when_the_run_is_retried_then_the_losers_stay_lost(self, house: House) -> None:
        run_id, worker = await started(
            house,
            call(1, "step", "a"),
            call(2, "step", "b"),
            call(3, "step", "c", parents=[2]),
            ending=suspended(1, 2, count=1),
        )
        (a,) = await house.claim(worker, scene.step_lane("a"))
        await house.settle(scene.done(a))
        await house.begin(run_id, worker, call(4, "step", "a"), ending=scene.returned(4), cancels=(2,))
        (a,) = await house.claim(worker, scene.step_lane("a"))
        await house.settle(scene.faulted(a))
        failed = (await house.shown(run_id)).state

        await house.retry(run_id)

        assert failed is RunState.FAILED
        assert await states(house, run_id) == {
            1: StepState.SUCCEEDED,
            2: StepState.CANCELLED,
            3: StepState.SKIPPED,
            4: StepState.DUE,
        }

    async def test_race_when_the_plan_missed_a_wake_up_then_nothing_is_cancelled(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "step", "a"), call(2, "step", "b"), ending=suspended(1, count=1))
        (a,) = await house.claim(worker, scene.step_lane("a"))
        await house.settle(scene.done(a))
        (claimed,) = await house.claim(worker, scene.ACTIVATIONS, purpose="activate")
        made = plan.Plan(run_id=run_id, calls=(), ending=scene.returned(1), cancels=(2,))

        report = await house.store.write_plans(
            plans=[store.PlanWrite(plan=made, fence=claimed.fence, wake_seq=-1)], cleanup_s=scene.CLEANUP_S
        )

        assert report.again == 1
        assert (await states(house, run_id))[2] is StepState.DUE

    async def test_race_when_a_signal_came_after_the_winner_then_the_next_call_for_it_gets_it(
        self, house: House
    ) -> None:
        run_id, worker = await started(
            house, call(1, "step", "a"), call(2, "signal", "word"), ending=suspended(1, 2, count=1)
        )
        (a,) = await house.claim(worker, scene.step_lane("a"))
        await house.settle(scene.done(a))
        await house.signal(run_id, "word", "late")
        await house.pump(worker)
        taken = (await states(house, run_id))[2]

        await house.begin(run_id, worker, call(3, "signal", "word"), ending=suspended(3), cancels=(2,))
        await house.pump(worker)

        assert taken is StepState.SUCCEEDED
        assert (await house.calls(run_id))[3].output == "late"


class ChainSuite:
    """What a call above is told of a chain of runs."""

    async def test_chain_when_a_link_goes_on_then_the_call_above_is_told_of_the_end_alone(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "workflow", scene.WORKFLOW), ending=suspended(1))
        first = (await house.calls(run_id))[1].child_run
        before = house.count("timer")
        assert first is not None

        await house.begin(first, worker, ending=plan.Continued(workflow=scene.WORKFLOW, input={}, version=1))
        between, last = house.count("timer"), (await house.calls(run_id))[1].child_run
        assert last is not None
        await house.begin(last, worker, ending=scene.returned())
        after = house.count("timer")
        await house.pump(worker)

        assert last != first
        assert (between - before, after - before) == (0, 1)
        assert (await states(house, run_id))[1] is StepState.SUCCEEDED
