"""The ``openai`` adapter keeps the promises of the port in each of its operations."""

import base64
import dataclasses
import json
import pathlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from heddle.config import deployment
from heddle.core import artifact, attempt, faults, run, settle
from heddle.core.policy import told
from heddle.ports import provider
from heddle.providers import registry, signing
from heddle.store import blobs
from tests.contract import openai_replies, provider_suite, scripted_server, tenant_artifacts

SMALL = {"response_bytes_max": 1_000_000}
HOOK = "whsec_" + base64.b64encode(bytes(range(32))).decode()
MESSAGES = [{"role": "user", "content": "hi"}]


class ChatReplies(provider_suite.ProviderSuite):
    adapter = "openai"
    call = ("POST", "/chat/completions")
    options: ClassVar[Mapping[str, Any]] = SMALL

    def replies(self) -> provider_suite.Replies:
        return openai_replies.replies(
            scripted_server.json_reply(200, openai_replies.COMPLETION),
            cut=json.dumps(openai_replies.COMPLETION).encode(),
        )

    async def make_input(self, artifacts: provider.ArtifactReader) -> dict[str, Any]:
        return {"messages": MESSAGES}


class TestPaidChat(ChatReplies):
    pass


class TestFreeChat(ChatReplies):
    options: ClassVar[Mapping[str, Any]] = {**SMALL, "paid": False}


class TestStreamedChat(ChatReplies):
    """The same promises hold while somebody listens."""

    def replies(self) -> provider_suite.Replies:
        done = openai_replies.stream(openai_replies.chunk({"content": "hi"}), openai_replies.stopped(), "[DONE]")
        cut = f"data: {json.dumps(openai_replies.chunk({'content': 'hi'}))}\n\n".encode() * 3
        replies = openai_replies.replies(done, cut=cut)
        inside = scripted_server.cut_inside(200, cut, media_type="text/event-stream")
        return dataclasses.replace(replies, cut_inside=inside)

    @pytest.fixture
    async def request_of(self, artifacts: tenant_artifacts.TenantArtifacts) -> provider.ProviderRequest:
        return request(artifacts, {"messages": MESSAGES}, on_delta=lambda piece: None)


class TestPaidEmbeddings(ChatReplies):
    call = ("POST", "/embeddings")
    options: ClassVar[Mapping[str, Any]] = {**SMALL, "operation": "embeddings"}

    def replies(self) -> provider_suite.Replies:
        data = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        done = {"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}
        return openai_replies.replies(scripted_server.json_reply(200, done), cut=json.dumps(done).encode())


class TestPaidPictures(ChatReplies):
    call = ("POST", "/images/generations")
    options: ClassVar[Mapping[str, Any]] = {**SMALL, "operation": "images_generate"}

    def replies(self) -> provider_suite.Replies:
        picture = base64.b64encode(provider_suite.picture()).decode()
        done = {"created": 1, "data": [{"b64_json": picture}]}
        return openai_replies.replies(scripted_server.json_reply(200, done), cut=json.dumps(done).encode())

    async def make_input(self, artifacts: provider.ArtifactReader) -> dict[str, Any]:
        return {"prompt": "espresso on marble"}


class TestPaidVideos(TestPaidPictures):
    call = ("POST", "/videos")
    options: ClassVar[Mapping[str, Any]] = {"operation": "videos"}
    done_outcome: ClassVar[type] = settle.Accepted
    malformed_outcome: ClassVar[faults.Fault | None] = None

    def replies(self) -> provider_suite.Replies:
        done = {"id": "video_1", "object": "video", "status": "queued", "progress": 0, "model": "sora-2"}
        return openai_replies.replies(scripted_server.json_reply(200, done), cut=json.dumps(done).encode())


@pytest.fixture
async def server() -> AsyncIterator[scripted_server.ScriptedServer]:
    async with scripted_server.ScriptedServer() as server:
        yield server


@pytest.fixture
def artifacts(tmp_path: pathlib.Path) -> tenant_artifacts.TenantArtifacts:
    store = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=10_000_000, pixels_max=1_000_000)
    return tenant_artifacts.TenantArtifacts(store)


def request(artifacts: provider.ArtifactReader, given: dict[str, Any], /, **changes: Any) -> provider.ProviderRequest:
    made = provider.ProviderRequest(
        attempt_id="att_0190",
        idempotency_key="key_0190",
        model="gpt-4o-mini",
        input=given,
        timeout_s=20.0,
        artifacts=artifacts,
    )
    return dataclasses.replace(made, **changes)


def made(url: str, /, **options: Any) -> provider.Provider:
    endpoint = deployment.Endpoint(
        name="there",
        adapter="openai",
        url=url,
        scopes=("there",),
        secret="env:KEY",
        callback_secret="env:HOOK",
        options=options,
    )
    return registry.build(endpoint, {"KEY": "opensesame", "HOOK": HOOK})


