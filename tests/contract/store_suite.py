"""The promises of ``ports.store.EngineStore`` and ``ports.doors.Doors`` together, as tests that every implementation
must pass.

A test class inherits from the suites and gives the fixture ``house``: an empty store with the endpoints of ``deploy``,
whose time a test can let come. What the tests see they see through the doors.
"""

import asyncio
import concurrent.futures
import datetime
import uuid

import pytest

from heddle.core import plan
from heddle.core.run import RunState
from heddle.core.step import StepState
from heddle.ports import doors, records
from tests.races import scene
from tests.races.scene import House, call, suspended

RACERS = 100


def deploy(house: House) -> None:
    """Give the model ``sent`` one paid endpoint."""
    house.deploy(
        [scene.endpoint("one")],
        [scene.deployment.Route(model="sent", endpoint="one")],
        scopes=[scene.deployment.Scope(name="one", concurrency=50)],
    )


async def states(house: House, run_id: uuid.UUID) -> dict[int, StepState]:
    """Give the states of a run's calls."""
    return {ordinal: view.state for ordinal, view in (await house.calls(run_id)).items()}


async def started(house: House, *calls: plan.PlannedCall, ending: plan.Ending) -> tuple[uuid.UUID, int]:
    """Start a run with a first plan."""
    run_id, worker = (await house.admit()).run_id, await house.worker()
    await house.begin(run_id, worker, *calls, ending=ending)
    return run_id, worker


class SubmitSuite:
    """What a caller may rely on when a run is submitted."""

    async def test_submit_when_a_hundred_racers_use_one_key_then_there_is_one_run(self, house: House) -> None:
        new = scene.new_run(house.tenant, idempotency_key="k", fingerprint="f")

        def submit(_: int) -> records.Submission:
            from django.db import connections

            try:
                return house.doors().submit(new)
            finally:
                connections.close_all()

        with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
            found = await asyncio.to_thread(lambda: list(pool.map(submit, range(RACERS))))

        assert len({item.run_id for item in found}) == 1
        assert sum(not item.is_replay for item in found) == 1
        assert house.count("run") == 1

    async def test_submit_when_the_answer_is_stored_then_a_replay_gets_it(self, house: House) -> None:
        first = await house.admit(idempotency_key="k", fingerprint="f")
        answer = records.StoredAnswer(status=202, body="{}", location="/v1/runs/1")
        await scene.in_thread(
            lambda: house.doors().store_answer(tenant=house.tenant, operation="runs.create", key="k", answer=answer)
        )

        again = await house.admit(idempotency_key="k", fingerprint="f")

        assert again == records.Submission(run_id=first.run_id, is_replay=True, answer=answer)

    async def test_submit_when_the_key_comes_with_another_body_then_it_is_a_conflict(self, house: House) -> None:
        await house.admit(idempotency_key="k", fingerprint="f")

        with pytest.raises(doors.IdempotencyConflict):
            await house.admit(idempotency_key="k", fingerprint="other")

    async def test_submit_many_when_one_key_is_a_conflict_then_the_others_are_admitted(self, house: House) -> None:
        await house.admit(idempotency_key="k", fingerprint="f")
        wanted = [
            scene.new_run(house.tenant),
            scene.new_run(house.tenant, idempotency_key="k", fingerprint="other"),
            scene.new_run(house.tenant),
        ]

        found = await scene.in_thread(lambda: house.doors().submit_many(wanted))

        assert [type(item) for item in found] == [records.Submission, doors.IdempotencyConflict, records.Submission]
        assert house.count("run") == 3

    async def test_submit_when_it_starts_later_then_it_is_in_line_at_its_time_and_not_before(
        self, house: House
    ) -> None:
        start_at = datetime.datetime.now(tz=datetime.UTC) + datetime.timedelta(hours=1)
        run_id, worker = (await house.admit(start_at=start_at)).run_id, await house.worker()

        early = await house.claim(worker, scene.ACTIVATIONS, purpose="activate")
        house.due_now()
        await house.pump(worker)
        in_time = await house.claim(worker, scene.ACTIVATIONS, purpose="activate")

        assert early == []
        assert [item.run_id for item in in_time] == [run_id]


