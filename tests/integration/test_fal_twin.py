"""The ``fal`` adapter against fal's twin: each fault ends as it should, and nothing is paid for twice."""

import asyncio
import functools
import json
import pathlib
import time

import pytest

from heddle.core import artifact, faults, settle
from heddle.ports import provider
from heddle.twins.fal import twin
from heddle.twins.kit import faults as twin_faults
from tests.contract import provider_suite
from tests.integration import twin_caller
from tests.twins import invented

GIVEN = {"prompt": "espresso on marble", "seed": 7}


calling = functools.partial(
    twin_caller.calling, twin.FalTwin, model_name="fal-ai/flux/dev", jwks_url="{url}/.well-known/jwks.json"
)


async def test_job_when_all_is_well_then_its_pictures_are_ours_and_costed(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path) as there:
        outcome = await there.to_the_end(there.request({**GIVEN, "num_images": 2}))

        assert isinstance(outcome, settle.Completed), outcome
        assert [artifact.is_artifact(image) for image in outcome.output["images"]] == [True, True]
        assert outcome.cost_nano_usd == 50_000_000
        assert await there.provider.check() is None


async def test_video_when_made_then_kept(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path, model_name="fal-ai/ltx-video") as there:
        outcome = await there.to_the_end(there.request(GIVEN))

    assert isinstance(outcome, settle.Completed), outcome
    assert artifact.Artifact.from_json(outcome.output["video"]).media_type == "video/mp4"


@pytest.mark.parametrize("fault", [*twin_caller.PAID_AND_LOST, twin_faults.RequestFault.DRIP])
async def test_send_when_it_is_paid_and_the_answer_is_lost_then_unknown_and_sent_once(
    fault: twin_faults.RequestFault, tmp_path: pathlib.Path
) -> None:
    async with calling(tmp_path, {fault.value: 1.0}) as there:
        outcome = await there.provider.send(there.request(GIVEN, timeout_s=1.5))

    assert isinstance(outcome, settle.Unknown), outcome
    assert there.books().paid == 1
    assert there.twin.requests["POST", "/{model:.+}"] == 1


@pytest.mark.parametrize(
    ("rates", "fault"),
    [({"throttled": 1.0}, faults.Fault.THROTTLED), ({"server_error": 1.0}, None)],
    ids=["429", "500"],
)
async def test_send_when_refused_before_acceptance_then_nothing_is_paid(
    rates: dict[str, float], fault: faults.Fault | None, tmp_path: pathlib.Path
) -> None:
    async with calling(tmp_path, rates) as there:
        outcome = await there.provider.send(there.request(GIVEN))

    assert provider_suite.fault_of(outcome) is fault
    assert there.books().paid == 0


async def test_send_when_the_answer_was_lost_then_the_signed_callback_names_the_job_and_forgeries_are_refused(
    tmp_path: pathlib.Path,
) -> None:
    rates = {"cut": 1.0, "callback_forged": 1.0, "callback_duplicated": 1.0}
    async with calling(tmp_path, rates) as there, invented.Receiver() as receiver:
        request = there.request(GIVEN, callback_url=receiver.url)
        lost = await there.provider.send(request)
        await receiver.wait(3)
        verdicts = [await _verified(there, headers, body) for headers, body in receiver.letters]

        forged, *believed = verdicts
        assert isinstance(lost, settle.Unknown)
        assert forged is None
        assert len({event.event_id for event in believed if event}) == 1
        assert believed[0] is not None
        assert believed[0].handle is not None
        outcome = await there.ended(believed[0].handle, request)

    assert isinstance(outcome, settle.Completed), outcome
    assert there.books().paid_twice == ()


async def test_job_when_the_twin_lies_then_completed_with_an_error_is_a_fault(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path, {"lie": 1.0}) as there:
        outcome = await there.to_the_end(there.request(GIVEN))

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_TRANSIENT


async def test_jobs_when_they_fail_then_each_by_its_own_type(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path, {"failed": 1.0}) as there:
        outcomes = [await there.to_the_end(there.request({"seed": seed})) for seed in range(6)]

    found = {provider_suite.fault_of(outcome) for outcome in outcomes}
    assert found == {faults.Fault.REJECTED_TRANSIENT, faults.Fault.REJECTED_PERMANENT}


async def test_job_when_it_never_starts_then_fal_ends_it_at_our_deadline(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path, {"stuck": 1.0}) as there:
        request = there.request(GIVEN, timeout_s=1.1)
        accepted = await there.provider.send(request)
        assert isinstance(accepted, settle.Accepted)

        waiting = await there.provider.poll(accepted.handle, request)
        outcome = await there.ended(accepted.handle, request)

    assert isinstance(waiting, settle.StillRunning)
    assert waiting.note == "in fal's queue, position 0"
    assert provider_suite.fault_of(outcome) is faults.Fault.DEADLINE


async def test_job_when_it_would_start_after_our_deadline_then_it_is_over_for_good_and_costs_nothing(
    tmp_path: pathlib.Path,
) -> None:
    ahead_s = [0.0]
    plan = {"slow": 1.0, "latency_s": 2.0, "slow_factor": 10.0}
    async with calling(tmp_path, plan, now_s=lambda: time.time() + ahead_s[0]) as there:
        request = there.request(GIVEN, timeout_s=1.1)
        accepted = await there.provider.send(request)
        assert isinstance(accepted, settle.Accepted)
        first = await there.ended(accepted.handle, request)
        async with asyncio.timeout(10):
            while there.twin.jobs.open_count:
                await there.provider.poll(accepted.handle, request)
        ahead_s[0] = 3_600.0
        later = await there.provider.poll(accepted.handle, request)

        assert [provider_suite.fault_of(each) for each in (first, later)] == [faults.Fault.DEADLINE] * 2
        assert (there.books().paid, there.books().refunded) == (1, 1)


async def test_cancel_when_open_then_taken_and_the_job_ends_cancelled(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path, {"stuck": 1.0}) as there:
        request = there.request(GIVEN)
        accepted = await there.provider.send(request)
        assert isinstance(accepted, settle.Accepted)

        assert await there.provider.cancel(accepted.handle, request)
        assert not await there.provider.cancel(accepted.handle, request)
        outcome = await there.ended(accepted.handle, request)

    assert provider_suite.fault_of(outcome) is faults.Fault.CANCELLED


async def test_jobs_when_the_twin_is_killed_and_started_again_then_they_go_on(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path) as there:
        request = there.request(GIVEN)
        accepted = await there.provider.send(request)
        assert isinstance(accepted, settle.Accepted)
        request_id = json.loads(accepted.handle)["request_id"]

    async with calling(tmp_path) as there:
        outcome = await there.ended(request_id, there.request(GIVEN))

    assert isinstance(outcome, settle.Completed), outcome


async def test_questions_when_many_fail_then_the_job_still_ends_well(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path, {"ask_failed": 0.5}) as there:
        outcome = await there.to_the_end(there.request(GIVEN))

    assert isinstance(outcome, settle.Completed), outcome
    assert there.books().paid == 1


async def _verified(there: twin_caller.Caller, headers: dict[str, str], body: bytes) -> provider.CallbackEvent | None:
    """Verify in a thread, as a web process does: the keys are fetched from this very loop."""
    try:
        return await asyncio.to_thread(there.provider.verify_callback, headers=headers, body=body, now_s=time.time())
    except provider.CallbackRefused:
        return None
