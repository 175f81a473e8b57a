"""The ``vertex`` adapter against Vertex AI's twin: each fault ends as it should, and each request is sent once."""

import functools
import pathlib
from typing import Any

import pytest

from heddle.core import artifact, faults, settle
from heddle.twins.kit import faults as twin_faults
from heddle.twins.vertex import twin
from tests.contract import provider_suite
from tests.integration import twin_caller
from tests.unit.providers import test_vertex_tokens

MODEL = "projects/acme/locations/us-central1/publishers/google/models/veo-3.0"
ENDPOINT = "projects/acme/locations/us-central1/endpoints/42"
GIVEN = {"prompt": "espresso on marble"}


calling = functools.partial(
    twin_caller.calling,
    twin.VertexTwin,
    mode="predict_long_running",
    resource=MODEL,
    storage_url="{url}",
    poll_after_s=0.2,
    output="/videos",
)


@pytest.mark.parametrize("resource", [MODEL, ENDPOINT], ids=["model", "endpoint"])
@pytest.mark.parametrize(
    "parameters", [{"sampleCount": 2}, {"sampleCount": 2, "storageUri": "gs://acme-out/veo"}], ids=["inline", "bucket"]
)
async def test_operation_when_all_is_well_then_its_videos_are_ours(
    resource: str, parameters: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    body = {"instances": ["{input}"], "parameters": parameters}
    async with calling(tmp_path, resource=resource, body=body) as there:
        outcome = await there.to_the_end(there.request(GIVEN))

        assert isinstance(outcome, settle.Completed), outcome
        assert [artifact.Artifact.from_json(each).media_type for each in outcome.output] == ["video/mp4"] * 2
        assert await there.provider.check() is None


async def test_prediction_when_all_is_well_then_its_picture_is_ours_and_the_token_is_of_an_account(
    tmp_path: pathlib.Path,
) -> None:
    secret = test_vertex_tokens.account("{url}/token")
    settings = {"mode": "predict", "resource": ENDPOINT, "output": "/predictions/0", "secret": secret}
    async with calling(tmp_path, **settings) as there:
        outcome = await there.to_the_end(there.request(GIVEN))

    assert isinstance(outcome, settle.Completed), outcome
    assert artifact.is_artifact(outcome.output)


@pytest.mark.parametrize("fault", [*twin_caller.PAID_AND_LOST, twin_faults.RequestFault.DRIP])
async def test_send_when_it_is_paid_and_the_answer_is_lost_then_unknown_and_sent_once(
    fault: twin_faults.RequestFault, tmp_path: pathlib.Path
) -> None:
    async with calling(tmp_path, {fault.value: 1.0}) as there:
        outcome = await there.provider.send(there.request(GIVEN, timeout_s=1.0))

    assert isinstance(outcome, settle.Unknown), outcome
    assert there.books().paid == 1
    calls = there.twin.requests["POST", "/{version:v1(?:beta1)?}/{resource:projects/[^:]+}:predictLongRunning"]
    assert calls == 1


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


@pytest.mark.parametrize(
    ("rates", "given", "fault"),
    [
        ({"failed": 1.0}, GIVEN, faults.Fault.REJECTED_TRANSIENT),
        ({"lie": 1.0}, GIVEN, faults.Fault.BAD_OUTPUT),
        ({}, {"prompt": "a forbidden thing"}, faults.Fault.REJECTED_PERMANENT),
    ],
    ids=["failed", "made nothing", "filtered"],
)
async def test_operation_when_it_ends_badly_then_a_fault(
    rates: dict[str, float], given: dict[str, str], fault: faults.Fault, tmp_path: pathlib.Path
) -> None:
    async with calling(tmp_path, rates) as there:
        outcome = await there.to_the_end(there.request(given))

    assert provider_suite.fault_of(outcome) is fault


async def test_cancel_when_open_then_it_ends_cancelled(tmp_path: pathlib.Path) -> None:
    async with calling(tmp_path, {"stuck": 1.0}) as there:
        request = there.request(GIVEN)
        accepted = await there.provider.send(request)
        assert isinstance(accepted, settle.Accepted)

        waiting = await there.provider.poll(accepted.handle, request)
        assert await there.provider.cancel(accepted.handle, request)
        outcome = await there.ended(accepted.handle, request)

    assert isinstance(waiting, settle.StillRunning)
    assert provider_suite.fault_of(outcome) is faults.Fault.CANCELLED


async def test_questions_when_many_fail_then_the_operation_still_ends_well(tmp_path: pathlib.Path) -> None:
    body = {"instances": ["{input}"], "parameters": {"storageUri": "gs://acme-out/veo"}}
    async with calling(tmp_path, {"ask_failed": 0.5}, body=body) as there:
        outcome = await there.to_the_end(there.request(GIVEN))

    assert isinstance(outcome, settle.Completed), outcome
    assert there.books().paid == 1
