"""The ``http`` adapter keeps the promises of the port, and its options do what its README says."""

import base64
import json
import pathlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from heddle.config import deployment
from heddle.core import artifact, attempt, faults, settle
from heddle.core.policy import told
from heddle.ports import provider
from heddle.providers import registry
from heddle.store import blobs
from tests.contract import provider_suite, scripted_server, tenant_artifacts

RETRY_AFTER = {"Retry-After": "7"}


class HttpReplies(provider_suite.ProviderSuite):
    adapter = "http"
    call = ("POST", "/v1/images")

    def replies(self) -> provider_suite.Replies:
        return provider_suite.Replies(
            done=scripted_server.json_reply(200, {"image": "abc", "usage": {"cost_usd": "0.0125"}}),
            refused=scripted_server.json_reply(400, {"error": {"code": "bad_prompt", "message": "no"}}),
            limited=scripted_server.json_reply(429, {"error": {"code": "rate"}}, headers=RETRY_AFTER),
            ambiguous=scripted_server.json_reply(502, {"error": {"message": "upstream"}}),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(200, b'{"image": "abcdefghijklmnopqrstuvwxyz"}'),
            too_large=provider_suite.over_cap(),
            echoing=scripted_server.reply(
                400, f"bad key {provider_suite.SECRET} given".encode(), media_type="text/plain"
            ),
        )


class TestFreeHttp(HttpReplies):
    options: ClassVar[Mapping[str, Any]] = {"path": "/v1/images"}


class TestPaidHttp(HttpReplies):
    options: ClassVar[Mapping[str, Any]] = {"path": "/v1/images", "paid": True}


class TestPaidHttpWithKey(HttpReplies):
    options: ClassVar[Mapping[str, Any]] = {"path": "/v1/images", "paid": True, "idempotency_header": "Idempotency-Key"}

    async def test_send_when_a_key_is_offered_then_it_is_class_a_and_sent(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        await adapter_under_test.send(request_of)

        assert adapter_under_test.capabilities.idempotency is attempt.IdempotencyClass.A
        assert server.requests[0].headers["idempotency-key"] == "key_0190"

    async def test_send_when_the_first_send_is_still_at_work_then_unknown_and_no_refusal(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        conflict = {"error": {"code": "idempotency_key_in_use", "message": "a request under this key is in progress"}}
        server.script(scripted_server.cut(), scripted_server.json_reply(409, conflict))

        outcomes = [await adapter_under_test.send(request_of) for _ in range(2)]

        assert [type(each) for each in outcomes] == [settle.Unknown, settle.Unknown]

    @pytest.mark.parametrize(
        ("status", "is_of_this_send"),
        [(307, True), (400, False), (401, True), (403, True), (404, True), (405, True), (422, False), (501, True)],
    )
    async def test_send_when_refused_then_told_whether_the_request_was_judged_or_this_send_of_it(
        self,
        status: int,
        is_of_this_send: bool,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(status, {"error": {"code": "no"}}))

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Faulted), outcome
        assert outcome.is_of_this_send == is_of_this_send


@pytest.fixture
async def server() -> AsyncIterator[scripted_server.ScriptedServer]:
    async with scripted_server.ScriptedServer() as server:
        yield server


@pytest.fixture
def artifacts(tmp_path: pathlib.Path) -> tenant_artifacts.TenantArtifacts:
    store = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=1_000_000, pixels_max=1_000)
    return tenant_artifacts.TenantArtifacts(store)


async def send(
    url: str, artifacts: provider.ArtifactReader, given: dict[str, Any], /, **options: object
) -> settle.Outcome:
    endpoint = deployment.Endpoint(
        name="there", adapter="http", url=url, scopes=("there",), secret="env:KEY", options=options
    )
    made = registry.build(endpoint, {"KEY": "opensesame"})
    outcome = await made.send(
        provider.ProviderRequest(
            attempt_id="att_1",
            idempotency_key="key_1",
            model="relight/v2",
            input=given,
            timeout_s=20.0,
            artifacts=artifacts,
        )
    )
    await made.close()
    return outcome