class HostTransactionSuite:
    """What a caller may rely on who submits inside a transaction of its own."""

    async def test_submit_when_the_callers_transaction_is_rolled_back_then_nothing_is_left(self, house: House) -> None:
        def submit() -> None:
            from django.db import transaction

            with transaction.atomic():
                house.doors().submit(scene.new_run(house.tenant, idempotency_key="k"))
                transaction.set_rollback(True)

        await scene.in_thread(submit)

        assert (
            house.rows(
                "select 1 from heddle_run union all select 1 from heddle_ready union all select 1 from "
                "heddle_idempotency"
            )
            == []
        )

    async def test_submit_when_the_callers_transaction_is_open_then_the_run_is_seen_at_its_commit(
        self, house: House
    ) -> None:
        def submit() -> tuple[int, int]:
            from django.db import transaction

            with transaction.atomic():
                house.doors().submit(scene.new_run(house.tenant))
                before = house.count("run")
            return before, house.count("run")

        assert await scene.in_thread(submit) == (0, 1)


class StopSuite:
    """How runs are stopped and tried again."""

    async def test_cancel_when_the_run_is_queued_then_it_ends_at_once_and_no_worker_gets_it(self, house: House) -> None:
        run_id, worker = (await house.admit()).run_id, await house.worker()

        assert await house.cancel(run_id)

        assert (await house.shown(run_id)).state is RunState.CANCELLED
        assert await house.claim(worker, scene.ACTIVATIONS, purpose="activate") == []

    async def test_cancel_when_the_run_starts_later_then_it_ends_at_once(self, house: House) -> None:
        start_at = datetime.datetime.now(tz=datetime.UTC) + datetime.timedelta(hours=1)
        run_id = (await house.admit(start_at=start_at)).run_id

        await house.cancel(run_id)

        assert (await house.shown(run_id)).state is RunState.CANCELLED
        assert house.count("timer") == 0

    async def test_cancel_when_the_run_is_running_then_its_calls_stop_and_its_function_cleans_up(
        self, house: House
    ) -> None:
        run_id, worker = await started(
            house, call(1, "step", "a"), call(2, "step", "b", parents=[1]), ending=suspended(2)
        )

        await house.cancel(run_id)
        stopped = await house.shown(run_id)
        await house.begin(run_id, worker, call(3, "step", "tidy"), ending=plan.Raised(fault=scene.STOPPED))
        (tidy,) = await house.claim(worker, scene.step_lane("tidy"))
        await house.settle(scene.done(tidy))

        assert stopped.state is RunState.RUNNING
        assert await states(house, run_id) == {1: StepState.CANCELLED, 2: StepState.CANCELLED, 3: StepState.SUCCEEDED}
        assert (await house.shown(run_id)).state is RunState.CANCELLED

    async def test_cancel_when_the_cleanup_takes_too_long_then_the_run_ends_without_it(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "step", "a"), ending=suspended(1))
        await house.cancel(run_id)

        house.due_now()
        await house.pump(worker)

        assert (await house.shown(run_id)).state is RunState.CANCELLED

    async def test_cancel_when_the_run_is_over_then_it_says_so_and_changes_nothing(self, house: House) -> None:
        run_id, _ = await started(house, ending=scene.returned())
        before = await house.shown(run_id)

        assert not await house.cancel(run_id)

        assert await house.shown(run_id) == before

    async def test_cancel_when_it_comes_twice_then_the_second_changes_nothing(self, house: House) -> None:
        run_id, _ = await started(house, call(1, "step", "a"), ending=suspended(1))
        await house.cancel(run_id)
        before = await house.shown(run_id)

        assert await house.cancel(run_id)

        assert await house.shown(run_id) == before

    async def test_cancel_when_the_provider_works_on_a_job_then_its_slot_is_held_until_it_is_known_to_be_over(
        self, house: House
    ) -> None:
        deploy(house)
        run_id, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.accepted(sent))

        await house.cancel(run_id)
        held = house.count("slot")
        (asked,) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")
        await house.store.close_cancelled(closings=[(scene.ref(asked), "done", 700)])

        assert (held, house.count("slot")) == (1, 0)
        assert (asked.state, asked.handle) == ("cancelled", "job-1")
        assert house.charges() == [("charge", 700)]

    async def test_deadline_when_it_passes_then_the_run_expires_with_that_fault(self, house: House) -> None:
        run_id, worker = (await house.admit(deadline_s=3_600.0)).run_id, await house.worker()
        await house.begin(run_id, worker, call(1, "step", "a"), ending=suspended(1))

        house.due_now()
        await house.pump(worker)
        await house.begin(run_id, worker, ending=plan.Raised(fault=scene.STOPPED))

        shown = await house.shown(run_id)
        assert shown.state is RunState.EXPIRED
        assert shown.error is not None
        assert shown.error["fault"] == "deadline"

    async def test_retry_when_a_call_failed_then_only_it_and_what_needs_it_run_again(self, house: House) -> None:
        run_id, worker = await started(
            house,
            call(1, "step", "a"),
            call(2, "step", "b"),
            call(3, "step", "c", parents=[1, 2]),
            ending=scene.returned(3),
        )
        (a,), (b,) = await house.claim(worker, scene.step_lane("a")), await house.claim(worker, scene.step_lane("b"))
        await house.settle(scene.done(a), scene.faulted(b))
        failed, before = await house.shown(run_id), await states(house, run_id)

        await house.retry(run_id)
        await house.begin(run_id, worker, ending=scene.returned(3))
        assert await house.claim(worker, scene.step_lane("a")) == []
        (b,) = await house.claim(worker, scene.step_lane("b"))
        await house.settle(scene.done(b))
        (c,) = await house.claim(worker, scene.step_lane("c"))
        await house.settle(scene.done(c))

        assert failed.state is RunState.FAILED
        assert before == {1: StepState.SUCCEEDED, 2: StepState.FAILED, 3: StepState.SKIPPED}
        assert (b.number, b.attempts_before) == (2, 1)
        assert (await house.shown(run_id)).state is RunState.SUCCEEDED

    async def test_retry_when_the_run_did_not_fail_then_it_is_refused(self, house: House) -> None:
        run_id, _ = await started(house, ending=scene.returned())

        with pytest.raises(doors.RunNotRetryable):
            await house.retry(run_id)

    @pytest.mark.parametrize("taken", [True, False], ids=["accepted", "being sent"])
    async def test_retry_when_the_deadline_cut_a_model_call_off_then_its_job_is_asked_after_and_not_paid_again(
        self, house: House, taken: bool
    ) -> None:
        deploy(house)
        run_id, worker = (await house.admit(deadline_s=3_600.0)).run_id, await house.worker()
        await house.begin(run_id, worker, call(1, "model", "sent"), ending=suspended(1))
        (first,) = await house.claim_models(worker, "sent")
        await house.store.mark_sending(calls=[(first, "digest")])
        await house.settle(*[scene.accepted(first)] * taken)
        house.deadlines_now()
        await house.pump(worker)
        await house.begin(run_id, worker, ending=plan.Raised(fault=scene.STOPPED))

        await house.retry(run_id)
        resumed = await states(house, run_id)
        house.due_now()
        await house.pump(worker)
        (poll, *others) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")

        assert await house.claim_models(worker, "sent") == []
        assert resumed == {1: StepState.PENDING if taken else StepState.UNKNOWN}
        assert (poll.number, poll.handle, others) == (1, "job-1" if taken else None, [])
        assert house.count("slot") == 1


