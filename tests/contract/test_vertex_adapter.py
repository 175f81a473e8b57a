"""The ``vertex`` adapter keeps the promises of the port, in both its modes."""

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from heddle.core import artifact, attempt, faults, settle
from heddle.ports import provider
from tests.contract import provider_suite, scripted_server

MODEL = "projects/acme/locations/us-central1/publishers/google/models/veo-3.0"
OPERATION = f"{MODEL}/operations/5f1b"
OF_ENDPOINT = "projects/acme/locations/us-central1/operations/77"


def error(status: int, code: str, **headers: str) -> scripted_server.Answer:
    value = {"error": {"code": status, "message": "as recorded", "status": code}}
    return scripted_server.json_reply(status, value, headers={name.replace("_", "-"): v for name, v in headers.items()})


def operation(name: str = OPERATION, **more: object) -> scripted_server.Answer:
    return scripted_server.json_reply(200, {"name": name, **more})


class VertexReplies(provider_suite.ProviderSuite):
    adapter = "vertex"

    def replies(self) -> provider_suite.Replies:
        return provider_suite.Replies(
            done=operation(),
            refused=error(400, "INVALID_ARGUMENT"),
            limited=error(429, "RESOURCE_EXHAUSTED", Retry_After="7"),
            ambiguous=error(503, "UNAVAILABLE"),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(200, b'{"name": "projects/p/locations/l/operations/1"}'),
            too_large=provider_suite.over_cap(),
            echoing=scripted_server.reply(401, f"bad {provider_suite.SECRET}".encode(), media_type="text/plain"),
        )

    @pytest.mark.parametrize(
        ("answer", "fault"),
        [
            (error(403, "PERMISSION_DENIED"), faults.Fault.REJECTED_TRANSIENT),
            (error(404, "NOT_FOUND"), faults.Fault.REJECTED_TRANSIENT),
            (error(400, "FAILED_PRECONDITION"), faults.Fault.REJECTED_PERMANENT),
            (error(499, "CANCELLED"), None),
            (error(500, "INTERNAL"), None),
            (error(504, "DEADLINE_EXCEEDED"), None),
        ],
        ids=range(6),
    )
    async def test_send_when_refused_then_a_fault_by_the_canonical_code(
        self,
        answer: scripted_server.Answer,
        fault: faults.Fault | None,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        outcome = await adapter_under_test.send(request_of)

        assert provider_suite.fault_of(outcome) is fault
        assert len(server.requests) == 1


class TestPredict(VertexReplies):
    call = ("POST", f"/v1/{MODEL}:predict")
    options: ClassVar[Mapping[str, Any]] = {"resource": MODEL, "output": "/predictions"}

    def replies(self) -> provider_suite.Replies:
        image = base64.b64encode(provider_suite.picture()).decode()
        done = {"predictions": [{"bytesBase64Encoded": image, "mimeType": "image/png"}], "deployedModelId": "1"}
        return dataclasses.replace(
            super().replies(),
            done=scripted_server.json_reply(200, done),
            too_large=scripted_server.reply(200, b'{"a": "' + b"x" * (128 * 1024**2) + b'"}'),
        )

    async def test_send_when_answered_then_media_go_out_and_come_back_as_artifacts(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)
        picture = provider_suite.picture("image/jpeg")
        photo = await provider_suite.stored(request_of.artifacts, picture)
        given = {"prompt": "dusk", "image": photo.as_json()}

        outcome = await adapter_under_test.send(dataclasses.replace(request_of, input=given))

        assert isinstance(outcome, settle.Completed), outcome
        kept = artifact.Artifact.from_json(outcome.output[0])
        assert await request_of.artifacts.read(kept) == provider_suite.picture()
        media = {"bytesBase64Encoded": base64.b64encode(picture).decode(), "mimeType": "image/jpeg"}
        assert server.requests[0].json == {"instances": [{"prompt": "dusk", "image": media}]}
        assert server.requests[0].headers["x-server-timeout"] == "20"
        assert adapter_under_test.capabilities.idempotency is attempt.IdempotencyClass.C


class TestLongRunning(VertexReplies):
    call = ("POST", f"/v1/{MODEL}:predictLongRunning")
    done_outcome = settle.Accepted
    malformed_outcome = None
    options: ClassVar[Mapping[str, Any]] = {
        "mode": "predict_long_running",
        "resource": MODEL,
        "body": {"instances": [{"prompt": "{input.prompt}"}], "parameters": {"durationSeconds": 8}},
        "output": "/videos",
    }

    def make(self, url: str) -> provider.Provider:
        type(self).options = {**self.options, "storage_url": f"{url}/gcs"}
        return super().make(url)

    async def test_send_when_started_then_the_handle_is_the_operations_address(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(operation())

        outcome = await adapter_under_test.send(request_of)

        assert outcome == settle.Accepted(handle=f"{server.url}/v1/{OPERATION}", poll_after_s=5.0)
        assert server.requests[0].json == {
            "instances": [{"prompt": "espresso on marble"}],
            "parameters": {"durationSeconds": 8},
        }

    @pytest.mark.parametrize(
        ("name", "method", "path", "body"),
        [
            (OPERATION, "POST", f"/v1/{MODEL}:fetchPredictOperation", b'{"operationName": "%s"}' % OPERATION.encode()),
            (OF_ENDPOINT, "GET", f"/v1/{OF_ENDPOINT}", b""),
        ],
        ids=["of a model", "of an endpoint"],
    )
    async def test_poll_when_in_progress_then_asked_where_the_operation_is_kept(
        self,
        name: str,
        method: str,
        path: str,
        body: bytes,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(operation(name))

        outcome = await adapter_under_test.poll(f"{server.url}/v1/{name}", request_of)

        assert outcome == settle.StillRunning(poll_after_s=5.0, note="in progress at Vertex AI")
        assert scripted_server.paths(server.requests) == [(method, path)]
        assert server.requests[0].body == body

    async def test_poll_when_done_then_media_inline_and_in_a_bucket_are_kept(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        picture, other = provider_suite.picture(), provider_suite.picture(size_px=(4, 4))
        videos = [
            {"bytesBase64Encoded": base64.b64encode(picture).decode(), "mimeType": "image/png"},
            {"gcsUri": "gs://acme-out/a b/sample_0.png", "mimeType": "image/png"},
        ]
        server.script(
            operation(done=True, response={"@type": "x", "videos": videos, "raiMediaFilteredCount": 0}),
            scripted_server.reply(200, other, media_type="image/png"),
        )

        outcome = await adapter_under_test.poll(f"{server.url}/v1/{OPERATION}", request_of)

        assert isinstance(outcome, settle.Completed), outcome
        kept = [await request_of.artifacts.read(artifact.Artifact.from_json(each)) for each in outcome.output]
        assert kept == [picture, other]
        assert server.requests[1].path == "/gcs/storage/v1/b/acme-out/o/a%20b%2Fsample_0.png?alt=media"
        assert server.requests[1].headers["authorization"] == self.credential[1]

    @pytest.mark.parametrize(
        ("ended", "fault"),
        [
            ({"error": {"code": 1, "message": "cancelled"}}, faults.Fault.CANCELLED),
            ({"error": {"code": 3, "message": "unsafe"}}, faults.Fault.REJECTED_PERMANENT),
            ({"error": {"code": 8, "message": "quota"}}, faults.Fault.THROTTLED),
            ({"error": {"code": 13, "message": "internal"}}, faults.Fault.REJECTED_TRANSIENT),
            ({"error": {"message": "no code"}}, faults.Fault.UNCLASSIFIED),
            ({"response": {"raiMediaFilteredCount": 2}}, faults.Fault.REJECTED_PERMANENT),
            ({"response": {"videos": [{"gcsUri": "s3://elsewhere"}]}}, faults.Fault.BAD_OUTPUT),
            ({"response": {}}, faults.Fault.BAD_OUTPUT),
        ],
        ids=range(8),
    )
    async def test_poll_when_ended_badly_then_faulted_by_its_number(
        self,
        ended: Mapping[str, Any],
        fault: faults.Fault,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(operation(done=True, **ended))

        outcome = await adapter_under_test.poll(f"{server.url}/v1/{OPERATION}", request_of)

        assert provider_suite.fault_of(outcome) is fault
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            scripted_server.cut(),
            scripted_server.garbage(),
            error(500, "INTERNAL"),
            error(401, "UNAUTHENTICATED"),
            error(429, "RESOURCE_EXHAUSTED"),
            provider_suite.page(),
            operation(OF_ENDPOINT, done=True, error={"code": 13}),
        ],
        ids=range(7),
    )
    async def test_poll_when_it_tells_nothing_then_still_running(
        self,
        answer: scripted_server.Answer,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        outcome = await adapter_under_test.poll(f"{server.url}/v1/{OPERATION}", request_of)

        assert isinstance(outcome, settle.StillRunning), outcome
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "handle", [f"https://attacker.example/v1/{OPERATION}", OPERATION, "http://127.0.0.1:1/v1/../x"]
    )
    async def test_poll_when_the_handle_leads_elsewhere_then_unknown_and_nobody_is_asked(
        self,
        handle: str,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(operation())

        assert isinstance(await adapter_under_test.poll(handle, request_of), settle.Unknown)
        assert not await adapter_under_test.cancel(handle, request_of)
        assert server.requests == []

    @pytest.mark.parametrize(
        ("answer", "is_taken"),
        [(scripted_server.json_reply(200, {}), True), (error(501, "UNIMPLEMENTED"), False)],
        ids=range(2),
    )
    async def test_cancel_when_asked_then_tells_whether_it_was_taken(
        self,
        answer: scripted_server.Answer,
        is_taken: bool,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        assert await adapter_under_test.cancel(f"{server.url}/v1/{OPERATION}", request_of) is is_taken
        assert scripted_server.paths(server.requests) == [("POST", f"/v1/{OPERATION}:cancel")]
