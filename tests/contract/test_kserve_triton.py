"""The ``kserve`` adapter and Triton's extensions: parameters, sequences, BF16, generate and its streams, readiness."""

import asyncio
import json
import pathlib
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from heddle.config import deployment
from heddle.core import faults, identity, run, settle
from heddle.ports import provider
from heddle.providers import registry
from heddle.store import blobs
from tests.contract import provider_suite, scripted_server, tenant_artifacts

FRAME = {"id": "att_0190", "model_name": "llm", "model_version": "1"}
DONE = {**FRAME, "text_output": "Hello world"}
TENSORS = {"id": "att_0190", "outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "data": [0.5]}]}
SEQUENCE = {"id": "session", "start": "is_first", "end": "is_last"}


def events(*values: Mapping[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def stream(body: bytes) -> scripted_server.Answer:
    return scripted_server.reply(200, body, media_type="text/event-stream; charset=utf-8")


STREAM = events({**FRAME, "text_output": "Hello"}, {**FRAME, "text_output": " world", "logprob": 0.5})


class GenerateReplies(provider_suite.ProviderSuite):
    adapter = "kserve"
    done: ClassVar[scripted_server.Answer]
    cut_inside: ClassVar[scripted_server.Answer]

    def replies(self) -> provider_suite.Replies:
        return provider_suite.Replies(
            done=self.done,
            refused=scripted_server.json_reply(400, {"error": "missing tensor text_input"}),
            limited=scripted_server.json_reply(429, {"error": "queue full"}, headers={"Retry-After": "7"}),
            ambiguous=scripted_server.json_reply(500, {"error": "inference failed"}),
            malformed=provider_suite.page(),
            cut_inside=self.cut_inside,
            too_large=scripted_server.reply(200, b"x" * 2_000_000),
            echoing=scripted_server.json_reply(401, {"error": f"bad token {provider_suite.SECRET}"}),
        )


class TestGenerate(GenerateReplies):
    options: ClassVar[Mapping[str, Any]] = {"operation": "generate", "response_bytes_max": 1_000_000}
    call = ("POST", "/v2/models/relight/generate")
    done = scripted_server.json_reply(200, DONE)
    cut_inside = scripted_server.cut_inside(200, json.dumps(DONE).encode())


class TestGenerateStream(GenerateReplies):
    options: ClassVar[Mapping[str, Any]] = {"operation": "generate_stream", "response_bytes_max": 1_000_000}
    call = ("POST", "/v2/models/relight/generate_stream")
    done = stream(STREAM)
    cut_inside = scripted_server.cut_inside(200, STREAM, media_type="text/event-stream")


class TestGenerateStreamPaid(TestGenerateStream):
    options: ClassVar[Mapping[str, Any]] = {**TestGenerateStream.options, "paid": True}


@pytest.fixture
async def server() -> AsyncIterator[scripted_server.ScriptedServer]:
    async with scripted_server.ScriptedServer() as server:
        yield server


@pytest.fixture
def artifacts(tmp_path: pathlib.Path) -> tenant_artifacts.TenantArtifacts:
    store = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=1_000_000, pixels_max=1_000)
    return tenant_artifacts.TenantArtifacts(store)


def made(url: str, options: Mapping[str, Any]) -> provider.Provider:
    endpoint = deployment.Endpoint(name="there", adapter="kserve", url=url, scopes=("there",), options=options)
    return registry.build(endpoint, {})


class Deltas:
    """Listen to the pieces of one answer."""

    def __init__(self) -> None:
        self.heard: list[identity.JsonValue] = []

    def __call__(self, piece: identity.JsonValue) -> None:
        self.heard.append(piece)


async def send(
    url: str,
    artifacts: provider.ArtifactReader,
    given: dict[str, Any],
    /,
    *,
    priority: run.Priority = run.Priority.STANDARD,
    deltas: Deltas | None = None,
    **options: object,
) -> settle.Outcome:
    there = made(url, options)
    outcome = await there.send(
        provider.ProviderRequest(
            attempt_id="att_0190",
            idempotency_key="key_1",
            model="llm",
            input=given,
            timeout_s=20.0,
            artifacts=artifacts,
            priority=priority,
            on_delta=deltas,
        )
    )
    await there.close()
    return outcome


# Parameters


async def test_parameters_when_configured_then_class_and_time_go_out_as_triton_reads_them(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, TENSORS))

    await send(
        server.url,
        artifacts,
        {"x": 1},
        priority=run.Priority.INTERACTIVE,
        binary=False,
        parameters={"threshold": 0.5, "is_fast": True},
        priorities={"interactive": 1, "batch": 3},
        send_timeout=True,
    )

    assert server.requests[0].json["parameters"] == {
        "threshold": 0.5,
        "is_fast": True,
        "priority": 1,
        "timeout": 20_000_000,
    }


async def test_parameters_when_none_are_configured_then_the_body_is_as_the_protocol_has_it(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, TENSORS))

    await send(server.url, artifacts, {"x": 1}, binary=False, priorities={"batch": 3})

    assert "parameters" not in server.requests[0].json