async def sent(url: str, asked: provider.ProviderRequest, /, **options: Any) -> settle.Outcome:
    adapter = made(url, **options)
    outcome = await adapter.send(asked)
    await adapter.close()
    return outcome


async def polled(url: str, handle: str, asked: provider.ProviderRequest, /, **options: Any) -> settle.Outcome:
    adapter = made(url, **options)
    outcome = await adapter.poll(handle, asked)
    await adapter.close()
    return outcome


async def test_chat_when_done_then_the_whole_answer_with_cost_tokens_and_limits(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, openai_replies.COMPLETION, headers=openai_replies.LIMITS))

    outcome = await sent(
        server.url,
        request(artifacts, {"messages": MESSAGES, "seed": 7}),
        list_prices=True,
        organization="org-1",
        project="proj_1",
    )

    assert isinstance(outcome, settle.Completed), outcome
    assert outcome.output == openai_replies.COMPLETION
    assert outcome.cost_nano_usd == 600 * 150 + 400 * 75 + 200 * 600
    assert outcome.told.tokens == 1_200
    assert [(each.dimension, each.limit_per_min, each.remaining) for each in outcome.told.reports] == [
        (told.Dimension.REQUESTS, 500, 499),
        (told.Dimension.TOKENS, 200_000, 199_960),
    ]
    (asked,) = server.requests
    assert asked.json == {"messages": MESSAGES, "seed": 7, "model": "gpt-4o-mini"}
    assert (asked.headers["openai-organization"], asked.headers["openai-project"]) == ("org-1", "proj_1")
    assert [name for name in asked.headers if name.startswith("x-stainless") or name == "idempotency-key"] == []


