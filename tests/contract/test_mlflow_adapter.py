"""The ``mlflow`` adapter against recorded replies of the scoring server: the suite, the forms, the errors."""

import json
import pathlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from heddle.config import deployment
from heddle.core import artifact, faults, settle
from heddle.ports import provider
from heddle.providers import registry
from heddle.store import blobs
from tests.contract import provider_suite, scripted_server, tenant_artifacts

DONE = {"predictions": [0.25]}


def error(status: int, code: str, message: str, **headers: str) -> scripted_server.Answer:
    body = {"error_code": code, "message": message, "stack_trace": "Traceback (most recent call last): ..."}
    return scripted_server.json_reply(status, body, headers=headers)


class MlflowReplies(provider_suite.ProviderSuite):
    adapter = "mlflow"
    call = ("POST", "/invocations")

    def replies(self) -> provider_suite.Replies:
        return provider_suite.Replies(
            done=scripted_server.json_reply(200, DONE),
            refused=error(400, "BAD_REQUEST", "Failed to enforce schema of data"),
            limited=error(429, "RESOURCE_EXHAUSTED", "Too many requests", **{"Retry-After": "7"}),
            ambiguous=error(500, "INTERNAL_ERROR", "Internal server error"),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(200, json.dumps(DONE).encode()),
            too_large=provider_suite.over_cap(),
            echoing=error(401, "UNAUTHENTICATED", f"bad token {provider_suite.SECRET}"),
        )


class TestMlflow(MlflowReplies):
    options: ClassVar[Mapping[str, Any]] = {}


class TestMlflowPaid(MlflowReplies):
    options: ClassVar[Mapping[str, Any]] = {"paid": True, "form": "dataframe_split"}


@pytest.fixture
async def server() -> AsyncIterator[scripted_server.ScriptedServer]:
    async with scripted_server.ScriptedServer() as server:
        yield server


@pytest.fixture
def artifacts(tmp_path: pathlib.Path) -> tenant_artifacts.TenantArtifacts:
    store = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=1_000_000, pixels_max=1_000)
    return tenant_artifacts.TenantArtifacts(store)


def made(url: str, options: Mapping[str, Any]) -> provider.Provider:
    endpoint = deployment.Endpoint(name="there", adapter="mlflow", url=url, scopes=("there",), options=options)
    return registry.build(endpoint, {})


async def send(
    url: str, artifacts: provider.ArtifactReader, given: dict[str, Any], /, **options: object
) -> settle.Outcome:
    there = made(url, options)
    outcome = await there.send(
        provider.ProviderRequest(
            attempt_id="att_0190",
            idempotency_key="key_1",
            model="quality",
            input=given,
            timeout_s=20.0,
            artifacts=artifacts,
        )
    )
    await there.close()
    return outcome


ROW = {"width": 640, "brand": "acme"}


@pytest.mark.parametrize(
    ("form", "data", "expected"),
    [
        ("dataframe_split", "{input}", {"columns": ["width", "brand"], "data": [[640, "acme"]]}),
        ("dataframe_split", {"columns": ["w"], "data": [["{input.width}"]]}, {"columns": ["w"], "data": [[640]]}),
        ("dataframe_records", "{input}", [ROW]),
        ("dataframe_records", [{"w": "{input.width}"}, {"w": 1}], [{"w": 640}, {"w": 1}]),
        ("instances", "{input}", [ROW]),
        ("instances", ["{input.width}", 2], [640, 2]),
        ("inputs", "{input}", ROW),
        ("inputs", ["{input.width}"], [640]),
    ],
)
async def test_form_when_sent_then_the_body_has_its_one_key(
    form: str, data: object, expected: object, server: scripted_server.ScriptedServer, artifacts: Any
) -> None:
    server.script(scripted_server.json_reply(200, DONE))

    outcome = await send(server.url, artifacts, dict(ROW), form=form, data=data, params={"at": 0.5})

    assert outcome == settle.Completed(output=[0.25])
    assert server.requests[0].json == {form: expected, "params": {"at": 0.5}}


