"""The ``openai`` adapter and OpenAI's twin understand each other on good days and bad ones, and nobody pays twice."""

import asyncio
import dataclasses
import functools
import json
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from heddle.core import artifact, faults, settle
from heddle.ports import provider
from heddle.twins.kit import media, server
from heddle.twins.openai import twin
from tests.integration import twin_caller
from tests.twins import invented

MESSAGES = [{"role": "user", "content": "What is on the table?"}]
CUTS_MAX = 4_000
running = functools.partial(twin_caller.running, twin.OpenaiTwin, latency_s=0.02)


@pytest.fixture
def asked(tmp_path: pathlib.Path) -> provider.ProviderRequest:
    return twin_caller.request(tmp_path, asked={"messages": MESSAGES}, model="gpt-4o-mini")


Make = Callable[..., provider.Provider]


@pytest.fixture
async def adapter() -> AsyncIterator[Make]:
    """Makes adapters, and closes them in the end."""
    made: list[provider.Provider] = []

    def make(url: str, operation: str, **more: Any) -> provider.Provider:
        made.append(_adapter(url, operation, **more))
        return made[-1]

    yield make
    for each in made:
        await each.close()


def _adapter(url: str, operation: str, **more: Any) -> provider.Provider:
    settings = {"operation": operation, "poll_after_s": 0.05, "list_prices": True, "lookup_bound_s": 1, **more}
    return twin_caller.made("openai", f"{url}/v1", is_called_back=True, **settings)


async def over(made: provider.Provider, request: provider.ProviderRequest) -> settle.Outcome:
    """Send, and poll as the engine would until it is over, a bounded number of times."""
    outcome = await made.send(request)
    if isinstance(outcome, settle.Accepted):
        return await twin_caller.finished(made, outcome.handle, request)
    return outcome


async def refunded(folder: pathlib.Path) -> None:
    """Wait until a refund is in the books; a job is seen to be over a moment before."""
    for _ in range(twin_caller.POLLS_MAX):
        if twin_caller.books(folder).refunded:
            return
        await asyncio.sleep(0.01)


async def cut_at_every_byte(
    twin_there: server.Running, made: provider.Provider, request: provider.ProviderRequest, *, step: int
) -> list[settle.Outcome]:
    """Send again and again, the answer cut a little later each time, until one comes whole."""
    outcomes: list[settle.Outcome] = []
    while len(outcomes) < CUTS_MAX and not any(isinstance(each, settle.Completed) for each in outcomes[-1:]):
        twin_there.twin.plan = dataclasses.replace(twin_there.twin.plan, cut_at_bytes=len(outcomes) * step)
        outcomes.append(await made.send(request))
    return outcomes


async def test_check_when_the_key_is_taken_or_not_then_said_so(tmp_path: pathlib.Path, adapter: Make) -> None:
    async with running(tmp_path) as twin_there:
        taken = await adapter(twin_there.url, "chat").check()
        twin_there.twin.options = dataclasses.replace(twin_there.twin.options, api_key="another")
        refused = await adapter(twin_there.url, "chat").check()

    assert taken is None
    assert refused is not None
    assert "401" in refused


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("chat", {"messages": MESSAGES}),
        ("responses", {"input": "hi"}),
        ("responses", {"input": "hi", "background": True}),
        ("embeddings", {"input": ["a", "b"], "dimensions": 8}),
    ],
)
async def test_text_when_made_then_booked_as_the_invoice_says(
    operation: str, given: dict[str, Any], tmp_path: pathlib.Path, adapter: Make, asked: provider.ProviderRequest
) -> None:
    model = "text-embedding-3-small" if operation == "embeddings" else "gpt-4o-mini"
    async with running(tmp_path) as twin_there:
        outcome = await over(
            adapter(twin_there.url, operation, model_name=model), dataclasses.replace(asked, input=given)
        )

    assert isinstance(outcome, settle.Completed), outcome
    assert outcome.cost_nano_usd == twin_caller.books(tmp_path).paid_nano_usd
    assert twin_caller.books(tmp_path).paid == 1


