"""The ``huggingface`` adapter against recorded replies: the suite, loading models, media both ways, token streams."""

import json
import pathlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from heddle.config import deployment
from heddle.core import artifact, faults, identity, settle
from heddle.ports import provider
from heddle.providers import registry
from heddle.store import blobs
from tests.contract import provider_suite, scripted_server, tenant_artifacts

DONE = [{"generated_text": "a cup"}]
WHOLE = {"generated_text": "Hello world", "details": {"finish_reason": "length", "generated_tokens": 2}}


def failed(status: int, kind: str, message: str, **headers: str) -> scripted_server.Answer:
    return scripted_server.json_reply(status, {"error": message, "error_type": kind}, headers=headers)


def loading(estimated_time: object) -> scripted_server.Answer:
    body = {"error": "Model acme/m is currently loading", "estimated_time": estimated_time}
    return scripted_server.json_reply(503, body)


def events(*values: object) -> bytes:
    return b"".join(b"data:" + json.dumps(value).encode() + b"\n\n" for value in values)


def stream(body: bytes) -> scripted_server.Answer:
    return scripted_server.reply(200, body, media_type="text/event-stream")


def token(text: str, **more: object) -> dict[str, Any]:
    told = {"id": 1, "text": text, "logprob": -0.1, "special": False}
    return {"index": 1, "token": told, "generated_text": None, "details": None, **more}


LAST = token("</s>", generated_text="Hello world", details={"input_length": 5, "generated_tokens": 2})
STREAM = events(token("Hello"), token(" world"), LAST)


class HuggingfaceReplies(provider_suite.ProviderSuite):
    adapter = "huggingface"
    call = ("POST", "/")
    done: ClassVar[scripted_server.Answer] = scripted_server.json_reply(200, DONE)
    cut_inside: ClassVar[scripted_server.Answer] = scripted_server.cut_inside(200, json.dumps(DONE).encode())

    def replies(self) -> provider_suite.Replies:
        return provider_suite.Replies(
            done=self.done,
            refused=failed(422, "validation", "Input validation error"),
            limited=failed(429, "overloaded", "Model is overloaded", **{"Retry-After": "7"}),
            ambiguous=scripted_server.json_reply(500, {"error": "something"}),
            malformed=provider_suite.page(),
            cut_inside=self.cut_inside,
            too_large=provider_suite.over_cap(),
            echoing=scripted_server.json_reply(401, {"error": f"bad token {provider_suite.SECRET}"}),
        )


class TestPredict(HuggingfaceReplies):
    options: ClassVar[Mapping[str, Any]] = {"body": {"inputs": "{input.prompt}"}}


class TestPredictPaid(HuggingfaceReplies):
    options: ClassVar[Mapping[str, Any]] = {"paid": True}


class TestGenerate(HuggingfaceReplies):
    options: ClassVar[Mapping[str, Any]] = {"operation": "generate"}
    call = ("POST", "/generate")
    done = scripted_server.json_reply(200, WHOLE)
    cut_inside = scripted_server.cut_inside(200, json.dumps(WHOLE).encode())


class TestGenerateStream(HuggingfaceReplies):
    options: ClassVar[Mapping[str, Any]] = {"operation": "generate_stream"}
    call = ("POST", "/generate_stream")
    done = stream(STREAM)
    cut_inside = scripted_server.cut_inside(200, STREAM, media_type="text/event-stream")


class TestGenerateStreamPaid(TestGenerateStream):
    options: ClassVar[Mapping[str, Any]] = {"operation": "generate_stream", "paid": True}


@pytest.fixture
async def server() -> AsyncIterator[scripted_server.ScriptedServer]:
    async with scripted_server.ScriptedServer() as server:
        yield server


@pytest.fixture
def artifacts(tmp_path: pathlib.Path) -> tenant_artifacts.TenantArtifacts:
    store = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=1_000_000, pixels_max=1_000)
    return tenant_artifacts.TenantArtifacts(store)