class FailureSuite:
    """What a failed call does to the others and to its run."""

    async def test_failure_when_calls_form_a_diamond_then_everything_below_is_skipped_once(self, house: House) -> None:
        run_id, worker = await started(
            house,
            call(1, "step", "a"),
            call(2, "step", "b", parents=[1]),
            call(3, "step", "c", parents=[1]),
            call(4, "step", "d", parents=[2, 3]),
            call(5, "step", "e"),
            call(6, "step", "f", parents=[4, 5]),
            ending=scene.returned(5),
        )
        (a,), (e,) = await house.claim(worker, scene.step_lane("a")), await house.claim(worker, scene.step_lane("e"))

        await house.settle(scene.faulted(a))
        await house.settle(scene.done(e))

        skipped = StepState.SKIPPED
        assert await states(house, run_id) == {
            1: StepState.FAILED,
            2: skipped,
            3: skipped,
            4: skipped,
            5: StepState.SUCCEEDED,
            6: skipped,
        }
        assert (await house.shown(run_id)).state is RunState.FAILED

    async def test_failure_when_both_sides_of_a_diamond_fail_in_one_batch_then_it_is_told_once(
        self, house: House
    ) -> None:
        run_id, worker = await started(
            house,
            call(1, "step", "a"),
            call(2, "step", "a"),
            call(3, "step", "c", parents=[1, 2]),
            ending=scene.returned(),
        )
        both = await house.claim(worker, scene.step_lane("a"))

        await house.settle(*(scene.faulted(item) for item in both))

        told = await house.events(run_id)
        assert [(event.seq, event.name, event.ordinal) for event in told] == [
            (1, "run.queued", None),
            (2, "run.started", None),
            (3, "step.failed", 1),
            (4, "step.failed", 2),
            (5, "step.skipped", 3),
            (6, "run.failed", None),
        ]
        assert await house.events(run_id, after_seq=3, limit=2) == told[3:5]

    async def test_failure_when_the_function_handled_it_then_the_run_succeeds(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "step", "a"), ending=suspended(1))
        (a,) = await house.claim(worker, scene.step_lane("a"))
        await house.settle(scene.faulted(a))

        await house.begin(run_id, worker, ending=scene.returned(), handled=(1,), awaited=(1,))

        assert (await house.shown(run_id)).state is RunState.SUCCEEDED

    async def test_failure_when_nobody_handled_it_then_the_run_fails_with_its_fault(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "step", "a"), ending=scene.returned())
        (a,) = await house.claim(worker, scene.step_lane("a"))

        await house.settle(scene.faulted(a, message="the lamp is broken"))

        shown = await house.shown(run_id)
        assert shown.state is RunState.FAILED
        assert shown.error is not None
        assert shown.error["message"] == "the lamp is broken"

    async def test_failure_when_the_call_is_detached_then_the_run_succeeds(self, house: House) -> None:
        options = plan.CallOptions(detach=True)
        run_id, worker = await started(house, call(1, "step", "a", options=options), ending=scene.returned())
        (a,) = await house.claim(worker, scene.step_lane("a"))

        await house.settle(scene.faulted(a))

        assert (await house.shown(run_id)).state is RunState.SUCCEEDED

    async def test_failure_when_the_function_raises_then_open_calls_are_cancelled(self, house: House) -> None:
        run_id, worker = await started(house, call(1, "step", "a"), call(2, "step", "b"), ending=suspended(1))
        (a,) = await house.claim(worker, scene.step_lane("a"))
        await house.settle(scene.done(a))

        await house.begin(run_id, worker, ending=scene.raised())

        assert await states(house, run_id) == {1: StepState.SUCCEEDED, 2: StepState.CANCELLED}
        assert (await house.shown(run_id)).state is RunState.FAILED

    async def test_await_when_too_many_failed_then_the_function_is_woken_early(self, house: House) -> None:
        ending = scene.suspended(1, 2, 3, max_failed=0)
        run_id, worker = await started(house, *(call(ordinal, "step", "a") for ordinal in (1, 2, 3)), ending=ending)
        first, *_ = await house.claim(worker, scene.step_lane("a"))

        await house.settle(scene.faulted(first))

        (woken,) = await house.claim(worker, scene.ACTIVATIONS, purpose="activate")
        assert woken.run_id == run_id
