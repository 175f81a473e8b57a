"""The ``runpod`` adapter against RunPod's twin: each fault ends as it should, and nothing is paid for twice."""

import functools
import json
import pathlib

import pytest

from heddle.core import artifact, faults, settle
from heddle.twins.kit import faults as twin_faults
from heddle.twins.runpod import twin
from tests.contract import provider_suite
from tests.integration import twin_caller
from tests.twins import invented

GIVEN = {"prompt": "espresso on marble", "seed": 7}


calling = functools.partial(
    twin_caller.calling, twin.RunPodTwin, path="/v2/abc123", gpu="4090", output_artifacts=["/image"]
)


async def test_job_when_all_is_well_then_its_picture_is_ours_and_costed(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path) as there:
        outcome = await there.to_the_end(there.request(GIVEN))

        assert isinstance(outcome, settle.Completed), outcome
        assert artifact.is_artifact(outcome.output["image"])
        assert (outcome.output["seed"], outcome.cost_nano_usd) == (7, 310_000)
        assert await there.provider.check() is None


@pytest.mark.parametrize("fault", [*twin_caller.PAID_AND_LOST, twin_faults.RequestFault.DRIP])
async def test_send_when_it_is_paid_and_the_answer_is_lost_then_unknown_and_sent_once(
    fault: twin_faults.RequestFault, tmp_path: pathlib.Path
) -> None:
    async with calling(tmp_path, {fault.value: 1.0}) as there:
        outcome = await there.provider.send(there.request(GIVEN, timeout_s=1.0))

    assert isinstance(outcome, settle.Unknown), outcome
    assert there.books().paid == 1
    assert there.twin.requests["POST", "/v2/{endpoint}/run"] == 1


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


async def test_send_when_the_answer_was_lost_then_the_callback_may_name_the_job(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path, {"cut": 1.0}, callback_names_job=True) as there, invented.Receiver() as receiver:
        request = there.request(GIVEN, callback_url=receiver.url)
        lost = await there.provider.send(request)
        await receiver.wait(1)
        headers, body = receiver.letters[0]
        event = there.provider.verify_callback(headers=headers, body=body, now_s=0.0)
        assert event.handle == json.loads(body)["id"]
        outcome = await there.ended(event.handle, request)

    assert isinstance(lost, settle.Unknown)
    assert not event.is_verified
    assert isinstance(outcome, settle.Completed), outcome
    assert there.books().paid_twice == ()


@pytest.mark.parametrize(
    ("rates", "fault"),
    [({"failed": 1.0}, faults.Fault.UNCLASSIFIED), ({"lie": 1.0}, faults.Fault.BAD_OUTPUT)],
    ids=["failed", "completed with an error"],
)
async def test_job_when_it_ends_badly_then_a_fault(
    rates: dict[str, float], fault: faults.Fault, tmp_path: pathlib.Path
) -> None:
    async with calling(tmp_path, rates) as there:
        outcome = await there.to_the_end(there.request(GIVEN))

    assert provider_suite.fault_of(outcome) is fault


async def test_cancel_when_open_then_stopped(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path, {"stuck": 1.0}) as there:
        request = there.request(GIVEN)
        accepted = await there.provider.send(request)
        assert isinstance(accepted, settle.Accepted)

        assert await there.provider.cancel(accepted.handle, request)
        outcome = await there.ended(accepted.handle, request)

    assert provider_suite.fault_of(outcome) is faults.Fault.CANCELLED


async def test_job_when_runpod_has_forgotten_it_then_unknown(tmp_path: pathlib.Path) -> None:
    now_s = [1_800_000_000.0]
    async with calling(tmp_path, {"stuck": 1.0}, now_s=lambda: now_s[0]) as there:
        request = there.request(GIVEN)
        accepted = await there.provider.send(request)
        assert isinstance(accepted, settle.Accepted)
        waiting = await there.provider.poll(accepted.handle, request)
        now_s[0] += 1_900.0

        forgotten = await there.provider.poll(accepted.handle, request)

    assert isinstance(waiting, settle.StillRunning)
    assert isinstance(forgotten, settle.Unknown)


async def test_job_when_its_execution_takes_too_long_then_deadline(tmp_path: pathlib.Path) -> None:
    now_s = [1_800_000_000.0]
    async with calling(tmp_path, {"latency_s": 500.0}, now_s=lambda: now_s[0]) as there:
        request = there.request(GIVEN)
        accepted = await there.provider.send(request)
        assert isinstance(accepted, settle.Accepted)
        now_s[0] += 400.0

        outcome = await there.provider.poll(accepted.handle, request)

    assert provider_suite.fault_of(outcome) is faults.Fault.DEADLINE


async def test_jobs_when_the_twin_is_killed_and_started_again_then_they_go_on(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path) as there:
        accepted = await there.provider.send(there.request(GIVEN))
        assert isinstance(accepted, settle.Accepted)
        job_id = accepted.handle.rpartition("/")[2]

    async with calling(tmp_path) as there:
        outcome = await there.ended(job_id, there.request(GIVEN))

    assert isinstance(outcome, settle.Completed), outcome
