"""The ``simulator`` adapter keeps the promises of the port in each idempotency class, against recorded replies."""

import base64
import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from heddle.core import artifact, attempt, faults, settle
from heddle.ports import provider
from heddle.providers import signing
from heddle.providers.simulator import adapter
from tests.contract import provider_suite, scripted_server

CALLBACK_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def job(status: str, **changes: object) -> dict[str, Any]:
    """A job as the simulator showed it on the day of recording."""
    return {
        "id": "job_1f3870be274f6c49b3e31a0c",
        "status": status,
        "model": "relight",
        "client_job_id": None,
        "created_at": "2026-11-21T22:04:05.123Z",
        "price_usd": "0.040000000",
        "urls": {"get": "http://h/v1/jobs/x", "cancel": "http://h/v1/jobs/x/cancel"},
        "result": None,
        "error": None,
        **changes,
    }


JOB_ID = job("queued")["id"]
SUCCEEDED = job(
    "succeeded",
    result={
        "url": "http://elsewhere.example/steal",
        "media_type": "image/png",
        "width": 8,
        "height": 6,
        "seed": 7,
        "cost_usd": "0.040000000",
    },
)


def error(status: int, code: str, **headers: str) -> scripted_server.Answer:
    value = {"error": {"code": code, "message": "as recorded"}}
    return scripted_server.json_reply(status, value, headers={name.replace("_", "-"): v for name, v in headers.items()})


