"""The ``cog`` adapter against the twin with its faults on: a lost answer never starts a second running prediction."""

import asyncio
import dataclasses
import pathlib
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from heddle.core import artifact, faults, settle
from heddle.ports import provider
from heddle.twins.cog import twin
from heddle.twins.kit import faults as twin_faults
from tests.contract import provider_suite
from tests.integration import twin_caller
from tests.twins import invented

WAIT: Mapping[str, Any] = {"poll_after_s": 0.2}
STREAM: Mapping[str, Any] = {"mode": "stream", "poll_after_s": 0.2}
ASYNC: Mapping[str, Any] = {"mode": "async", "poll_after_s": 0.2}


def speaking(
    folder: pathlib.Path, given: Mapping[str, Any], **plan: Any
) -> AbstractAsyncContextManager[twin_caller.Caller]:
    """A running twin and the endpoint that speaks to it."""
    return twin_caller.calling(twin.CogTwin, folder, plan, secret=None, **given)


@pytest.fixture
def request_of(tmp_path: pathlib.Path) -> provider.ProviderRequest:
    return twin_caller.request(
        tmp_path, asked={"prompt": "Write a haiku about onions"}, idempotency_key="hd-1", model="writer"
    )


def runs(folder: pathlib.Path) -> Mapping[str, int]:
    return twin_caller.books(folder).payments


async def test_picture_when_asked_then_kept(tmp_path: pathlib.Path, request_of: provider.ProviderRequest) -> None:
    stored = await provider_suite.stored(request_of.artifacts, provider_suite.picture())
    async with speaking(tmp_path, WAIT) as there:
        outcome = await there.provider.send(dataclasses.replace(request_of, input={"image": stored.as_json()}))

    assert isinstance(outcome, settle.Completed), outcome
    assert artifact.Artifact.from_json(outcome.output).media_type == "image/png"


async def test_text_when_asked_in_each_mode_then_the_same_and_run_once_each(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    pieces: list[Any] = []
    outcomes = []
    for number, given in enumerate((WAIT, STREAM, ASYNC)):
        request = dataclasses.replace(request_of, idempotency_key=f"hd-{number}", on_delta=pieces.append)
        async with speaking(tmp_path, given) as there:
            outcome = await there.provider.send(request)
            if isinstance(outcome, settle.Accepted):
                outcome = await there.ended(outcome.handle, request)
        assert isinstance(outcome, settle.Completed), outcome
        outcomes.append(outcome.output)

    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert "".join(piece["chunk"] for piece in pieces) == 2 * "".join(outcomes[0])
    assert runs(tmp_path) == {"hd-0": 1, "hd-1": 1, "hd-2": 1}


@pytest.mark.parametrize(
    ("given", "rates", "expected", "count"),
    [
        (WAIT, {"throttled": 1.0}, faults.Fault.THROTTLED, 0),
        (WAIT, {"server_error": 1.0}, faults.Fault.REJECTED_TRANSIENT, 0),
        (WAIT, {"cut": 1.0}, None, 1),
        (WAIT, {"hang": 1.0}, None, 1),
        (WAIT, {"wrong_type": 1.0}, None, 1),
        (WAIT, {"huge": 1.0}, faults.Fault.TOO_LARGE, 1),
        (WAIT, {"lie": 1.0}, None, 1),
        (WAIT, {"failed": 1.0}, faults.Fault.REJECTED_PERMANENT, 1),
        (STREAM, {"cut": 1.0}, None, 1),
        (STREAM, {"lie": 1.0}, None, 1),
        (ASYNC, {"cut": 1.0}, None, 1),
    ],
    ids=str,
)
async def test_send_when_a_fault_strikes_then_told_apart_and_sent_once(
    given: Mapping[str, Any],
    rates: dict[str, float],
    expected: faults.Fault | None,
    count: int,
    tmp_path: pathlib.Path,
    request_of: provider.ProviderRequest,
) -> None:
    plan = {**rates, "cut_at_bytes": 90}
    async with speaking(tmp_path, {**given, "response_bytes_max": 1_000_000}, **plan) as there:
        outcome = await there.provider.send(dataclasses.replace(request_of, timeout_s=2.0))

    assert provider_suite.fault_of(outcome) is expected, outcome
    assert sum(there.twin.requests.values()) == 1
    assert sum(runs(tmp_path).values()) == count


async def test_send_when_its_answer_was_lost_then_the_repetition_finds_it_running(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    plan = {"cut": 0.5, "latency_s": 1.0, "seed": 3}
    key = next(key for key in (f"hd-{number}" for number in range(100)) if is_cut_once(key, **plan))
    request = dataclasses.replace(request_of, idempotency_key=key)
    async with speaking(tmp_path, ASYNC, **plan) as there:
        lost = await there.provider.send(request)
        again = await there.provider.send(request)
        assert isinstance(again, settle.Accepted), again
        outcome = await there.ended(again.handle, request)

    assert isinstance(lost, settle.Unknown)
    assert isinstance(outcome, settle.Completed), outcome
    assert runs(tmp_path) == {key: 1}


def is_cut_once(key: str, **plan: Any) -> bool:
    """Tell whether the seed cuts the first request of a key and none of the four after it."""
    made = invented.given(pathlib.Path(), **plan).plan
    fates = [twin_faults.request_fault(plan=made, key=key, count=count, now_s=0.0) for count in range(5)]
    return fates == [twin_faults.RequestFault.CUT, None, None, None, None]


async def test_cancel_when_started_to_be_followed_then_stopped(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with speaking(tmp_path, ASYNC, stuck=1.0) as there:
        accepted = await there.provider.send(request_of)
        assert isinstance(accepted, settle.Accepted)
        following = asyncio.create_task(there.provider.poll(accepted.handle, request_of))
        await asyncio.sleep(0)
        is_stopped = await there.provider.cancel(accepted.handle, request_of)
        is_stopped_again = await there.provider.cancel(accepted.handle, request_of)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    assert (is_stopped, is_stopped_again) == (True, False)


async def test_check_when_the_model_is_set_up_then_nothing_is_wrong(tmp_path: pathlib.Path) -> None:
    async with speaking(tmp_path, WAIT) as there:
        assert await there.provider.check() is None


async def test_prediction_when_put_twice_at_once_then_it_runs_once(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with speaking(tmp_path, ASYNC, latency_s=30.0) as there:
        outcomes = await asyncio.gather(*(there.provider.send(request_of) for _ in range(3)))

        assert [type(each) for each in outcomes] == [settle.Accepted] * 3
        assert list(runs(tmp_path).values()) == [1]