async def test_chat_when_the_list_does_not_cover_the_bill_then_the_result_stands_without_a_cost(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    flex = {**openai_replies.COMPLETION, "service_tier": "flex"}
    server.script(scripted_server.json_reply(200, flex))

    outcome = await sent(
        server.url,
        request(artifacts, {"messages": MESSAGES}, priority=run.Priority.BATCH),
        list_prices=True,
        service_tiers={"batch": "flex"},
    )

    assert outcome == settle.Completed(output=flex, cost_nano_usd=None, told=told.Told(tokens=1_200))
    assert server.requests[0].json["service_tier"] == "flex"


async def test_answer_when_it_does_not_fit_inline_then_its_large_part_is_an_artifact_of_json(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    data = [{"object": "embedding", "index": number, "embedding": [0.123456789] * 3_072} for number in range(2)]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    server.script(scripted_server.json_reply(200, {"object": "list", "data": data, "usage": usage}))

    outcome = await sent(server.url, request(artifacts, {"input": ["a", "b"]}), operation="embeddings")

    assert isinstance(outcome, settle.Completed), outcome
    kept = artifact.Artifact.from_json(outcome.output["data"])
    assert (kept.media_type, outcome.output["usage"]) == ("application/json", usage)
    assert json.loads(await artifacts.read(kept)) == data


@pytest.mark.parametrize("key", ["model", "stream", "stream_options"])
async def test_input_when_it_decides_what_the_endpoint_does_then_nothing_is_sent(
    key: str, server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    outcome = await sent(server.url, request(artifacts, {"messages": MESSAGES, key: "x"}))

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
    assert server.requests == []


async def test_chat_when_a_picture_is_in_the_input_then_sent_as_a_data_url_and_sound_as_base64(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, openai_replies.COMPLETION))
    picture = await provider_suite.stored(artifacts, provider_suite.picture())
    parts = [
        {"type": "image_url", "image_url": {"url": picture.as_json()}},
        {"type": "input_audio", "input_audio": {"data": picture.as_json(), "format": "wav"}},
    ]

    await sent(server.url, request(artifacts, {"messages": [{"role": "user", "content": parts}]}))

    written = server.requests[0].json["messages"][0]["content"]
    encoded = base64.b64encode(provider_suite.picture()).decode()
    assert written[0]["image_url"]["url"] == f"data:image/png;base64,{encoded}"
    assert written[1]["input_audio"]["data"] == encoded


async def test_chat_when_the_input_is_over_the_inline_cap_then_too_large_and_nothing_is_read(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    huge = artifact.Artifact(sha256="0" * 64, media_type="image/png", size_bytes=60_000_000)

    outcome = await sent(server.url, request(artifacts, {"messages": [{"image": huge.as_json()}]}))

    assert provider_suite.fault_of(outcome) is faults.Fault.TOO_LARGE
    assert server.requests == []


async def test_stream_when_it_ends_then_assembled_and_each_piece_passed_on(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a'}}
    more = {"index": 0, "function": {"arguments": '":1}'}}
    pieces = [
        openai_replies.chunk({"role": "assistant", "content": ""}),
        openai_replies.chunk({"content": "A hand"}, logprobs={"content": [{"token": "A"}], "refusal": None}),
        openai_replies.chunk({"content": " on marble."}, logprobs={"content": [{"token": "hand"}]}),
        openai_replies.chunk({"tool_calls": [call]}, index=1),
        openai_replies.chunk({"tool_calls": [more]}, index=1),
        {**openai_replies.stopped(), "service_tier": "default"},
        openai_replies.stopped(index=1),
        {**openai_replies.chunk({}), "choices": [], "usage": openai_replies.USAGE},
    ]
    server.script(openai_replies.stream(*pieces, "[DONE]"))
    heard: list[Any] = []

    outcome = await sent(
        server.url, request(artifacts, {"messages": MESSAGES}, on_delta=heard.append), list_prices=True
    )

    assert isinstance(outcome, settle.Completed), outcome
    whole = outcome.output
    assert (whole["object"], whole["usage"], whole["service_tier"]) == (
        "chat.completion",
        openai_replies.USAGE,
        "default",
    )
    assert whole["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "A hand on marble."},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "A"}, {"token": "hand"}]},
        },
        {
            "index": 1,
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
                ],
            },
            "finish_reason": "stop",
        },
    ]
    assert outcome.cost_nano_usd == 240_000
    assert heard == pieces
    assert server.requests[0].json["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    "events",
    [
        [openai_replies.chunk({"content": "hi"})],
        [openai_replies.chunk({"content": "hi"}), openai_replies.error("server_error", "broke")],
        [openai_replies.chunk({"content": "hi"}), "{no json"],
        ["[DONE]"],
        [openai_replies.chunk({"content": "hi"}, index=10_000), "[DONE]"],
        [openai_replies.chunk({"content": "hi"}), "[DONE]"],
        [openai_replies.stopped(), openai_replies.chunk({"content": "hi"}, index=1), "[DONE]"],
        [
            openai_replies.chunk({"content": "hi"}),
            {"error": "the upstream is gone"},
            openai_replies.stopped(),
            "[DONE]",
        ],
    ],
    ids=[
        "no end",
        "error inside",
        "no JSON",
        "no choice",
        "wrong index",
        "no reason to stop",
        "one choice cut",
        "error in words",
    ],
)
@pytest.mark.parametrize("is_paid", [True, False])
async def test_stream_when_it_does_not_end_well_then_never_done(
    is_paid: bool,
    events: list[Any],
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(openai_replies.stream(*events))

    outcome = await sent(
        server.url, request(artifacts, {"messages": MESSAGES}, on_delta=lambda piece: None), paid=is_paid
    )

    assert provider_suite.fault_of(outcome) is (None if is_paid else faults.Fault.PARTIAL)
    assert len(server.requests) == 1


async def test_stream_when_the_server_knows_none_then_the_plain_answer_counts(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, openai_replies.COMPLETION))

    outcome = await sent(server.url, request(artifacts, {"messages": MESSAGES}, on_delta=lambda piece: None))

    assert isinstance(outcome, settle.Completed)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (429, "insufficient_quota", faults.Fault.REJECTED_TRANSIENT),
        (401, "invalid_api_key", faults.Fault.REJECTED_TRANSIENT),
        (404, "model_not_found", faults.Fault.REJECTED_PERMANENT),
        (413, None, faults.Fault.TOO_LARGE),
    ],
)
async def test_refusal_when_named_then_its_row(
    status: int,
    code: str | None,
    expected: faults.Fault,
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(scripted_server.json_reply(status, openai_replies.error(code, "no")))

    assert provider_suite.fault_of(await sent(server.url, request(artifacts, {"messages": MESSAGES}))) is expected


def test_callback_when_signed_then_names_the_job_by_its_handle() -> None:
    adapter = made("https://gateway.example/v1", operation="batch")
    body = b'{"id":"evt_1","type":"batch.completed","data":{"id":"batch_1"}}'
    headers = signing.sign(secret=HOOK, message_id="wh_1", timestamp_s=1_000, body=body)

    event = adapter.verify_callback(headers=headers, body=body, now_s=1_010.0)

    assert event == provider.CallbackEvent(
        event_id="wh_1", is_verified=True, handle="https://gateway.example/v1/batches/batch_1"
    )
    with pytest.raises(provider.CallbackRefused, match="mismatch"):
        adapter.verify_callback(headers=headers, body=body + b" ", now_s=1_010.0)
    assert adapter.capabilities.idempotency is attempt.IdempotencyClass.B


@pytest.mark.parametrize(
    "options",
    [{"operation": "poetry"}, {"service_tiers": {"urgent": "x"}}, {"batch_endpoint": "/v1/x"}, {"organisation": "x"}],
)
def test_options_when_wrong_then_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(registry.EndpointRefused, match=next(iter(options))):
        made("http://127.0.0.1:9/v1", **options)