def made(url: str, options: Mapping[str, Any]) -> provider.Provider:
    endpoint = deployment.Endpoint(name="there", adapter="huggingface", url=url, scopes=("there",), options=options)
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
    deltas: Deltas | None = None,
    **options: object,
) -> settle.Outcome:
    there = made(url, options)
    outcome = await there.send(
        provider.ProviderRequest(
            attempt_id="att_0190",
            idempotency_key="key_1",
            model="acme/captioner",
            input=given,
            timeout_s=20.0,
            artifacts=artifacts,
            on_delta=deltas,
        )
    )
    await there.close()
    return outcome


@pytest.mark.parametrize(("estimated_time", "waited_s"), [(20.0, 20.0), (2_531.1, 600.0), (0, 0.0)])
@pytest.mark.parametrize("is_paid", [False, True])
async def test_model_when_it_is_loading_then_throttled_for_as_long_and_not_waited_for(
    estimated_time: float,
    waited_s: float,
    is_paid: bool,
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(loading(estimated_time))

    outcome = await send(server.url, artifacts, {"inputs": "x"}, paid=is_paid)

    assert isinstance(outcome, settle.Faulted)
    assert (outcome.fault.fault, outcome.retry_after_s) == (faults.Fault.THROTTLED, waited_s)
    assert outcome.told.retry_after_s == waited_s
    assert server.requests[0].headers["x-wait-for-model"] == "false"


@pytest.mark.parametrize(("is_paid", "expected"), [(False, faults.Fault.REJECTED_TRANSIENT), (True, None)])
async def test_status_503_when_no_estimate_comes_with_it_then_it_proves_nothing(
    is_paid: bool, expected: faults.Fault | None, server: scripted_server.ScriptedServer, artifacts: Any
) -> None:
    server.script(loading("soon"))

    assert provider_suite.fault_of(await send(server.url, artifacts, {"inputs": "x"}, paid=is_paid)) is expected


async def test_medium_when_sent_as_the_body_then_its_bytes_and_type(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, DONE))
    png = provider_suite.picture()
    photo = await provider_suite.stored(artifacts, png)

    outcome = await send(
        server.url,
        artifacts,
        {"photo": photo.as_json()},
        artifacts="body",
        output="/0/generated_text",
        path="/models/{model}",
    )

    assert outcome == settle.Completed(output="a cup")
    (request,) = server.requests
    assert (request.path, request.body) == ("/models/acme/captioner", png)
    assert request.headers["content-type"] == "image/png"


@pytest.mark.parametrize("output", ["", "/image"])
async def test_medium_when_answered_then_stored(
    output: str, server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.reply(200, provider_suite.picture(), media_type="image/png"))

    outcome = await send(server.url, artifacts, {"inputs": "a cup"}, accept="image/png", output=output)

    assert isinstance(outcome, settle.Completed), outcome
    stored = artifact.Artifact.from_json(outcome.output["image"] if output else outcome.output)
    assert stored.media_type == "image/png"
    assert server.requests[0].headers["accept"] == "image/png"


async def test_medium_when_it_is_none_then_bad_output(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.reply(200, b"no picture", media_type="image/png"))

    assert provider_suite.fault_of(await send(server.url, artifacts, {"inputs": "x"})) is faults.Fault.BAD_OUTPUT