async def test_sequence_when_configured_then_its_inputs_are_parameters_and_no_tensors(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, TENSORS))
    given = {"x": 1, "session": 2**63, "is_first": True, "is_last": None}

    await send(server.url, artifacts, given, binary=False, sequence=SEQUENCE, paid=True)

    body = server.requests[0].json
    assert [tensor["name"] for tensor in body["inputs"]] == ["x"]
    assert body["parameters"] == {"sequence_id": 2**63, "sequence_start": True, "sequence_end": False}


@pytest.mark.parametrize(
    "given",
    [{}, {"session": 0}, {"session": ""}, {"session": 1.5}, {"session": True}, {"session": "a", "is_first": 1}],
    ids=str,
)
async def test_sequence_when_its_id_is_none_then_refused_and_nothing_sent(
    given: dict[str, Any], server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    outcome = await send(server.url, artifacts, {"x": 1, **given}, sequence=SEQUENCE, paid=True)

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
    assert server.requests == []


@pytest.mark.parametrize(
    "answer", [scripted_server.cut(), scripted_server.json_reply(503, {"error": "Request timeout expired"})], ids=[1, 2]
)
async def test_sequence_when_an_answer_proves_nothing_then_unknown_and_not_repeated(
    answer: scripted_server.Answer, server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(answer)

    outcome = await send(server.url, artifacts, {"x": 1, "session": "a"}, sequence=SEQUENCE, paid=True)

    assert isinstance(outcome, settle.Unknown)
    assert len(server.requests) == 1


async def test_bf16_when_sent_and_answered_then_rounded_to_even_and_refused_in_json(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    head = json.dumps(
        {
            "id": "att_0190",
            "outputs": [
                {"name": "y", "shape": [2], "datatype": "BF16", "parameters": {"binary_data_size": 4}},
            ],
        }
    ).encode()
    server.script(
        scripted_server.reply(
            200,
            head + struct.pack("<2H", 0x3F80, 0xC000),
            media_type="application/octet-stream",
            headers={"Inference-Header-Content-Length": str(len(head))},
        )
    )
    inputs = {"x": {"datatype": "BF16"}}

    outcome = await send(server.url, artifacts, {"x": [1.0, 1.00390625, 1.01171875, -2.0]}, inputs=inputs)
    refused = await send(server.url, artifacts, {"x": 1.0}, inputs=inputs, binary=False)

    assert outcome == settle.Completed(output={"y": [1.0, -2.0]})
    assert server.requests[0].body.endswith(struct.pack("<4H", 0x3F80, 0x3F80, 0x3F82, 0xC000))
    assert provider_suite.fault_of(refused) is faults.Fault.REJECTED_PERMANENT
    assert len(server.requests) == 1


# Texts


async def test_generate_when_sent_then_the_input_is_the_body_and_its_parameters_add_up(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, DONE))
    given = {"prompt": "Hi", "parameters": {"temperature": 0}, "stop": None}

    outcome = await send(
        server.url,
        artifacts,
        given,
        operation="generate",
        inputs={"prompt": {"tensor": "text_input"}},
        outputs={"text_output": "text"},
        parameters={"max_tokens": 64},
    )

    assert outcome == settle.Completed(output={"text": "Hello world"})
    assert server.requests[0].json == {
        "id": "att_0190",
        "text_input": "Hi",
        "parameters": {"max_tokens": 64, "temperature": 0},
    }


@pytest.mark.parametrize(
    ("text", "second", "heard"),
    [("piece", " world", ["Hello", " world"]), ("whole", "Hello world", ["Hello", " world"])],
)
async def test_stream_when_followed_then_texts_grow_and_pieces_are_told(
    text: str,
    second: str,
    heard: list[str],
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(stream(events({**FRAME, "text_output": "Hello"}, {**FRAME, "text_output": second, "logprob": 0.5})))
    deltas = Deltas()

    outcome = await send(
        server.url, artifacts, {"text_input": "x"}, deltas=deltas, operation="generate_stream", stream_text=text
    )

    assert outcome == settle.Completed(output={"text_output": "Hello world", "logprob": 0.5})
    assert deltas.heard == heard


@pytest.mark.parametrize(
    ("body", "free", "paid"),
    [
        (
            events({**FRAME, "text_output": "Hello"}, {"error": "out of memory"}),
            faults.Fault.PARTIAL,
            faults.Fault.PARTIAL,
        ),
        (events({"error": "out of memory"}), faults.Fault.PARTIAL, faults.Fault.PARTIAL),
        (b"", faults.Fault.PARTIAL, None),
        (b"data: {\n\n", faults.Fault.BAD_OUTPUT, faults.Fault.BAD_OUTPUT),
        (events({**FRAME, "id": "att_other", "text_output": "x"}), faults.Fault.BAD_OUTPUT, faults.Fault.BAD_OUTPUT),
    ],
    ids=range(5),
)
@pytest.mark.parametrize("is_paid", [False, True])
async def test_stream_when_it_has_no_good_end_then_never_a_result(
    body: bytes,
    free: faults.Fault,
    paid: faults.Fault | None,
    is_paid: bool,
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(stream(body))

    outcome = await send(server.url, artifacts, {"text_input": "x"}, operation="generate_stream", paid=is_paid)

    assert provider_suite.fault_of(outcome) is (paid if is_paid else free)


async def test_stream_when_nothing_marks_its_end_then_partial(artifacts: tenant_artifacts.TenantArtifacts) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + STREAM)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        outcome = await send(url, artifacts, {"text_input": "x"}, operation="generate_stream")

    assert provider_suite.fault_of(outcome) is faults.Fault.PARTIAL
    assert "nothing says that it is whole" in provider_suite.message_of(outcome)


# Readiness


async def test_check_when_a_named_model_is_not_ready_then_named_with_the_servers_reason(
    server: scripted_server.ScriptedServer,
) -> None:
    ready = scripted_server.reply(200, b"", media_type="text/plain")
    index = [{"name": "llm", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}, {"name": "other"}]
    server.script(ready, ready, scripted_server.reply(400, b""), scripted_server.json_reply(200, index))
    there = made(server.url, {"models": ["segmenter", "llm"]})

    trouble = await there.check()
    await there.close()

    assert trouble == "/v2/models/llm/ready answered 400: (empty body) (UNAVAILABLE unloaded)"
    assert [request.path for request in server.requests] == [
        "/v2/health/ready",
        "/v2/models/segmenter/ready",
        "/v2/models/llm/ready",
        "/v2/repository/index",
    ]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"parameters": {"priority": 1}}, "parameters.priority"),
        ({"parameters": {"triton_x": 1}}, "parameters.triton_x"),
        ({"parameters": {"x": [1]}}, "parameters.x"),
        ({"priorities": {"urgent": 1}}, "priorities.urgent"),
        ({"priorities": {"batch": 0}}, "priorities.batch"),
        ({"sequence": {"id": "a"}, "paid": True}, "sequence"),
        ({"sequence": SEQUENCE}, "paid = true"),
        ({"operation": "generate", "send_timeout": True}, "send_timeout"),
        ({"operation": "generate", "output_media": "image/png"}, "output_media"),
        ({"operation": "explain"}, "operation"),
        ({"models": ["m"] * 65}, "models"),
    ],
    ids=str,
)
def test_options_when_one_is_wrong_then_the_refusal_names_it(options: Mapping[str, Any], named: str) -> None:
    with pytest.raises(registry.EndpointRefused, match=r"\[endpoints.there\]") as refused:
        made("http://h", options)

    assert named in str(refused.value)
