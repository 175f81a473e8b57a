"""The official ``openai`` package works against the twin, streaming, jobs, lists, errors and webhooks included."""

import asyncio
import base64
import io
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from heddle.store import media as stored_media
from heddle.twins.kit import faults, ledger, media, options, server
from heddle.twins.openai import twin
from tests.twins import invented

MESSAGES: Any = [{"role": "user", "content": "What is on the table?"}]
POLLS_MAX = 1_000


def given(folder: pathlib.Path, **plan: Any) -> options.Options:
    return options.Options(ledger=folder / "paid.jsonl", plan=faults.Plan(**{"seed": 7, "latency_s": 0.02, **plan}))


@pytest.fixture
async def running(tmp_path: pathlib.Path) -> AsyncIterator[server.Running]:
    async with server.Running(twin.OpenaiTwin(given(tmp_path))) as running:
        yield running


@pytest.fixture
async def client(running: server.Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with customer(running) as client:
        yield client


def customer(running: server.Running, **changes: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        **{
            "api_key": options.DEFAULT_API_KEY,
            "base_url": f"{running.url}/v1",
            "webhook_secret": options.DEFAULT_WEBHOOK_SECRET,
            **changes,
        }
    )


async def until_over(ask: Any, job_id: str, open_states: tuple[str, ...]) -> Any:
    """Ask after a job until it is over, as a customer does."""
    for _ in range(POLLS_MAX):
        job = await ask(job_id)
        if job.status not in open_states:
            return job
        await asyncio.sleep(0.01)
    raise AssertionError(f"{job_id} did not end in {POLLS_MAX} polls")


async def test_chat_when_asked_then_a_completion_with_limits_and_a_request_id(
    client: openai.AsyncOpenAI, tmp_path: pathlib.Path
) -> None:
    answer = await client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES, n=2)
    completion = answer.parse()

    assert [choice.finish_reason for choice in completion.choices] == ["stop", "stop"]
    assert completion.choices[0].message.content != completion.choices[1].message.content
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert answer.headers["x-ratelimit-limit-requests"] == "10000"
    assert int(answer.headers["x-ratelimit-remaining-tokens"]) <= 10_000_000
    assert answer.request_id is not None
    (paid,) = ledger.read(tmp_path / "paid.jsonl").paid
    used = completion.usage
    assert paid.amount_nano_usd == used.prompt_tokens * 150 + used.completion_tokens * 600


async def test_chat_when_streamed_then_the_same_text_and_usage_at_the_end(client: openai.AsyncOpenAI) -> None:
    plain = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

    stream = await client.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(text.split()) >= 8
    assert plain.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(text.split())
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


async def test_chat_when_parsed_by_the_clients_own_helper_then_tools_and_schemas_fit(
    client: openai.AsyncOpenAI,
) -> None:
    parameters = {"type": "object", "properties": {"place": {"type": "string"}, "times": {"type": "integer"}}}
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": parameters}}]
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": parameters}}

    called = await client.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, tools=tools, tool_choice="required"
    )
    formed = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, response_format=form)
    cut = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, max_completion_tokens=3)
    async with client.chat.completions.stream(model="gpt-4o-mini", messages=MESSAGES) as stream:
        final = await stream.get_final_completion()

    calls = called.choices[0].message.tool_calls
    assert calls is not None
    assert set(json.loads(calls[0].function.arguments)) == {"place", "times"}  # type: ignore[union-attr]
    assert json.loads(formed.choices[0].message.content or "")["times"] == 7
    assert cut.choices[0].finish_reason == "length"
    assert len((cut.choices[0].message.content or "").split()) == 3
    assert final.choices[0].message.content


async def test_responses_when_asked_then_text_whole_streamed_and_in_the_background(
    client: openai.AsyncOpenAI,
) -> None:
    plain = await client.responses.create(model="gpt-4o-mini", input="hi")
    async with client.responses.stream(model="gpt-4o-mini", input="hi") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    queued = await client.responses.create(model="gpt-4o-mini", input="hi", background=True)
    done = await until_over(client.responses.retrieve, queued.id, ("queued", "in_progress"))

    assert plain.status == final.status == done.status == "completed"
    assert len(plain.output_text.split()) >= 8
    assert final.output_text
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert queued.status in ("queued", "in_progress")
    assert done.usage is not None


