"""The ``sagemaker`` adapter against SageMaker's twin: lost sends are found where they end, none is paid for twice."""

import asyncio
import functools
import pathlib
from typing import Any

import pytest

from heddle.core import artifact, faults, settle
from heddle.twins.kit import faults as twin_faults
from heddle.twins.kit import options
from heddle.twins.sagemaker import twin
from tests.contract import provider_suite
from tests.integration import twin_caller

GIVEN = {"prompt": "espresso on marble", "seed": 7}
KEYS = f"{twin.ACCESS_KEY}:{options.DEFAULT_API_KEY}"
LOOKS_MAX = 100


calling = functools.partial(
    twin_caller.calling,
    twin.SageMakerTwin,
    s3_url="{url}",
    region="eu-central-1",
    endpoint_name="relight",
    secret=KEYS,
    output_artifacts=["/image"],
)
ordering = functools.partial(
    calling,
    mode="async",
    output_path=f"s3://{twin.BUCKET}/{twin.OUTPUT_PATH}",
    failure_path=f"s3://{twin.BUCKET}/{twin.FAILURE_PATH}",
    input_path=f"s3://{twin.BUCKET}/in",
)


async def found(there: twin_caller.Caller, request: Any) -> settle.Outcome:
    """Look a send up until it is found, as the engine does within the bound."""
    outcome = await there.provider.lookup(request)
    for _ in range(LOOKS_MAX):
        if not isinstance(outcome, settle.Absent):
            break
        await asyncio.sleep(twin_caller.POLL_S)
        outcome = await there.provider.lookup(request)
    return outcome


@pytest.mark.parametrize(
    "settings",
    [{}, {"response": "artifact", "output": "/image", "output_artifacts": [], "accept": "image/png"}],
    ids=["json", "medium"],
)
async def test_invocation_when_all_is_well_then_its_picture_is_ours(
    settings: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    async with calling(tmp_path, **settings) as there:
        outcome = await there.to_the_end(there.request(GIVEN))

        assert isinstance(outcome, settle.Completed), outcome
        assert artifact.is_artifact(outcome.output["image"])
        assert await there.provider.check() is None


@pytest.mark.parametrize("given", [GIVEN, {**GIVEN, "text": "x" * 200_000}], ids=["inline", "by way of s3"])
async def test_job_when_all_is_well_then_its_output_is_read_from_s3(
    given: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    async with ordering(tmp_path) as there:
        outcome = await there.to_the_end(there.request(given))

    assert isinstance(outcome, settle.Completed), outcome
    assert artifact.is_artifact(outcome.output["image"])
    assert there.books().payments == {"att_1": 1}


@pytest.mark.parametrize("fault", [*twin_caller.PAID_AND_LOST, twin_faults.RequestFault.DRIP])
async def test_job_when_it_is_paid_and_the_answer_is_lost_then_it_is_found_and_not_sent_again(
    fault: twin_faults.RequestFault, tmp_path: pathlib.Path
) -> None:
    async with ordering(tmp_path, {fault.value: 1.0}) as there:
        lost = await there.provider.send(there.request(GIVEN, timeout_s=0.6))
        assert isinstance(lost, settle.Unknown), lost

        accepted = await found(there, there.request(GIVEN))
        assert isinstance(accepted, settle.Accepted), accepted
        outcome = await there.ended(accepted.handle, there.request(GIVEN))

    assert isinstance(outcome, settle.Completed), outcome
    assert there.books().payments == {"att_1": 1}


async def test_job_when_it_failed_and_the_answer_was_lost_then_its_failure_is_found(tmp_path: pathlib.Path) -> None:
    async with ordering(tmp_path, {"cut": 1.0, "failed": 1.0}) as there:
        request = there.request(GIVEN)
        assert isinstance(await there.provider.send(request), settle.Unknown)
        accepted = await found(there, request)
        assert isinstance(accepted, settle.Accepted), accepted
        outcome = await there.ended(accepted.handle, request)

    assert provider_suite.fault_of(outcome) is faults.Fault.UNCLASSIFIED
    assert "CUDA out of memory" in provider_suite.message_of(outcome)


async def test_job_when_it_was_never_accepted_then_absent(tmp_path: pathlib.Path) -> None:
    async with ordering(tmp_path, {"server_error": 1.0}) as there:
        request = there.request(GIVEN)
        assert isinstance(await there.provider.send(request), settle.Unknown)

        assert isinstance(await there.provider.lookup(request), settle.Absent)

    assert there.books().paid == 0


async def test_job_when_the_twin_lies_of_its_output_then_it_is_read_where_it_was_asked_for(
    tmp_path: pathlib.Path,
) -> None:
    async with ordering(tmp_path, {"lie": 1.0}) as there:
        outcome = await there.to_the_end(there.request(GIVEN))

    assert isinstance(outcome, settle.Completed), outcome


async def test_job_when_questions_fail_then_it_still_ends_well(tmp_path: pathlib.Path) -> None:
    async with ordering(tmp_path, {"ask_failed": 0.5}) as there:
        outcome = await there.to_the_end(there.request(GIVEN))

    assert isinstance(outcome, settle.Completed), outcome


@pytest.mark.parametrize(
    ("rates", "fault"),
    [
        ({"throttled": 1.0}, faults.Fault.THROTTLED),
        ({"server_error": 1.0}, None),
        ({"failed": 1.0}, None),
        ({"cut": 1.0}, None),
        ({"lie": 1.0}, faults.Fault.BAD_OUTPUT),
        ({"wrong_type": 1.0}, faults.Fault.BAD_OUTPUT),
        ({"huge": 1.0}, faults.Fault.TOO_LARGE),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
async def test_invocation_when_spoiled_then_classified_and_sent_once(
    rates: dict[str, float], fault: faults.Fault | None, tmp_path: pathlib.Path
) -> None:
    async with calling(tmp_path, rates) as there:
        outcome = await there.provider.send(there.request(GIVEN))

    assert provider_suite.fault_of(outcome) is fault
    assert there.twin.requests["POST", "/endpoints/{endpoint}/invocations"] == 1


async def test_invocation_when_signed_with_another_secret_then_our_credential_is_to_blame(
    tmp_path: pathlib.Path,
) -> None:
    async with calling(tmp_path, secret=f"{twin.ACCESS_KEY}:wrong") as there:
        outcome = await there.provider.send(there.request(GIVEN))

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_TRANSIENT
    assert there.books().paid == 0