async def test_body_when_templated_then_filled_and_optional_parts_left_out(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, {"data": [{"text": "hi"}]}))
    body = {"model": "{model}", "prompt": "{input.scene.name}", "seed": "{input.seed?}", "tags": ["{input.tag?}", "x"]}

    outcome = await send(
        server.url,
        artifacts,
        {"scene": {"name": "dusk"}},
        method="PUT",
        path="/m/{model}/run",
        headers={"X-Key": "Key {secret}"},
        body=body,
        output="/data/0/text",
    )

    assert outcome == settle.Completed(output="hi")
    (request,) = server.requests
    assert (request.method, request.path) == ("PUT", "/m/relight%2Fv2/run")
    assert request.headers["x-key"] == "Key opensesame"
    assert "authorization" not in request.headers
    assert request.json == {"model": "relight/v2", "prompt": "dusk", "tags": ["x"]}


async def test_body_when_the_input_lacks_a_part_then_rejected_and_nothing_sent(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    outcome = await send(server.url, artifacts, {}, body={"prompt": "{input.scene}"})

    assert isinstance(outcome, settle.Faulted)
    assert outcome.fault.fault is faults.Fault.REJECTED_PERMANENT
    assert "'scene'" in outcome.fault.message
    assert server.requests == []


@pytest.mark.parametrize(("form", "prefix"), [("base64", ""), ("data_url", "data:image/png;base64,")])
async def test_artifacts_when_sent_then_in_the_form_configured(
    form: str, prefix: str, server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, {}))
    picture = provider_suite.picture()
    photo = await provider_suite.stored(artifacts, picture)

    await send(server.url, artifacts, {"photos": [photo.as_json()]}, artifacts=form)

    assert server.requests[0].json == {"photos": [prefix + base64.b64encode(picture).decode()]}


