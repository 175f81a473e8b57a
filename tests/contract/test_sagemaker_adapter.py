"""The ``sagemaker`` adapter keeps the promises of the port, in both its modes."""

import base64
import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from heddle.config import deployment
from heddle.core import artifact, attempt, faults, settle
from heddle.ports import provider
from heddle.providers import registry
from tests.contract import provider_suite, scripted_server

REGION = "eu-central-1"
SIGNED = (
    rf"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/[0-9]{{8}}/{REGION}/sagemaker/aws4_request, "
    r"SignedHeaders=[a-z0-9;\-]+, Signature=[0-9a-f]{64}"
)
OUTPUT = "/acme/out/heddle/att_0190/output"
FAILURE = "/acme/failed/heddle/att_0190/output"


def error(status: int, kind: str, **more: object) -> scripted_server.Answer:
    body = {"Message": "as recorded", **more}
    return scripted_server.json_reply(status, body, headers={"x-amzn-errortype": f"{kind}:http://internal/"})


def missing(status: int = 404) -> scripted_server.Answer:
    return scripted_server.reply(status, b"<Error><Code>NoSuchKey</Code></Error>", media_type="application/xml")


def head(status: int) -> scripted_server.Answer:
    return scripted_server.reply(status, b"", media_type="application/xml")