async def test_stream_when_followed_then_pieces_are_told_and_the_whole_is_the_result(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    special = token("<s>")
    special["token"]["special"] = True
    server.script(stream(b":keep-alive\n\n" + events(special) + STREAM))
    deltas = Deltas()

    outcome = await send(server.url, artifacts, {"inputs": "x"}, deltas=deltas, operation="generate_stream")

    assert deltas.heard == ["Hello", " world", "</s>"]
    assert isinstance(outcome, settle.Completed)
    assert outcome.output["generated_text"] == "Hello world"
    assert outcome.told.tokens == 7
    assert server.requests[0].headers["accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("body", "free", "paid"),
    [
        (events(token("Hello")), faults.Fault.PARTIAL, None),
        (b"", faults.Fault.PARTIAL, None),
        (
            events(token("Hello"), {"error": "died", "error_type": "generation"}),
            faults.Fault.REJECTED_TRANSIENT,
            faults.Fault.REJECTED_TRANSIENT,
        ),
        (events({"error": "full", "error_type": "overloaded"}), faults.Fault.THROTTLED, faults.Fault.THROTTLED),
        (
            events(token("Hello"), {"error": "?", "error_type": "incomplete_generation"}),
            faults.Fault.PARTIAL,
            faults.Fault.PARTIAL,
        ),
        (events({"error": "new", "error_type": "new"}), faults.Fault.UNCLASSIFIED, faults.Fault.UNCLASSIFIED),
        (events({"index": 1}), faults.Fault.BAD_OUTPUT, faults.Fault.BAD_OUTPUT),
        (b"data: {\n\n", faults.Fault.BAD_OUTPUT, faults.Fault.BAD_OUTPUT),
    ],
    ids=range(8),
)
@pytest.mark.parametrize("is_paid", [False, True])
async def test_stream_when_it_has_no_good_end_then_never_a_result(
    body: bytes,
    free: faults.Fault | None,
    paid: faults.Fault | None,
    is_paid: bool,
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(stream(body))

    outcome = await send(server.url, artifacts, {"inputs": "x"}, operation="generate_stream", paid=is_paid)

    assert provider_suite.fault_of(outcome) is (paid if is_paid else free)
    assert len(server.requests) == 1


async def test_tokens_when_told_in_headers_then_counted(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    headers = {"x-prompt-tokens": "5", "x-generated-tokens": "20"}
    server.script(scripted_server.json_reply(200, WHOLE, headers=headers))

    outcome = await send(server.url, artifacts, {"inputs": "x"}, operation="generate", output="/generated_text")

    assert isinstance(outcome, settle.Completed)
    assert (outcome.output, outcome.told.tokens) == ("Hello world", 25)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (scripted_server.json_reply(200, {"error": "oops"}), faults.Fault.UNCLASSIFIED),
        (scripted_server.json_reply(200, {"text": "Hello"}), faults.Fault.BAD_OUTPUT),
        (failed(424, "generation", "Request failed during generation"), faults.Fault.REJECTED_TRANSIENT),
        (failed(500, "incomplete_generation", "Incomplete generation"), faults.Fault.PARTIAL),
    ],
)
async def test_generate_when_no_text_comes_then_classified(
    answer: scripted_server.Answer, expected: faults.Fault, server: scripted_server.ScriptedServer, artifacts: Any
) -> None:
    server.script(answer)

    outcome = await send(server.url, artifacts, {"inputs": "x"}, operation="generate")

    assert provider_suite.fault_of(outcome) is expected


async def test_check_when_asked_then_the_health_path_or_a_connection(server: scripted_server.ScriptedServer) -> None:
    server.script(failed(503, "healthcheck", "unhealthy"))
    asking, probing = made(server.url, {}), made(server.url, {"health_path": ""})

    troubles = [await asking.check(), await probing.check()]
    await asking.close()
    await probing.close()

    assert "/health answered 503" in (troubles[0] or "")
    assert troubles[1] is None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"operation": "chat"}, "operation"),
        ({"path": "generate"}, "path"),
        ({"artifacts": "body", "operation": "generate"}, "artifacts"),
        ({"artifacts": "body", "body": {}}, "artifacts"),
        ({"headers": {"X-Scale-Up-Timeout": 600}}, "headers.X-Scale-Up-Timeout"),
        ({"accept": "a\nb"}, "headers.Accept"),
        ({"output": "x"}, "output"),
        ({"opration": "predict"}, "opration"),
    ],
    ids=str,
)
def test_options_when_one_is_wrong_then_the_refusal_names_it(options: Mapping[str, Any], named: str) -> None:
    with pytest.raises(registry.EndpointRefused, match=r"\[endpoints.there\]") as refused:
        made("http://h", options)

    assert named in str(refused.value)