async def test_artifact_when_it_is_the_body_then_sent_raw_and_the_answer_stored(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    picture, answer = provider_suite.picture(), provider_suite.picture("image/jpeg")
    server.script(scripted_server.reply(200, answer, media_type="image/jpeg"))
    photo = await provider_suite.stored(artifacts, picture)

    outcome = await send(
        server.url, artifacts, {"photo": photo.as_json()}, artifacts="body", response="artifact", output="/image"
    )

    assert isinstance(outcome, settle.Completed)
    result = artifact.Artifact.from_json(outcome.output["image"])
    assert await artifacts.read(result) == answer
    assert server.requests[0].body == picture
    assert server.requests[0].headers["content-type"] == "image/png"


async def test_artifact_when_missing_then_rejected_and_nothing_sent(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    absent = artifact.Artifact(sha256="0" * 64, media_type="image/png", size_bytes=1)

    outcome = await send(server.url, artifacts, {"photo": absent.as_json()})

    assert isinstance(outcome, settle.Faulted)
    assert outcome.fault.fault is faults.Fault.REJECTED_PERMANENT
    assert server.requests == []


async def test_output_artifacts_when_named_then_stored_and_the_cost_read(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    picture = provider_suite.picture()
    value = {"data": [{"b64_json": base64.b64encode(picture).decode()}], "usage": {"usd": 0.0125}}
    server.script(scripted_server.json_reply(200, value))

    outcome = await send(
        server.url, artifacts, {}, output="/data", output_artifacts=["/0/b64_json"], cost_usd="/usage/usd"
    )

    assert isinstance(outcome, settle.Completed)
    assert outcome.cost_nano_usd == 12_500_000
    assert await artifacts.read(artifact.Artifact.from_json(outcome.output[0]["b64_json"])) == picture


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (scripted_server.reply(200, b"not a picture", media_type="image/png"), faults.Fault.BAD_OUTPUT),
        (
            scripted_server.reply(200, provider_suite.picture(size_px=(90, 90)), media_type="image/png"),
            faults.Fault.BAD_OUTPUT,
        ),
        (scripted_server.reply(200, b"x" * 1_000_001, media_type="application/octet-stream"), faults.Fault.TOO_LARGE),
        (provider_suite.page(), faults.Fault.BAD_OUTPUT),
    ],
    ids=["no picture", "too many pixels", "too large", "a page"],
)
async def test_medium_when_refused_by_the_storage_then_a_fault(
    answer: scripted_server.Answer,
    fault: faults.Fault,
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(answer)

    outcome = await send(server.url, artifacts, {}, response="artifact")

    assert provider_suite.fault_of(outcome) is fault


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (503, "queue_full", faults.Fault.THROTTLED),
        (503, "other", faults.Fault.REJECTED_TRANSIENT),
        (400, "try_later", faults.Fault.REJECTED_TRANSIENT),
        (400, "other", faults.Fault.REJECTED_PERMANENT),
        (409, "other", faults.Fault.REJECTED_PERMANENT),
        (500, "other", None),
    ],
)
async def test_faults_when_the_endpoint_has_a_table_then_it_goes_first(
    status: int,
    code: str,
    fault: faults.Fault | None,
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(scripted_server.json_reply(status, {"reason": code}))
    table = {"503:queue_full": "throttled", "503": "rejected_transient", "400:try_later": "rejected_transient"}

    outcome = await send(server.url, artifacts, {}, error_code="/reason", faults=table, paid=True)

    assert provider_suite.fault_of(outcome) is fault


@pytest.mark.parametrize(
    "body", [b'{"a": NaN}', b"[" * 100 + b"]" * 100, b"[" * 100_000, b'"\xff"', b"", b"{"], ids=range(6)
)
async def test_json_when_it_is_none_then_bad_output(
    body: bytes, server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.reply(200, body))

    outcome = await send(server.url, artifacts, {})

    assert provider_suite.fault_of(outcome) is faults.Fault.BAD_OUTPUT


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"metod": "POST"}, "metod"),
        ({"method": "GET"}, "POST, PUT, PATCH"),
        ({"path": "v1"}, "path"),
        ({"headers": {"Host": "x"}}, "headers.Host"),
        ({"headers": {"X-A": "a\nb"}}, "headers.X-A"),
        ({"body": {"a": ["{prompt}"]}}, "body.a[0]"),
        ({"output": "data"}, "output"),
        ({"faults": {"99": "throttled"}}, "faults.99"),
        ({"faults": {"503": "budget"}}, "faults.503"),
        ({"paid": "yes"}, "paid"),
        ({"artifacts": "url"}, "base64, data_url, body"),
        ({"idempotency_header": "a b"}, "idempotency_header"),
        ({"response_bytes_max": 1}, "response_bytes_max"),
        ({"artifacts": "body", "body": {}}, "body"),
        ({"response": "artifact", "output": "/a/b"}, "output"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_options_when_one_is_wrong_then_the_refusal_names_endpoint_and_option(
    options: Mapping[str, Any], named: str
) -> None:
    endpoint = deployment.Endpoint(name="there", adapter="http", url="http://h", scopes=("there",), options=options)

    with pytest.raises(registry.EndpointRefused, match=r"\[endpoints.there\]") as refused:
        registry.build(endpoint, {})

    assert named in str(refused.value)


LIMITS = {"x-ratelimit-limit-tokens": "90000", "x-ratelimit-remaining-tokens": "12", "x-ratelimit-reset-tokens": "1m0s"}
TOKENS_TOLD = told.Report(dimension=told.Dimension.TOKENS, limit_per_min=90_000, remaining=12, reset_s=60.0)


async def test_send_when_an_answer_tells_usage_and_limits_then_the_outcome_does(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, {"text": "a", "usage": {"tokens": 321, "images": 2}}, headers=LIMITS))

    outcome = await send(server.url, artifacts, {}, used_tokens="/usage/tokens", used_images="/usage/images")

    assert isinstance(outcome, settle.Completed)
    assert outcome.told == told.Told(reports=(TOKENS_TOLD,), tokens=321, images=2)


@pytest.mark.parametrize("count", [-1, 1.5, True, "many", None])
async def test_send_when_the_usage_is_no_count_then_it_is_not_known(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts, count: object
) -> None:
    server.script(scripted_server.json_reply(200, {"usage": count}))

    outcome = await send(server.url, artifacts, {}, used_tokens="/usage")

    assert isinstance(outcome, settle.Completed)
    assert outcome.told.tokens is None


async def test_send_when_a_refusal_tells_limits_then_the_outcome_does(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(429, {}, headers={**RETRY_AFTER, **LIMITS}))

    outcome = await send(server.url, artifacts, {})

    assert isinstance(outcome, settle.Faulted)
    assert outcome.told == told.Told(reports=(TOKENS_TOLD,), retry_after_s=7.0)