class SageMakerReplies(provider_suite.ProviderSuite):
    adapter = "sagemaker"
    credential = ("authorization", SIGNED)
    secret: ClassVar[str] = f"AKIDEXAMPLE:{provider_suite.SECRET}"

    def make(self, url: str) -> provider.Provider:
        options = {"region": REGION, "endpoint_name": "relight", "s3_url": url, **self.options}
        endpoint = deployment.Endpoint(
            name="there", adapter="sagemaker", url=url, scopes=("there",), secret="env:KEYS", options=options
        )
        return registry.build(endpoint, {"KEYS": self.secret})

    @pytest.mark.parametrize(
        ("answer", "fault"),
        [
            (error(400, "ValidationError"), faults.Fault.REJECTED_PERMANENT),
            (error(400, "ThrottlingException"), faults.Fault.THROTTLED),
            (error(429, "ModelNotReadyException"), faults.Fault.THROTTLED),
            (error(403, "ExpiredTokenException"), faults.Fault.REJECTED_TRANSIENT),
            (error(424, "ModelError", OriginalStatusCode=400), faults.Fault.REJECTED_PERMANENT),
        ],
        ids=range(5),
    )
    async def test_send_when_refused_then_a_fault_by_type(
        self,
        answer: scripted_server.Answer,
        fault: faults.Fault,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        outcome = await adapter_under_test.send(request_of)

        assert provider_suite.fault_of(outcome) is fault
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            error(424, "ModelError", OriginalStatusCode=500),
            error(424, "ModelError", OriginalStatusCode=0),
            error(500, "InternalFailure"),
            error(530, "InternalDependencyException"),
        ],
        ids=range(4),
    )
    async def test_send_when_the_model_may_have_run_then_unproven(
        self,
        answer: scripted_server.Answer,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        outcome = await adapter_under_test.send(request_of)

        self.check_unproven(adapter_under_test, outcome)
        assert len(server.requests) == 1


class TestRealTime(SageMakerReplies):
    call = ("POST", "/endpoints/relight/invocations")
    options: ClassVar[Mapping[str, Any]] = {"target_variant": "blue", "output_artifacts": ["/image"]}

    def replies(self) -> provider_suite.Replies:
        image = base64.b64encode(provider_suite.picture()).decode()
        return provider_suite.Replies(
            done=scripted_server.json_reply(200, {"image": image}),
            refused=error(400, "ValidationError"),
            limited=scripted_server.json_reply(
                400, {}, headers={"x-amzn-errortype": "ThrottlingException", "Retry-After": "7"}
            ),
            ambiguous=error(503, "ServiceUnavailable"),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(200, b'{"image": "abcdefghijklmnop"}'),
            too_large=scripted_server.reply(200, b'{"a": "' + b"x" * (32 * 1024**2) + b'"}'),
            echoing=scripted_server.reply(403, f"bad {provider_suite.SECRET}".encode(), media_type="text/plain"),
        )

    async def test_send_when_answered_then_the_medium_is_kept_and_the_headers_were_signed(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Completed), outcome
        assert artifact.is_artifact(outcome.output["image"])
        headers = server.requests[0].headers
        signed = re.search(r"SignedHeaders=([a-z0-9;\-]+)", headers["authorization"])
        assert signed is not None
        assert set(signed[1].split(";")) >= {"host", "x-amz-date", "x-amzn-sagemaker-inference-id", "content-type"}
        assert headers["x-amzn-sagemaker-inference-id"] == "att_0190"
        assert headers["x-amzn-sagemaker-target-variant"] == "blue"
        assert adapter_under_test.capabilities.idempotency is attempt.IdempotencyClass.C


class TestRealTimeFree(TestRealTime):
    options: ClassVar[Mapping[str, Any]] = {**TestRealTime.options, "paid": False}


class TestRealTimeMedium(SageMakerReplies):
    call = ("POST", "/endpoints/relight/invocations")
    options: ClassVar[Mapping[str, Any]] = {"response": "artifact", "output": "/image", "accept": "image/png"}
    malformed_outcome = None
    too_large_outcome = faults.Fault.TOO_LARGE

    def replies(self) -> provider_suite.Replies:
        picture = provider_suite.picture()
        return dataclasses.replace(
            TestRealTime().replies(),
            done=scripted_server.reply(200, picture, media_type="image/png"),
            cut_inside=scripted_server.cut_inside(200, picture, media_type="image/png"),
            too_large=scripted_server.reply(200, b"\x89PNG" + b"x" * 1_000_001, media_type="image/png"),
        )


class TestAsynchronous(SageMakerReplies):
    call = ("POST", "/endpoints/relight/async-invocations")
    done_outcome = settle.Accepted
    malformed_outcome = None
    options: ClassVar[Mapping[str, Any]] = {
        "mode": "async",
        "output_path": "s3://acme/out",
        "failure_path": "s3://acme/failed/",
        "input_path": "s3://acme/in",
        "output_artifacts": ["/image"],
    }
    places: ClassVar[Mapping[str, str]] = {
        "X-Amzn-SageMaker-OutputLocation": f"s3:/{OUTPUT}",
        "X-Amzn-SageMaker-FailureLocation": f"s3:/{FAILURE}",
    }
    handle: ClassVar[str] = json.dumps({"output": f"s3:/{OUTPUT}", "failure": f"s3:/{FAILURE}"})

    def replies(self) -> provider_suite.Replies:
        accepted = b'{"InferenceId": "att_0190"}'
        return dataclasses.replace(
            TestRealTime().replies(),
            done=scripted_server.json_reply(202, {"InferenceId": "att_0190"}, headers=self.places),
            cut_inside=scripted_server.cut_inside(202, accepted),
            too_large=provider_suite.over_cap(),
        )

    async def test_send_when_accepted_then_the_place_of_the_output_follows_from_the_attempt(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Accepted)
        assert json.loads(outcome.handle) == json.loads(self.handle)
        headers = server.requests[0].headers
        assert {
            name: headers[f"x-amzn-sagemaker-{name}"]
            for name in (
                "inference-id",
                "s3outputpathextension",
                "filename",
                "requestttlseconds",
                "invocationtimeoutseconds",
            )
        } == {
            "inference-id": "att_0190",
            "s3outputpathextension": "heddle/att_0190",
            "filename": "output",
            "requestttlseconds": "60",
            "invocationtimeoutseconds": "20",
        }
        assert server.requests[0].json == {"prompt": "espresso on marble", "seed": 7}

    async def test_send_when_the_request_is_large_then_it_goes_by_way_of_s3(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.reply(200, b""), self.replies().done)
        given = {"text": "x" * 130_000}

        outcome = await adapter_under_test.send(dataclasses.replace(request_of, input=given))

        assert isinstance(outcome, settle.Accepted), outcome
        put, invoked = server.requests
        assert (put.method, put.path, put.json) == ("PUT", "/acme/in/heddle/att_0190/input.json", given)
        assert "/s3/aws4_request" in put.headers["authorization"]
        assert invoked.headers["x-amzn-sagemaker-inputlocation"] == "s3://acme/in/heddle/att_0190/input.json"
        assert invoked.body == b""

    async def test_send_when_the_request_cannot_be_put_then_the_model_is_not_invoked(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(missing(503))

        outcome = await adapter_under_test.send(dataclasses.replace(request_of, input={"text": "x" * 130_000}))

        assert provider_suite.fault_of(outcome) is faults.Fault.NOT_SENT
        assert len(server.requests) == 1

    async def test_poll_when_the_output_lies_there_then_it_is_read_and_its_medium_kept(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(TestRealTime().replies().done)

        outcome = await adapter_under_test.poll(self.handle, request_of)

        assert isinstance(outcome, settle.Completed), outcome
        assert artifact.is_artifact(outcome.output["image"])
        assert scripted_server.paths(server.requests) == [("GET", OUTPUT)]
        assert "/s3/aws4_request" in server.requests[0].headers["authorization"]

    async def test_poll_when_the_failure_lies_there_then_a_fault_that_quotes_it(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(missing(), scripted_server.reply(200, b"CUDA out of memory", media_type="text/plain"))

        outcome = await adapter_under_test.poll(self.handle, request_of)

        assert provider_suite.fault_of(outcome) is faults.Fault.UNCLASSIFIED
        assert "CUDA out of memory" in provider_suite.message_of(outcome)
        assert scripted_server.paths(server.requests) == [("GET", OUTPUT), ("GET", FAILURE)]

    @pytest.mark.parametrize(
        "answers",
        [
            [missing(), missing()],
            [missing(403), missing(403)],
            [missing(503)],
            [scripted_server.cut()],
            [scripted_server.cut_inside(200, b'{"image": "abcdefgh"}')],
            [missing(), scripted_server.cut()],
        ],
        ids=range(6),
    )
    async def test_poll_when_nothing_final_is_told_then_still_running(
        self,
        answers: list[scripted_server.Answer],
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(*answers)

        outcome = await adapter_under_test.poll(self.handle, request_of)

        assert isinstance(outcome, settle.StillRunning), outcome
        assert len(server.requests) == len(answers)

    @pytest.mark.parametrize(
        "handle",
        [
            json.dumps({"output": "s3://elsewhere/x", "failure": "s3://acme/y"}),
            json.dumps({"output": "s3://acme/../x", "failure": "s3://acme/y"}),
            json.dumps({"output": "https://acme/x", "failure": "s3://acme/y"}),
            "[]",
        ],
        ids=range(4),
    )
    async def test_poll_when_the_handle_leads_elsewhere_then_unknown_and_nobody_is_asked(
        self,
        handle: str,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(missing())

        assert isinstance(await adapter_under_test.poll(handle, request_of), settle.Unknown)
        assert server.requests == []

    @pytest.mark.parametrize(
        ("answers", "expected"),
        [
            ([head(200), head(404)], settle.Accepted),
            ([head(404), head(200)], settle.Accepted),
            ([head(404), head(404)], settle.Absent),
            ([head(403), head(403)], settle.Unknown),
            ([head(404), head(503)], settle.Unknown),
            ([scripted_server.cut()], settle.Unknown),
        ],
        ids=range(6),
    )
    async def test_lookup_when_the_answer_was_lost_then_the_places_of_the_attempt_are_looked_at(
        self,
        answers: list[scripted_server.Answer],
        expected: type,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(*answers)

        outcome = await adapter_under_test.lookup(request_of)

        assert type(outcome) is expected, outcome
        assert scripted_server.paths(server.requests) == [("HEAD", OUTPUT), ("HEAD", FAILURE)]

    def test_capabilities_when_asynchronous_then_absence_proves_only_after_a_job_could_have_waited_and_run(
        self,
    ) -> None:
        made = self.make("http://h")

        assert made.capabilities.idempotency is attempt.IdempotencyClass.B
        assert made.capabilities.lookup_bound_s == 60 + 60 + 60