class SimulatorReplies(provider_suite.ProviderSuite):
    adapter = "simulator"
    call = ("POST", "/v1/jobs")
    done_outcome = settle.Accepted
    malformed_outcome = None  # a 2xx may have accepted a job, whatever its body
    too_large_outcome = faults.Fault.TOO_LARGE

    def replies(self) -> provider_suite.Replies:
        queued = json.dumps(job("queued")).encode()
        return provider_suite.Replies(
            done=scripted_server.reply(202, queued),
            refused=error(422, "invalid_input"),
            limited=error(429, "concurrency_limit", Retry_After="7"),
            ambiguous=error(504, "gateway"),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(202, queued),
            too_large=provider_suite.over_cap(),
            echoing=scripted_server.reply(401, f"bad key {provider_suite.SECRET}".encode(), media_type="text/plain"),
        )

    async def test_poll_when_succeeded_then_the_picture_is_fetched_from_the_endpoint_and_stored(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        picture = provider_suite.picture()
        server.script(
            scripted_server.json_reply(200, SUCCEEDED), scripted_server.reply(200, picture, media_type="image/png")
        )

        outcome = await adapter_under_test.poll(JOB_ID, request_of)

        assert isinstance(outcome, settle.Completed)
        assert (outcome.cost_nano_usd, outcome.output["seed"]) == (40_000_000, 7)
        assert await request_of.artifacts.read(artifact.Artifact.from_json(outcome.output["image"])) == picture
        assert scripted_server.paths(server.requests) == [
            ("GET", f"/v1/jobs/{JOB_ID}"),
            ("GET", f"/v1/jobs/{JOB_ID}/result"),
        ]

    @pytest.mark.parametrize(
        "answer",
        [
            scripted_server.cut(),
            scripted_server.cut_inside(200, provider_suite.picture(), media_type="image/png"),
            scripted_server.reply(200, provider_suite.picture()[:-20], media_type="image/png"),
            scripted_server.reply(200, b"", media_type="image/png"),
            error(503, "busy", Retry_After="3"),
            error(404, "not_found"),
        ],
        ids=["cut", "cut inside", "short", "empty", "busy", "not there"],
    )
    async def test_poll_when_the_picture_cannot_be_fetched_then_still_running(
        self,
        answer: scripted_server.Answer,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, SUCCEEDED), answer)

        outcome = await adapter_under_test.poll(JOB_ID, request_of)

        assert isinstance(outcome, settle.StillRunning), outcome
        assert len(server.requests) == 2

    @pytest.mark.parametrize(
        "answer",
        [
            scripted_server.cut(),
            scripted_server.garbage(),
            error(500, "internal_error"),
            error(429, "rate_limited", Retry_After="9"),
            error(401, "unauthorized"),
            provider_suite.page(),
            scripted_server.json_reply(200, job("paused")),
            scripted_server.json_reply(200, {**job("failed"), "id": "job_other"}),
            scripted_server.json_reply(200, job("queued")),
            scripted_server.json_reply(200, job("running")),
        ],
        ids=range(10),
    )
    async def test_poll_when_it_tells_nothing_final_then_still_running(
        self,
        answer: scripted_server.Answer,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        outcome = await adapter_under_test.poll(JOB_ID, request_of)

        assert isinstance(outcome, settle.StillRunning), outcome
        assert outcome.poll_after_s in (1.0, 9.0)
        assert len(server.requests) == 1

    async def test_poll_when_the_job_failed_then_faulted_by_its_code_and_not_billed(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, job("failed", error={"code": "worker_lost", "message": "gone"})))

        outcome = await adapter_under_test.poll(JOB_ID, request_of)

        assert isinstance(outcome, settle.Faulted)
        assert (outcome.fault.fault, outcome.billed_nano_usd) == (faults.Fault.REJECTED_TRANSIENT, 0)

    async def test_poll_when_the_job_was_cancelled_then_cancelled_and_billed(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, job("cancelled")))

        outcome = await adapter_under_test.poll(JOB_ID, request_of)

        assert isinstance(outcome, settle.Faulted)
        assert (outcome.fault.fault, outcome.billed_nano_usd) == (faults.Fault.CANCELLED, 40_000_000)

    async def test_poll_when_the_job_is_gone_then_unknown(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(error(404, "not_found"))

        outcome = await adapter_under_test.poll(JOB_ID, request_of)

        assert isinstance(outcome, settle.Unknown)

    @pytest.mark.parametrize(
        ("answer", "is_stopped"),
        [
            (scripted_server.json_reply(200, job("cancelled")), True),
            (scripted_server.json_reply(200, SUCCEEDED), False),
            (error(404, "not_found"), False),
            (scripted_server.cut(), False),
        ],
    )
    async def test_cancel_when_asked_then_tells_whether_it_stopped(
        self,
        answer: scripted_server.Answer,
        is_stopped: bool,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        assert await adapter_under_test.cancel("job/../1", request_of) is is_stopped
        assert scripted_server.paths(server.requests) == [("POST", "/v1/jobs/job%2F..%2F1/cancel")]


class TestSimulatorA(SimulatorReplies):
    options: ClassVar[Mapping[str, Any]] = {"class": "A"}

    async def test_send_when_repeated_then_the_same_key_and_the_same_bytes(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)
        request = dataclasses.replace(request_of, callback_url="http://127.0.0.1:1/callbacks/there/token")

        await adapter_under_test.send(request)
        await adapter_under_test.send(dataclasses.replace(request, input=dict(reversed(request.input.items()))))

        first, second = server.requests
        assert first.body == second.body
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == "key_0190"
        assert first.json["webhook"] == request.callback_url
        assert "client_job_id" not in first.json

    async def test_send_when_the_server_failed_then_unknown_since_an_earlier_send_may_have_been_taken(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(error(500, "internal_error"))

        assert isinstance(await adapter_under_test.send(request_of), settle.Unknown)

    async def test_send_when_the_job_is_over_already_then_polled_at_once(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(202, SUCCEEDED, headers={"Idempotent-Replayed": "true"}))

        assert await adapter_under_test.send(request_of) == settle.Accepted(handle=JOB_ID, poll_after_s=0.0)

    async def test_lookup_when_not_offered_then_unknown(
        self, adapter_under_test: provider.Provider, request_of: provider.ProviderRequest
    ) -> None:
        assert isinstance(await adapter_under_test.lookup(request_of), settle.Unknown)
        assert not adapter_under_test.capabilities.has_lookup


class TestSimulatorB(SimulatorReplies):
    options: ClassVar[Mapping[str, Any]] = {"class": "B", "lookup_bound_s": 3}

    async def test_send_when_of_class_b_then_names_the_job_and_gives_no_key(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        await adapter_under_test.send(request_of)

        assert adapter_under_test.capabilities.lookup_bound_s == 3
        assert "idempotency-key" not in server.requests[0].headers
        assert server.requests[0].json["client_job_id"] == "att_0190"

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (scripted_server.json_reply(200, {"items": []}), settle.Absent),
            (scripted_server.json_reply(200, {"items": [job("failed"), job("running")]}), settle.Accepted),
            (scripted_server.json_reply(200, {"items": 3}), settle.Unknown),
            (error(404, "lookup_not_offered"), settle.Unknown),
            (error(500, "internal_error"), settle.Unknown),
            (scripted_server.cut(), settle.Unknown),
        ],
        ids=range(6),
    )
    async def test_lookup_when_asked_then_what_became_of_the_send(
        self,
        answer: scripted_server.Answer,
        expected: type,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        assert type(await adapter_under_test.lookup(request_of)) is expected
        assert scripted_server.paths(server.requests) == [("GET", "/v1/jobs?client_job_id=att_0190")]


class TestSimulatorC(SimulatorReplies):
    options: ClassVar[Mapping[str, Any]] = {"class": "C"}

    async def test_send_when_it_cannot_be_repeated_then_each_on_a_connection_of_its_own(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        await adapter_under_test.send(request_of)
        await adapter_under_test.send(request_of)

        assert server.connections == 2
        assert adapter_under_test.capabilities.idempotency is attempt.IdempotencyClass.C

    async def test_send_when_the_provider_states_a_refusal_then_transient(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(error(500, "internal_error"))

        outcome = await adapter_under_test.send(request_of)

        assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_TRANSIENT


def made(callback_secret: str | None) -> adapter.SimulatorProvider:
    from heddle.providers import transport

    config = provider.EndpointConfig(
        name="there",
        adapter="simulator",
        url="http://127.0.0.1:1",
        timeout_s=5,
        options={},
        secret=provider_suite.SECRET,
        callback_secret=callback_secret,
    )
    return adapter.SimulatorProvider(config, transport.Transport())


def test_callback_when_signed_then_verified_under_its_own_id() -> None:
    body = b'{"type": "job.succeeded"}'
    headers = signing.sign(secret=CALLBACK_SECRET, message_id="msg_1", timestamp_s=1_000, body=body)

    event = made(CALLBACK_SECRET).verify_callback(headers=headers, body=body, now_s=1_100.0)

    assert event == provider.CallbackEvent(event_id="msg_1", is_verified=True)


@pytest.mark.parametrize(("body", "now_s"), [(b"other", 1_000.0), (b"{}", 1_301.0), (b"{}", 699.0)])
def test_callback_when_forged_or_stale_then_refused(body: bytes, now_s: float) -> None:
    headers = signing.sign(secret=CALLBACK_SECRET, message_id="msg_1", timestamp_s=1_000, body=b"{}")

    with pytest.raises(provider.CallbackRefused):
        made(CALLBACK_SECRET).verify_callback(headers=headers, body=body, now_s=now_s)


def test_callback_when_unsigned_and_no_secret_is_configured_then_an_unverified_hint() -> None:
    event = made(None).verify_callback(headers={}, body=b"{}", now_s=1.0)

    assert not event.is_verified
    assert len(event.event_id) == 64
