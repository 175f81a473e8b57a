"""Promises of the store about runs that are one call: in line at once, without an activation; see ``store_suite``."""

import datetime
import uuid
from typing import Any

import pytest

from heddle.core import step
from heddle.core.run import RunState
from heddle.core.step import StepState
from heddle.ports import records
from tests.contract.store_suite import deploy, states
from tests.races import scene
from tests.races.scene import House


def one_call(house: House, kind: str, name: str, **more: Any) -> records.NewRun:
    """Ask for a run that is one call."""
    call = scene.call(1, kind, name)
    return scene.new_run(house.tenant, workflow=f"{kind}:{name}", call=call, **more)


async def admitted(house: House, kind: str, name: str, **more: Any) -> uuid.UUID:
    """Start a run that is one call."""
    wanted = one_call(house, kind, name, **more)
    found: records.Submission = await scene.in_thread(lambda: house.doors().submit(wanted))
    return found.run_id


class CallSuite:
    """What a caller may rely on who starts a model or a step by itself."""

    async def test_call_when_a_model_is_started_then_its_result_is_the_runs(self, house: House) -> None:
        deploy(house)
        run_id, worker = await admitted(house, "model", "sent"), await house.worker()
        shown = [(await house.shown(run_id)).shown_state]

        (sent,) = await house.claim_models(worker, "sent")
        shown.append((await house.shown(run_id)).shown_state)
        await house.settle(scene.done(sent, {"picture": 1}))
        view = await house.shown(run_id)

        assert shown == ["queued", "running"]
        assert (view.state, view.output, view.cost_nano_usd) == (
            RunState.SUCCEEDED,
            {"picture": 1},
            scene.COST_NANO_USD,
        )
        assert view.started_at is not None
        assert house.count("slot") == 0

    async def test_call_when_it_came_by_a_gateway_then_its_settlement_says_that_it_is_awaited(
        self, house: House
    ) -> None:
        deploy(house)
        by_gateway = await admitted(house, "model", "sent", labels={"gateway": "openai"})
        alone, worker = await admitted(house, "model", "sent"), await house.worker()

        sent = await house.claim_models(worker, "sent", want=2)
        report = await house.settle(*(scene.done(each, 1) for each in sent))

        assert {over.run_id: over.is_awaited for over in report.ended} == {by_gateway: True, alone: False}

    async def test_call_when_a_step_is_started_then_it_is_in_its_own_lane(self, house: House) -> None:
        run_id, worker = await admitted(house, "step", "score"), await house.worker()

        (claimed,) = await house.claim(worker, scene.step_lane("score"))
        await house.settle(scene.done(claimed, 7))

        assert (await house.shown(run_id)).output == 7
        assert await house.claim(worker, scene.ACTIVATIONS, purpose="activate") == []

    async def test_call_when_it_is_tried_again_then_the_run_is_running_meanwhile(self, house: House) -> None:
        run_id, worker = await admitted(house, "step", "score"), await house.worker()
        (claimed,) = await house.claim(worker, scene.step_lane("score"))

        await house.settle(scene.faulted(claimed, verdict="retry", delay_s=60.0))

        assert (await house.shown(run_id)).state is RunState.RUNNING

    async def test_call_when_it_failed_then_a_retry_makes_it_due_again(self, house: House) -> None:
        run_id, worker = await admitted(house, "step", "score"), await house.worker()
        (claimed,) = await house.claim(worker, scene.step_lane("score"))
        await house.settle(scene.faulted(claimed))
        failed = (await house.shown(run_id)).state

        await house.retry(run_id)
        (again,) = await house.claim(worker, scene.step_lane("score"))
        await house.settle(scene.done(again, 8))

        assert failed is RunState.FAILED
        assert (await house.shown(run_id)).output == 8
        assert await house.claim(worker, scene.ACTIVATIONS, purpose="activate") == []

    @pytest.mark.parametrize("is_claimed", [False, True])
    async def test_call_when_its_run_is_cancelled_then_it_ends_at_once(self, house: House, is_claimed: bool) -> None:
        run_id, worker = await admitted(house, "step", "score"), await house.worker()
        if is_claimed:
            await house.claim(worker, scene.step_lane("score"))

        await house.cancel(run_id)

        assert (await house.shown(run_id)).state is RunState.CANCELLED
        assert await states(house, run_id) == {1: StepState.CANCELLED}
        assert await house.claim(worker, scene.step_lane("score")) == []

    async def test_call_when_it_starts_later_then_it_is_in_line_at_its_time(self, house: House) -> None:
        start_at = datetime.datetime.now(tz=datetime.UTC) + datetime.timedelta(hours=1)
        run_id, worker = await admitted(house, "step", "score", start_at=start_at), await house.worker()

        early = await house.claim(worker, scene.step_lane("score"))
        house.due_now()
        await house.pump(worker)
        in_time = await house.claim(worker, scene.step_lane("score"))

        assert early == []
        assert [(item.run_id, item.ordinal) for item in in_time] == [(run_id, 1)]

    async def test_call_when_its_deadline_passes_then_the_run_expires(self, house: House) -> None:
        run_id, worker = await admitted(house, "step", "score", deadline_s=3_600.0), await house.worker()

        house.due_now()
        await house.pump(worker)

        assert (await house.shown(run_id)).state is RunState.EXPIRED

    async def test_call_when_its_key_comes_again_then_there_is_one_run(self, house: House) -> None:
        first = await admitted(house, "step", "score", idempotency_key="k", fingerprint="f")
        again = await admitted(house, "step", "score", idempotency_key="k", fingerprint="f")
        worker = await house.worker()

        assert first == again
        assert len(await house.claim(worker, scene.step_lane("score"))) == 1

    async def test_call_when_it_waits_then_why_tells_its_place(self, house: House) -> None:
        run_id, _ = await admitted(house, "step", "score"), await house.worker()

        told = await scene.in_thread(lambda: house.doors().why(tenant=house.tenant, run_id=run_id))

        assert "score" in told.sentence
        assert (await house.calls(run_id))[1].kind is step.StepKind.STEP