async def test_response_when_cancelled_then_said_so(tmp_path: pathlib.Path) -> None:
    slow = twin.OpenaiTwin(given(tmp_path, latency_s=100.0))
    async with server.Running(slow) as running, customer(running) as client:
        queued = await client.responses.create(model="gpt-4o-mini", input="hi", background=True)
        cancelled = await client.responses.cancel(queued.id)

    assert cancelled.status == "cancelled"


async def test_embeddings_when_asked_in_either_encoding_then_the_same_vectors(client: openai.AsyncOpenAI) -> None:
    packed = await client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    plain = await client.embeddings.create(
        model="text-embedding-3-small", input=["a", "b"], encoding_format="float", dimensions=1_536
    )

    assert [len(each.embedding) for each in packed.data] == [1_536, 1_536]
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert packed.data[0].embedding != packed.data[1].embedding


async def test_images_when_made_and_edited_then_whole_pictures(client: openai.AsyncOpenAI) -> None:
    made = await client.images.generate(model="gpt-image-1", prompt="marble", n=2, size="1024x1536")
    linked = await client.images.generate(model="dall-e-3", prompt="marble", size="1024x1024")
    edited = await client.images.edit(
        model="gpt-image-1",
        prompt="more light",
        image=[("a.png", media.png("a"), "image/png"), ("b.png", media.png("b"), "image/png")],
        output_format="jpeg",
    )

    assert [_size(each.b64_json) for each in made.data or ()] == [("image/png", 1_024, 1_536)] * 2
    assert made.usage is not None
    assert edited.usage is not None
    assert edited.usage.input_tokens_details.image_tokens > 0
    assert [_size(each.b64_json)[0] for each in edited.data or ()] == ["image/jpeg"]
    assert linked.data is not None
    status, body = await invented.get(linked.data[0].url or "")
    assert (status, stored_media.sniff(body[:64])) == (200, "image/png")


def _size(encoded: str | None) -> tuple[str, int, int]:
    data = base64.b64decode(encoded or "")
    kind = stored_media.sniff(data[:64]) or ""
    size = stored_media.picture_size(kind, memoryview(data))
    assert size is not None
    return kind, size.width_px, size.height_px


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_videos_when_made_then_polled_downloaded_listed_and_deleted(client: openai.AsyncOpenAI) -> None:
    job = await client.videos.create(
        model="sora-2", prompt="steam", seconds="4", input_reference=("a.png", media.png("a"), "image/png")
    )
    done = await until_over(client.videos.retrieve, job.id, ("queued", "in_progress"))
    content = await client.videos.download_content(job.id)
    remixed = await client.videos.remix(job.id, prompt="more steam")
    listed = [each.id async for each in client.videos.list(limit=1)]
    deleted = await client.videos.delete(job.id)

    assert (job.status, done.status, done.progress) == ("queued", "completed", 100)
    assert stored_media.sniff(content.content[:64]) == "video/mp4"
    assert remixed.remixed_from_video_id == job.id
    assert listed == [remixed.id, job.id]
    assert deleted.deleted
    with pytest.raises(openai.NotFoundError):
        await client.videos.retrieve(job.id)


