"""The ``huggingface`` adapter and the twin understand each other, on good days and on bad ones."""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from heddle.core import artifact, faults, identity, settle
from heddle.ports import provider
from heddle.twins.huggingface import tasks, twin
from heddle.twins.kit import options, server
from tests.contract import provider_suite
from tests.integration import twin_caller

BODY = {"inputs": "{input.prompt}", "parameters": {"max_new_tokens": 4, "details": True}}
running = functools.partial(twin_caller.running, twin.HuggingfaceTwin, seed=1, latency_s=0.001)
made = functools.partial(twin_caller.made, "huggingface")


@pytest.fixture
async def there(tmp_path: pathlib.Path) -> AsyncIterator[server.Running]:
    async with running(tmp_path) as there:
        yield there


@pytest.fixture
def request_of(tmp_path: pathlib.Path) -> provider.ProviderRequest:
    return twin_caller.request(tmp_path, asked={"prompt": "espresso on marble"}, model="acme/writer")


async def test_medium_when_sent_as_the_body_then_classified(
    there: server.Running, request_of: provider.ProviderRequest
) -> None:
    picture = provider_suite.picture()
    photo = await provider_suite.stored(request_of.artifacts, picture)
    adapter = made(there.url, artifacts="body", path="/hf-inference/models/{model}")

    outcome = await adapter.send(dataclasses.replace(request_of, input={"photo": photo.as_json()}))
    await adapter.close()

    assert outcome == settle.Completed(output=tasks.classified(picture, parameters=None))


async def test_picture_when_asked_for_then_stored(there: server.Running, request_of: provider.ProviderRequest) -> None:
    adapter = made(there.url, body={"inputs": "{input.prompt}"}, accept="image/png", output="/image")

    outcome = await adapter.send(request_of)
    await adapter.close()

    assert isinstance(outcome, settle.Completed), outcome
    assert artifact.Artifact.from_json(outcome.output["image"]).media_type == "image/png"


@pytest.mark.parametrize("operation", ["generate", "generate_stream"])
async def test_text_when_generated_then_whole_in_pieces_and_counted(
    operation: str, there: server.Running, request_of: provider.ProviderRequest
) -> None:
    heard: list[identity.JsonValue] = []
    adapter = made(there.url, operation=operation, body=BODY)

    outcome = await adapter.send(dataclasses.replace(request_of, on_delta=heard.append))
    await adapter.close()

    assert isinstance(outcome, settle.Completed), outcome
    text = outcome.output["generated_text"]
    assert len(text.split()) == 4
    assert outcome.told.tokens == tasks.input_length("espresso on marble") + 4
    assert "".join(map(str, heard)) == (text if operation == "generate_stream" else "")


async def test_model_when_it_is_loading_then_throttled_for_its_estimate(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with running(tmp_path, server_error=1.0) as there:
        adapter = made(there.url, operation="generate", body=BODY, paid=True)
        outcome = await adapter.send(request_of)
        await adapter.close()

    assert isinstance(outcome, settle.Faulted)
    assert (outcome.fault.fault, outcome.retry_after_s) == (faults.Fault.THROTTLED, twin.LOADING_S)
    assert twin_caller.books(tmp_path).paid == 0


async def test_stream_when_an_error_comes_after_the_first_tokens_then_no_result(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with running(tmp_path, lie=1.0) as there:
        adapter = made(there.url, operation="generate_stream", body=BODY)
        outcome = await adapter.send(request_of)
        await adapter.close()

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_TRANSIENT
    assert "generation" in provider_suite.message_of(outcome)


@pytest.mark.parametrize("cut_at_bytes", [0, 40, 250, 500])
@pytest.mark.parametrize("is_paid", [False, True])
async def test_stream_when_it_is_cut_anywhere_then_never_a_result(
    is_paid: bool, cut_at_bytes: int, tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with running(tmp_path, cut=1.0, cut_at_bytes=cut_at_bytes) as there:
        adapter = made(there.url, operation="generate_stream", body=BODY, paid=is_paid)
        outcome = await adapter.send(request_of)
        await adapter.close()

    fault = provider_suite.fault_of(outcome)
    assert (fault is None) == is_paid
    assert is_paid or faults.FAULTS[faults.Fault(str(fault))].is_retryable


async def test_bad_day_when_every_fault_happens_then_what_was_paid_is_a_result_or_unknown(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    shares = dict.fromkeys(("throttled", "server_error", "cut", "wrong_type", "huge"), 0.14)
    async with running(tmp_path, **shares, cut_at_bytes=30) as there:
        adapter = made(there.url, operation="generate", body=BODY, response_bytes_max=100_000, paid=True)
        outcomes = [
            await adapter.send(dataclasses.replace(request_of, input={"prompt": f"number {number}"}))
            for number in range(60)
        ]
        await adapter.close()
        sends = there.twin.requests.total()

    found = collections.Counter(
        "done" if isinstance(outcome, settle.Completed) else str(provider_suite.fault_of(outcome))
        for outcome in outcomes
    )
    paid = twin_caller.books(tmp_path).paid
    assert sends == 60
    assert set(found) == {"done", "throttled", "None", "bad_output", "too_large"}, found
    assert paid == 60 - found["throttled"]


async def test_server_when_asked_by_hand_then_answers_in_the_vendors_words(there: server.Running) -> None:
    key = {"Authorization": f"Bearer {options.DEFAULT_API_KEY}"}
    told = []
    async with aiohttp.ClientSession(there.url) as client:
        for path, headers, body in (
            ("/generate", {}, {"inputs": "Hi"}),
            ("/generate", key, {"inputs": ""}),
            ("/generate", key, {"inputs": "Hi", "parameters": {"max_new_tokens": 0}}),
            ("/", key, {"text": "Hi"}),
            ("/generate", key, {"inputs": "Hi"}),
        ):
            async with client.post(path, json=body, headers=headers) as answer:
                told.append((answer.status, (await answer.json()).get("error_type")))
        async with client.get("/health") as health, client.get("/info", headers=key) as info:
            model = (await info.json())["model_id"]

    assert told == [(401, None), (422, "validation"), (422, "validation"), (422, "validation"), (200, None)]
    assert (health.status, model) == (200, twin.MODEL)