@pytest.mark.parametrize(("operation", "given"), [("chat", {"messages": MESSAGES}), ("responses", {"input": "hi"})])
async def test_text_when_streamed_then_the_answer_is_that_without_a_stream(
    operation: str, given: dict[str, Any], tmp_path: pathlib.Path, adapter: Make, asked: provider.ProviderRequest
) -> None:
    pieces: list[Any] = []
    request = dataclasses.replace(asked, input=given, on_delta=pieces.append)
    async with running(tmp_path) as twin_there:
        outcome = await over(adapter(twin_there.url, operation), request)

    assert isinstance(outcome, settle.Completed), outcome
    assert outcome.cost_nano_usd == twin_caller.books(tmp_path).paid_nano_usd
    assert outcome.told.tokens
    assert len(pieces) > 8


@pytest.mark.parametrize(
    ("operation", "model", "given"),
    [
        ("images_generate", "gpt-image-1", {"prompt": "marble", "size": "64x64", "n": 2}),
        ("images_generate", "dall-e-3", {"prompt": "marble", "size": "64x64", "n": 2}),
        ("images_edit", "gpt-image-1", {"prompt": "light", "image": ["PICTURE", "PICTURE"], "size": "64x64", "n": 2}),
    ],
)
async def test_pictures_when_made_then_artifacts(
    operation: str,
    model: str,
    given: dict[str, Any],
    tmp_path: pathlib.Path,
    adapter: Make,
    asked: provider.ProviderRequest,
) -> None:
    picture = (await asked.artifacts.write(media.png("a"), media_type=None)).as_json()
    filled = {key: [picture, picture] if value == ["PICTURE", "PICTURE"] else value for key, value in given.items()}
    async with running(tmp_path) as twin_there:
        outcome = await over(
            adapter(twin_there.url, operation, model_name=model), dataclasses.replace(asked, input=filled)
        )

    assert isinstance(outcome, settle.Completed), outcome
    kept = [artifact.Artifact.from_json(each["image"]) for each in outcome.output["data"]]
    assert [each.media_type for each in kept] == ["image/png"] * 2
    assert outcome.told.images == 2
    assert twin_caller.books(tmp_path).paid == 1


async def test_video_when_questions_fail_now_and_then_then_still_fetched_once_paid(
    tmp_path: pathlib.Path, adapter: Make, asked: provider.ProviderRequest
) -> None:
    request = dataclasses.replace(asked, input={"prompt": "steam", "seconds": "4"})
    async with running(tmp_path, ask_failed=0.5) as twin_there:
        outcome = await over(adapter(twin_there.url, "videos", model_name="sora-2"), request)

    assert isinstance(outcome, settle.Completed), outcome
    assert artifact.Artifact.from_json(outcome.output["video"]).media_type == "video/mp4"
    assert twin_caller.books(tmp_path).paid == 1


async def test_job_when_failed_then_a_passing_fault_and_refunded(
    tmp_path: pathlib.Path, adapter: Make, asked: provider.ProviderRequest
) -> None:
    request = dataclasses.replace(asked, input={"prompt": "steam"})
    async with running(tmp_path, failed=1.0) as twin_there:
        outcome = await over(adapter(twin_there.url, "videos"), request)
        await refunded(tmp_path)

    assert isinstance(outcome, settle.Faulted)
    assert outcome.fault.fault is faults.Fault.REJECTED_TRANSIENT
    assert twin_caller.books(tmp_path).refunded == 1


async def test_batch_when_its_answer_is_cut_then_found_by_our_mark_and_paid_once(
    tmp_path: pathlib.Path, adapter: Make, asked: provider.ProviderRequest
) -> None:
    request = dataclasses.replace(asked, input={"requests": [{"messages": MESSAGES}] * 3})
    async with running(tmp_path, cut=1.0) as twin_there:
        made = adapter(twin_there.url, "batch")
        before = await made.lookup(request)
        sent = await made.send(request)
        found = await made.lookup(request)
        assert isinstance(found, settle.Accepted), found
        outcome = await twin_caller.finished(made, found.handle, request)

    assert isinstance(before, settle.Absent)
    assert isinstance(sent, settle.Unknown)
    assert isinstance(outcome, settle.Completed), outcome
    results = await asked.artifacts.read(artifact.Artifact.from_json(outcome.output["results"]))
    assert [json.loads(line)["custom_id"] for line in results.splitlines()] == ["0", "1", "2"]
    assert outcome.output["errors"] is None
    assert dict(twin_caller.books(tmp_path).payments) == {"att_1": 1}