async def test_batch_when_run_then_results_errors_and_a_signed_webhook(client: openai.AsyncOpenAI) -> None:
    bodies = [{"model": "gpt-4o-mini", "messages": MESSAGES}, {"model": "missing-1", "messages": MESSAGES}]
    lines = [
        json.dumps({"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body})
        for number, body in enumerate(bodies)
    ]
    async with invented.Receiver() as receiver:
        hook = await client.webhooks.create(name="ours", url=receiver.url, event_types=["batch.completed"])
        file = await client.files.create(file=io.BytesIO("\n".join(lines).encode()), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
        )
        await receiver.wait(1)
        done = await client.batches.retrieve(batch.id)
    results = await client.files.content(done.output_file_id or "")
    errors = await client.files.content(done.error_file_id or "")
    listed = [each.id async for each in client.batches.list()]
    headers, body = receiver.letters[0]
    event = client.webhooks.unwrap(body, headers, secret=hook.signing_secret)

    assert (batch.status, done.status, listed) == ("validating", "completed", [batch.id])
    assert (done.request_counts and done.request_counts.completed, done.metadata) == (1, {"a": "b"})
    assert done.usage is not None
    (line,) = [json.loads(text) for text in results.text.splitlines()]
    assert line["response"]["body"]["object"] == "chat.completion"
    assert json.loads(errors.text)["response"]["body"]["error"]["code"] == "model_not_found"
    assert (event.type, event.data.id) == ("batch.completed", batch.id)  # type: ignore[union-attr]


async def test_batch_when_its_file_is_wrong_then_failed_with_the_line(client: openai.AsyncOpenAI) -> None:
    file = await client.files.create(file=("x.jsonl", b'{"no": 1}\n'), purpose="batch")
    batch = await client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = await until_over(client.batches.retrieve, batch.id, ("validating", "in_progress"))

    assert done.status == "failed"
    assert done.errors.data[0].line == 1


async def test_batch_when_cancelled_then_cancelling_and_then_cancelled(tmp_path: pathlib.Path) -> None:
    slow = twin.OpenaiTwin(given(tmp_path, latency_s=100.0))
    line = {"custom_id": "0", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "a"}}
    async with server.Running(slow) as running, customer(running) as client:
        file = await client.files.create(file=("x.jsonl", json.dumps(line).encode()), purpose="batch")
        batch = await client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
        first = await client.batches.cancel(batch.id)
        second = await client.batches.retrieve(batch.id)

    assert (first.status, second.status) == ("cancelling", "cancelled")


async def test_files_and_models_when_listed_then_as_the_client_pages_them(client: openai.AsyncOpenAI) -> None:
    made = [await client.files.create(file=("x", b"x"), purpose="user_data") for _ in range(3)]

    listed = [each.id async for each in client.files.list(limit=2)]
    deleted = await client.files.delete(made[0].id)
    models = [each.id async for each in client.models.list()]

    assert set(listed) == {each.id for each in made}
    assert deleted.deleted
    assert "gpt-4o-mini" in models
    assert (await client.models.retrieve("sora-2")).owned_by == "system"


async def test_errors_when_raised_then_of_the_clients_classes(
    client: openai.AsyncOpenAI, running: server.Running
) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.chat.completions.create(model="gpt-4o-mini", messages=[])
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="missing-1", messages=MESSAGES)
    with pytest.raises(openai.AuthenticationError) as denied:
        await customer(running, api_key="wrong").models.list()

    assert (wrong.value.param, missing.value.code, denied.value.code) == (
        "messages",
        "model_not_found",
        "invalid_api_key",
    )


async def test_limits_when_reached_then_the_clients_429_with_the_time_to_come_back(tmp_path: pathlib.Path) -> None:
    throttled = twin.OpenaiTwin(given(tmp_path, rates=faults.Rates(throttled=1.0)))
    async with server.Running(throttled) as running, customer(running, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as limited:
            await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

    headers = limited.value.response.headers
    assert limited.value.code == "rate_limit_exceeded"
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("1", "1000")
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-reset-requests"]) == ("0", "1s")


async def test_client_when_its_own_retries_meet_cuts_then_the_twin_counts_every_payment(
    tmp_path: pathlib.Path,
) -> None:
    """What the vendor's client does by default is what this house never does: the cut answer is bought again."""
    cutting = twin.OpenaiTwin(given(tmp_path, rates=faults.Rates(cut=1.0)))
    async with server.Running(cutting) as running, customer(running, max_retries=1) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

    books = ledger.summarise(tmp_path / "paid.jsonl")
    assert books.paid == 2
    assert len(books.paid_twice) == 1


async def test_twin_when_it_dies_then_its_jobs_and_files_are_taken_up_again(tmp_path: pathlib.Path) -> None:
    line = {"custom_id": "0", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "a"}}
    async with server.Running(twin.OpenaiTwin(given(tmp_path))) as running, customer(running) as client:
        file = await client.files.create(file=("x.jsonl", json.dumps(line).encode()), purpose="batch")
        batch = await client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")

    async with server.Running(twin.OpenaiTwin(given(tmp_path))) as running, customer(running) as client:
        done = await until_over(client.batches.retrieve, batch.id, ("validating", "in_progress"))
        results = await client.files.content(done.output_file_id)

    assert json.loads(results.text)["custom_id"] == "0"
