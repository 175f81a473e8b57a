"""Promises of the store about runs of one call whose callers wait in the process of a worker; see ``store_suite``."""

import dataclasses
import uuid
from typing import Any

from heddle.core import plan
from heddle.core.attempt import AttemptState
from heddle.core.run import RunState
from heddle.core.step import StepState
from heddle.ports import calls as calls_port
from heddle.ports import doors, records
from tests.contract.store_suite import deploy
from tests.races import scene
from tests.races.scene import House


def asked(
    house: House,
    *,
    model: str = "sent",
    tenant: records.Tenant | None = None,
    options: plan.CallOptions | None = None,
    **more: Any,
) -> Any:
    """Ask for one call."""
    arguments = {"prompt": "a"}
    call = scene.call(1, "model", model, options=options or plan.CallOptions())
    call = dataclasses.replace(call, arguments=arguments)
    new = records.NewRun(
        tenant=tenant or house.tenant, workflow=f"model:{model}", version=1, input=arguments, call=call, **more
    )
    return calls_port.NewCall(run_id=house.store.new_run_id(), run=new)


async def admitted(house: House, **more: Any) -> uuid.UUID:
    """Admit one call."""
    (found,) = (await house.store.submit_calls(calls=[asked(house, **more)])).outcomes
    assert isinstance(found, records.Submission), found
    return found.run_id


class WaitedSuite:
    """Calls that somebody waits for."""

    async def test_submit_calls_then_the_call_is_claimed_without_an_activation_and_its_end_is_the_runs(
        self, house: House
    ) -> None:
        deploy(house)
        run_id, worker = await admitted(house, labels={"a": "b"}), await house.worker()

        (sent,) = await house.claim_models(worker, "sent")
        report = await house.settle(scene.done(sent, output={"text": "hello"}))

        assert (sent.run_id, sent.ordinal, sent.input) == (run_id, 1, {"prompt": "a"})
        assert [(each.run_id, each.state) for each in report.ended] == [(run_id, "succeeded")]
        view = await house.shown(run_id)
        assert (view.state, view.output, view.labels) == (RunState.SUCCEEDED, {"text": "hello"}, {"a": "b"})
        assert [event.name for event in await house.events(run_id)] == [
            *("run.queued", "step.succeeded", "run.succeeded")
        ]

    async def test_settle_when_a_run_of_one_call_ends_then_it_began_when_its_call_was_claimed(
        self, house: House
    ) -> None:
        deploy(house)
        run_ids, worker = [await admitted(house) for _ in range(2)], await house.worker()
        sent = await house.claim_models(worker, "sent")

        # The first by the short statement, the second by the whole one, beside a call that is not as plain.
        await house.settle(scene.done(sent[0], output={"text": "hello"}))
        await house.settle(scene.faulted(sent[1], verdict="fail"))

        for run_id in run_ids:
            view = await house.shown(run_id)
            assert view.started_at is not None
            assert view.finished_at is not None
            assert view.created_at <= view.started_at < view.finished_at

    async def test_submit_calls_when_a_key_comes_again_then_it_is_the_same_run_and_another_body_is_a_conflict(
        self, house: House
    ) -> None:
        deploy(house)
        first = await admitted(house, idempotency_key="k", fingerprint="f")

        again, other = (
            await house.store.submit_calls(
                calls=[
                    asked(house, idempotency_key="k", fingerprint="f"),
                    asked(house, idempotency_key="k", fingerprint="g"),
                ]
            )
        ).outcomes

        assert again == records.Submission(run_id=first, is_replay=True)
        assert isinstance(other, doors.IdempotencyConflict)
        assert house.count("run") == 1

    async def test_submit_calls_when_the_quota_is_used_up_then_the_first_stand_and_the_rest_leave_nothing(
        self, house: House
    ) -> None:
        house.deploy([], [], tenants=[scene.deployment.Tenant(name="bound", runs_per_min=2)])
        tenant = await scene.in_thread(lambda: house.doors().tenant(name="bound"))

        found = (
            await house.store.submit_calls(
                calls=sorted(
                    (asked(house, tenant=tenant, idempotency_key=str(n), fingerprint="f") for n in range(3)),
                    key=lambda call: call.run_id,
                )
            )
        ).outcomes

        assert [isinstance(each, records.Submission) for each in found] == [True, True, False]
        assert isinstance(found[2], calls_port.QuotaFull)
        assert found[2].bound == "runs_per_min"
        assert (house.count("run"), house.count("idempotency")) == (2, 2)

    async def test_ended_calls_when_one_succeeded_one_failed_and_one_is_open_then_two_are_told(
        self, house: House
    ) -> None:
        deploy(house)
        good, bad, worker = await admitted(house), await admitted(house), await house.worker()
        sent = {each.run_id: each for each in await house.claim_models(worker, "sent")}
        await house.settle(scene.done(sent[good], output=7), scene.faulted(sent[bad]))
        still = await admitted(house)

        found = {each.run_id: each for each in await house.store.ended_calls(run_ids=[good, bad, still])}

        assert set(found) == {good, bad}
        assert (found[good].state, found[good].output, found[good].error) == ("succeeded", 7, None)
        assert found[bad].state == "failed"
        assert found[bad].error is not None

    async def test_ended_calls_when_an_outcome_is_unknown_then_it_is_stuck_only_once_nobody_looks_it_up(
        self, house: House
    ) -> None:
        deploy(house)
        run_id, worker = await admitted(house), await house.worker()
        (sent,) = await house.claim_models(worker, "sent")
        await house.store.mark_sending(calls=[(sent, "digest")])

        async def is_stuck() -> bool:
            (found,) = await house.store.ended_calls(run_ids=[run_id])
            return found.is_stuck

        await house.settle(scene.unsure(sent, delay_s=0.0))
        waits_for_its_time = [each.is_stuck for each in await house.store.ended_calls(run_ids=[run_id])]
        await house.pump(worker)
        stands_in_line = [each.is_stuck for each in await house.store.ended_calls(run_ids=[run_id])]
        (looked_up,) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")
        await house.settle(scene.unsure(looked_up, verdict="bury"))

        assert (waits_for_its_time, stands_in_line) == ([], [])
        assert await is_stuck()

    async def test_retry_when_a_run_of_one_call_failed_then_its_call_is_made_again_and_no_function_runs(
        self, house: House
    ) -> None:
        deploy(house)
        run_id, worker = await admitted(house), await house.worker()
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.faulted(sent))

        await house.retry(run_id)
        (again,) = await house.claim_models(worker, "sent")
        await house.settle(scene.done(again, output=7))

        view = await house.shown(run_id)
        assert (view.state, view.output) == (RunState.SUCCEEDED, 7)

    async def test_cancel_when_the_call_is_being_sent_then_the_run_is_over_and_its_answer_is_still_booked(
        self, house: House
    ) -> None:
        deploy(house)
        run_id, worker = await admitted(house), await house.worker()
        (sent,) = await house.claim_models(worker, "sent")
        await house.store.mark_sending(calls=[(sent, "digest")])

        await house.cancel(run_id)
        await house.settle(scene.done(sent, output=7))

        (call,) = (await house.calls(run_id)).values()
        assert (await house.shown(run_id)).state is RunState.CANCELLED
        assert (call.state, call.attempts[0].state) == (StepState.CANCELLED, AttemptState.LATE)
