"""The ``replicate`` adapter against the twin with its faults on: nothing is bought twice, and lost sends are found."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from heddle.core import artifact, faults, settle
from heddle.ports import provider
from heddle.twins.kit import faults as twin_faults
from heddle.twins.kit import server
from heddle.twins.replicate import twin
from tests.integration import twin_caller
from tests.twins import invented

FLUX = {"model_name": "black-forest-labs/flux-schnell", "poll_after_s": 0.2, "lookup_bound_s": 5}
running = functools.partial(twin_caller.running, twin.ReplicateTwin)


@contextlib.asynccontextmanager
async def adapter(url: str, given: Mapping[str, Any] = FLUX) -> AsyncIterator[provider.Provider]:
    made = twin_caller.made("replicate", url, is_called_back=True, **given)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def request_of(tmp_path: pathlib.Path) -> provider.ProviderRequest:
    return twin_caller.request(
        tmp_path, asked={"prompt": "espresso on marble", "num_outputs": 2, "output_format": "png"}, timeout_s=30
    )


def paid(folder: pathlib.Path) -> int:
    return twin_caller.books(folder).paid


async def test_pictures_when_ordered_then_stored_and_priced_as_the_ledger_says(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with running(tmp_path) as there, adapter(there.url) as made:
        accepted = await made.send(request_of)
        assert isinstance(accepted, settle.Accepted), accepted
        outcome = await twin_caller.finished(made, accepted.handle, request_of)

    assert isinstance(outcome, settle.Completed), outcome
    kept = [artifact.Artifact.from_json(each) for each in outcome.output]
    assert [each.media_type for each in kept] == ["image/png", "image/png"]
    assert outcome.cost_nano_usd == twin_caller.books(tmp_path).paid_nano_usd


async def test_pictures_when_the_account_waits_then_the_answer_has_them(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with running(tmp_path) as there, adapter(there.url, {**FLUX, "wait_s": 20}) as made:
        outcome = await made.send(request_of)

    assert isinstance(outcome, settle.Completed), outcome


async def test_film_and_text_when_ordered_then_each_in_its_form(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with running(tmp_path) as there:
        outputs = []
        for name in ("bytedance/seedance-1-pro", "meta/meta-llama-3-8b-instruct"):
            async with adapter(there.url, {"model_name": name, "wait_s": 20}) as made:
                outcome = await made.send(dataclasses.replace(request_of, input={"prompt": "espresso"}))
                assert isinstance(outcome, settle.Completed), outcome
                outputs.append(outcome.output)

    assert outputs[0]["media_type"] == "video/mp4"
    assert all(isinstance(token, str) for token in outputs[1])


@pytest.mark.parametrize(
    ("rates", "expected", "bought"),
    [
        ({"throttled": 1.0}, faults.Fault.THROTTLED, 0),
        ({"server_error": 1.0}, None, 0),
        ({"cut": 1.0}, None, 1),
        ({"hang": 1.0}, None, 1),
        ({"wrong_type": 1.0}, None, 1),
        ({"huge": 1.0}, faults.Fault.TOO_LARGE, 1),
        ({"lie": 1.0}, faults.Fault.BAD_OUTPUT, 1),
    ],
    ids=str,
)
async def test_send_when_a_fault_strikes_then_told_apart_and_sent_once(
    rates: dict[str, float],
    expected: faults.Fault | None,
    bought: int,
    tmp_path: pathlib.Path,
    request_of: provider.ProviderRequest,
) -> None:
    plan = twin_faults.Rates(**rates)
    async with running(tmp_path, rates=plan) as there, adapter(there.url) as made:
        outcome = await made.send(dataclasses.replace(request_of, timeout_s=2.0))

    if expected is None:
        assert isinstance(outcome, settle.Unknown), outcome
    else:
        assert isinstance(outcome, settle.Faulted), outcome
        assert outcome.fault.fault is expected
    assert sum(there.twin.requests.values()) == 1
    assert paid(tmp_path) == bought


async def test_send_when_cut_after_payment_then_its_webhook_finds_it_and_nothing_is_bought_again(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    rates = twin_faults.Rates(cut=1.0, callback_forged=1.0, callback_duplicated=1.0)
    async with (
        invented.Receiver() as receiver,
        running(tmp_path, rates=rates, cut_at_bytes=40) as there,
        adapter(there.url) as made,
    ):
        lost = await made.send(dataclasses.replace(request_of, callback_url=receiver.url))
        await receiver.wait(3)
        (forged_headers, forged), (headers, body), (_, again) = receiver.letters
        now_s = float(headers["webhook-timestamp"])
        with pytest.raises(provider.CallbackRefused):
            made.verify_callback(headers=forged_headers, body=forged, now_s=now_s)
        event = made.verify_callback(headers=headers, body=body, now_s=now_s)
        assert event.handle is not None
        outcome = await twin_caller.finished(made, event.handle, request_of)

    assert isinstance(lost, settle.Unknown)
    assert (again, event.is_verified) == (body, True)
    assert isinstance(outcome, settle.Completed), outcome
    assert paid(tmp_path) == 1
    assert made.capabilities.lookup_bound_s == 5


async def test_poll_when_the_twin_is_restarted_then_the_handle_still_leads_to_the_result(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with running(tmp_path, latency_s=0.5) as there, adapter(there.url) as made:
        accepted = await made.send(request_of)
        port = int(there.url.rpartition(":")[2])
    assert isinstance(accepted, settle.Accepted)
    given = dataclasses.replace(invented.given(tmp_path, latency_s=0.5), port=port)

    async with server.Running(twin.ReplicateTwin(given)) as again, adapter(again.url) as made:
        outcome = await twin_caller.finished(made, accepted.handle, request_of)

    assert isinstance(outcome, settle.Completed), outcome
    assert paid(tmp_path) == 1


async def test_cancel_when_stuck_then_stopped(tmp_path: pathlib.Path, request_of: provider.ProviderRequest) -> None:
    async with running(tmp_path, rates=twin_faults.Rates(stuck=1.0)) as there, adapter(there.url) as made:
        accepted = await made.send(request_of)
        assert isinstance(accepted, settle.Accepted)
        waiting = await made.poll(accepted.handle, request_of)
        is_stopped = await made.cancel(accepted.handle, request_of)
        outcome = await made.poll(accepted.handle, request_of)

    assert isinstance(waiting, settle.StillRunning)
    assert waiting.note == "starting"
    assert is_stopped
    assert isinstance(outcome, settle.Faulted)
    assert outcome.fault.fault is faults.Fault.CANCELLED


async def test_check_when_the_key_is_taken_then_nothing_is_wrong(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as there, adapter(there.url) as made:
        assert await made.check() is None