async def test_llm_when_sent_then_the_body_is_the_data_and_the_answer_is_taken_whole(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    answer = {"choices": [{"message": {"content": "Hello"}}], "usage": {"total_tokens": 12}}
    server.script(scripted_server.json_reply(200, answer))
    given = {"messages": [{"role": "user", "content": "Hi"}]}

    outcome = await send(
        server.url, artifacts, given, form="llm", output="/choices/0/message/content", used_tokens="/usage/total_tokens"
    )

    assert isinstance(outcome, settle.Completed)
    assert (outcome.output, outcome.told.tokens) == ("Hello", 12)
    assert server.requests[0].json == given


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"form": "llm"}, {"text": "Hi"}),
        ({"form": "dataframe_records", "data": [1]}, {}),
        ({"form": "dataframe_records", "data": [{"a": 1}, {"b": 1}]}, {}),
        ({"form": "dataframe_split", "data": []}, {}),
        ({"form": "inputs", "params": "{input.a}"}, {"a": 1}),
        ({"data": "{input.nothing}"}, {}),
    ],
    ids=str,
)
async def test_input_when_it_fits_no_form_then_refused_and_nothing_sent(
    options: dict[str, Any], given: dict[str, Any], server: scripted_server.ScriptedServer, artifacts: Any
) -> None:
    outcome = await send(server.url, artifacts, given, **options)

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
    assert server.requests == []


async def test_media_when_sent_and_answered_then_base64_both_ways(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    import base64

    png = provider_suite.picture()
    server.script(scripted_server.json_reply(200, {"predictions": [{"mask": base64.b64encode(png).decode()}]}))
    photo = await provider_suite.stored(artifacts, png)

    outcome = await send(
        server.url,
        artifacts,
        {"photo": photo.as_json()},
        form="dataframe_records",
        output="/0",
        output_artifacts=["/mask"],
    )

    assert isinstance(outcome, settle.Completed)
    assert artifact.Artifact.from_json(outcome.output["mask"]) == photo
    assert server.requests[0].json == {"dataframe_records": [{"photo": base64.b64encode(png).decode()}]}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(503, "TEMPORARILY_UNAVAILABLE", "loading"), faults.Fault.REJECTED_TRANSIENT),
        (error(409, "ABORTED", "aborted"), faults.Fault.REJECTED_TRANSIENT),
        (error(404, "RESOURCE_DOES_NOT_EXIST", "no such endpoint"), faults.Fault.REJECTED_PERMANENT),
        (scripted_server.reply(415, b"only JSON", media_type="text/plain"), faults.Fault.REJECTED_PERMANENT),
        (scripted_server.json_reply(200, {"outputs": [1]}), faults.Fault.BAD_OUTPUT),
        (scripted_server.reply(200, b'{"predictions": [NaN]}'), faults.Fault.BAD_OUTPUT),
        (scripted_server.json_reply(200, {"predictions": {}}), faults.Fault.BAD_OUTPUT),
    ],
)
async def test_answer_when_no_prediction_then_classified_by_status_and_code(
    answer: scripted_server.Answer, expected: faults.Fault, server: scripted_server.ScriptedServer, artifacts: Any
) -> None:
    server.script(answer)

    outcome = await send(server.url, artifacts, {"a": 1}, output="/0")

    assert provider_suite.fault_of(outcome) is expected
    assert len(server.requests) == 1


async def test_check_when_the_model_is_not_loaded_then_says_so(server: scripted_server.ScriptedServer) -> None:
    server.script(scripted_server.reply(404, b"\n"), scripted_server.reply(200, b"\n"))
    there = made(server.url, {})

    troubles = [await there.check(), await there.check()]
    await there.close()

    assert troubles == ["/ping answered 404: ", None]
    assert scripted_server.paths(server.requests) == [("GET", "/ping")] * 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"form": "csv"}, "form"),
        ({"path": "invocations"}, "path"),
        ({"data": "{inputs.x}"}, "data"),
        ({"output": "x"}, "output"),
        ({"output_artifacts": ["x"]}, "output_artifacts"),
        ({"formm": "inputs"}, "formm"),
    ],
    ids=str,
)
def test_options_when_one_is_wrong_then_the_refusal_names_it(options: Mapping[str, Any], named: str) -> None:
    with pytest.raises(registry.EndpointRefused, match=r"\[endpoints.there\]") as refused:
        made("http://h", options)

    assert named in str(refused.value)