async def test_batch_when_cancelled_then_said_so(
    tmp_path: pathlib.Path, adapter: Make, asked: provider.ProviderRequest
) -> None:
    request = dataclasses.replace(asked, input={"requests": [{"messages": MESSAGES}]})
    async with running(tmp_path, latency_s=100.0) as twin_there:
        made = adapter(twin_there.url, "batch")
        accepted = await made.send(request)
        assert isinstance(accepted, settle.Accepted)
        is_cancelled = await made.cancel(accepted.handle, request)
        outcome = await made.poll(accepted.handle, request)

    assert is_cancelled
    assert isinstance(outcome, settle.Faulted)
    assert outcome.fault.fault is faults.Fault.CANCELLED


@pytest.mark.parametrize(
    ("fault", "expected", "paid"),
    [
        ("throttled", faults.Fault.THROTTLED, 0),
        ("server_error", None, 0),
        ("hang", None, 1),
        ("drip", None, 1),
        ("cut", None, 1),
        ("wrong_type", faults.Fault.BAD_OUTPUT, 1),
        ("huge", faults.Fault.TOO_LARGE, 1),
        ("lie", faults.Fault.BAD_OUTPUT, 1),
    ],
)
async def test_chat_when_spoiled_then_never_called_done_and_never_sent_again(
    fault: str,
    expected: faults.Fault | None,
    paid: int,
    tmp_path: pathlib.Path,
    adapter: Make,
    asked: provider.ProviderRequest,
) -> None:
    async with running(tmp_path, drip_s=0.2, **{fault: 1.0}) as twin_there:
        outcome = await adapter(twin_there.url, "chat", response_bytes_max=1_000_000).send(
            dataclasses.replace(asked, timeout_s=1.0)
        )
        sends = twin_there.twin.requests["POST", "/v1/chat/completions"]

    found = outcome.fault.fault if isinstance(outcome, settle.Faulted) else None
    assert isinstance(outcome, settle.Faulted | settle.Unknown), outcome
    assert (found, twin_caller.books(tmp_path).paid, sends) == (expected, paid, 1)


@pytest.mark.parametrize(("step", "on_delta"), [(1, None), (3, lambda piece: None)], ids=["whole", "streamed"])
async def test_chat_when_cut_at_every_byte_then_unknown_until_the_whole_answer_is_there(
    step: int, on_delta: Any, tmp_path: pathlib.Path, adapter: Make, asked: provider.ProviderRequest
) -> None:
    given = {"messages": MESSAGES, "max_completion_tokens": 2}
    request = dataclasses.replace(asked, input=given, on_delta=on_delta)
    async with running(tmp_path, latency_s=0.0, cut=1.0) as twin_there:
        outcomes = await cut_at_every_byte(twin_there, adapter(twin_there.url, "chat"), request, step=step)

    assert isinstance(outcomes[-1], settle.Completed)
    assert {type(each) for each in outcomes[:-1]} == {settle.Unknown}
    assert len(outcomes) * step > 500
    assert twin_caller.books(tmp_path).paid == len(outcomes)


async def test_webhook_when_forged_late_and_doubled_then_only_the_true_ones_are_believed(
    tmp_path: pathlib.Path, adapter: Make, asked: provider.ProviderRequest
) -> None:
    request = dataclasses.replace(asked, input={"requests": [{"messages": MESSAGES}]})
    faulty = {"callback_forged": 1.0, "callback_duplicated": 1.0, "callback_late": 1.0, "late_s": 0.05}
    async with invented.Receiver() as receiver, running(tmp_path, **faulty) as twin_there:
        await invented.post(
            f"{twin_there.url}/v1/webhook_endpoints",
            {"name": "ours", "url": receiver.url, "event_types": ["batch.completed"]},
        )
        made = adapter(twin_there.url, "batch")
        accepted = await made.send(request)
        await receiver.wait(3)
        now_s = twin_there.twin.now_s()

    assert isinstance(accepted, settle.Accepted)
    (forged, *true) = receiver.letters
    with pytest.raises(provider.CallbackRefused, match="mismatch"):
        made.verify_callback(headers=forged[0], body=forged[1], now_s=now_s)
    events = [made.verify_callback(headers=headers, body=body, now_s=now_s) for headers, body in true]
    assert len({event.event_id for event in events}) == 1
    assert {event.handle for event in events} == {accepted.handle}
