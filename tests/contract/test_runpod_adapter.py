"""The ``runpod`` adapter keeps the promises of the port, against replies as RunPod's documentation shows them."""

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from heddle.config import deployment
from heddle.core import artifact, attempt, faults, run, settle
from heddle.ports import provider
from heddle.providers import registry
from tests.contract import provider_suite, scripted_server

JOB_ID = "60902e6c-08a1-426e-9cb9-9eaec90f5e2b-u1"


def job(state: str, **more: object) -> scripted_server.Answer:
    return scripted_server.json_reply(200, {"id": JOB_ID, "status": state, **more})


class TestRunPod(provider_suite.ProviderSuite):
    adapter = "runpod"
    options: ClassVar[Mapping[str, Any]] = {"gpu": "4090", "output_artifacts": ["/image"]}
    call = ("POST", "/run")
    done_outcome = settle.Accepted
    malformed_outcome = None  # a 2xx may have accepted a job, whatever its body

    def replies(self) -> provider_suite.Replies:
        return provider_suite.Replies(
            done=job("IN_QUEUE"),
            refused=scripted_server.json_reply(400, {"error": "bad input"}),
            limited=scripted_server.json_reply(429, {"error": "slow down"}, headers={"Retry-After": "7"}),
            ambiguous=scripted_server.json_reply(500, {"error": "internal"}),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(200, b'{"id": "x-u1", "status": "IN_QUEUE"}'),
            too_large=provider_suite.over_cap(),
            echoing=scripted_server.reply(401, f"bad {provider_suite.SECRET}".encode(), media_type="text/plain"),
        )

    async def test_send_when_accepted_then_the_policy_holds_deadline_and_priority(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(job("IN_QUEUE"))
        request = dataclasses.replace(
            request_of, callback_url="https://we.example/callbacks/there/token", priority=run.Priority.BATCH
        )

        outcome = await adapter_under_test.send(request)

        assert isinstance(outcome, settle.Accepted)
        assert outcome.handle == f"{server.url}/status/{JOB_ID}"
        assert server.requests[0].json == {
            "input": {"prompt": "espresso on marble", "seed": 7},
            "webhook": "https://we.example/callbacks/there/token",
            "policy": {"executionTimeout": 20_000, "lowPriority": True, "ttl": 1_820_000},
        }
        assert adapter_under_test.capabilities.idempotency is attempt.IdempotencyClass.C

    async def test_send_when_little_time_is_left_then_the_least_that_runpod_takes(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(job("IN_QUEUE"))

        await adapter_under_test.send(dataclasses.replace(request_of, timeout_s=3.0))

        assert server.requests[0].json["policy"]["executionTimeout"] == 5_001

    async def test_send_when_the_request_is_too_large_then_nothing_is_sent(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(job("IN_QUEUE"))

        outcome = await adapter_under_test.send(dataclasses.replace(request_of, input={"text": "x" * 10_000_000}))

        assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
        assert server.requests == []

    async def test_poll_when_completed_then_the_media_are_kept_and_the_seconds_are_costed(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        picture = provider_suite.picture()
        output = {"image": base64.b64encode(picture).decode(), "seed": 7}
        server.script(job("COMPLETED", output=output, delayTime=31_618, executionTime=1_437))

        outcome = await adapter_under_test.poll(f"{server.url}/status/{JOB_ID}", request_of)

        assert isinstance(outcome, settle.Completed), outcome
        kept = artifact.Artifact.from_json(outcome.output["image"])
        assert await request_of.artifacts.read(kept) == picture
        assert (outcome.output["seed"], outcome.cost_nano_usd) == (7, 620_000)
        assert scripted_server.paths(server.requests) == [("GET", f"/status/{JOB_ID}")]

    async def test_poll_when_a_medium_is_a_link_then_it_is_fetched(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        picture = provider_suite.picture()
        server.script(
            job("COMPLETED", output={"image": f"{server.url}/out.png"}),
            scripted_server.reply(200, picture, media_type="image/png"),
        )

        outcome = await adapter_under_test.poll(f"{server.url}/status/{JOB_ID}", request_of)

        assert isinstance(outcome, settle.Completed), outcome
        assert artifact.is_artifact(outcome.output["image"])

    @pytest.mark.parametrize(
        ("state", "note"),
        [
            ("IN_QUEUE", "in RunPod's queue"),
            ("IN_PROGRESS", "in progress at RunPod"),
            ("RUNNING", "in progress at RunPod"),
        ],
    )
    async def test_poll_when_the_job_is_open_then_the_note_says_where_it_stands(
        self,
        state: str,
        note: str,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(job(state))

        outcome = await adapter_under_test.poll(f"{server.url}/status/{JOB_ID}", request_of)

        assert outcome == settle.StillRunning(poll_after_s=2.0, note=note, is_queued="queue" in note)

    @pytest.mark.parametrize(
        "answer",
        [
            scripted_server.cut(),
            scripted_server.garbage(),
            scripted_server.json_reply(500, {}),
            scripted_server.json_reply(401, {}),
            scripted_server.json_reply(429, {}),
            provider_suite.page(),
            job("PAUSED"),
            scripted_server.json_reply(200, {"id": "another-u1", "status": "FAILED"}),
        ],
        ids=range(8),
    )
    async def test_poll_when_it_tells_nothing_then_still_running(
        self,
        answer: scripted_server.Answer,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        outcome = await adapter_under_test.poll(f"{server.url}/status/{JOB_ID}", request_of)

        assert isinstance(outcome, settle.StillRunning), outcome
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("state", "fault"),
        [
            ("FAILED", faults.Fault.UNCLASSIFIED),
            ("CANCELLED", faults.Fault.CANCELLED),
            ("TIMED_OUT", faults.Fault.DEADLINE),
        ],
    )
    async def test_poll_when_the_job_ended_badly_then_faulted_by_its_state_and_billed(
        self,
        state: str,
        fault: faults.Fault,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(job(state, error='{"error_message": "CUDA out of memory"}', executionTime=2_000))

        outcome = await adapter_under_test.poll(f"{server.url}/status/{JOB_ID}", request_of)

        assert isinstance(outcome, settle.Faulted)
        assert (outcome.fault.fault, outcome.billed_nano_usd) == (fault, 620_000)
        assert "CUDA out of memory" in outcome.fault.message

    async def test_poll_when_runpod_has_forgotten_the_job_then_unknown_and_never_not_started(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(404, {"error": "job not found"}))

        outcome = await adapter_under_test.poll(f"{server.url}/status/{JOB_ID}", request_of)

        assert isinstance(outcome, settle.Unknown)

    @pytest.mark.parametrize("handle", ["https://api.runpod.ai/v2/other/status/1-u1", "../purge-queue", ""])
    async def test_poll_when_the_handle_is_of_another_endpoint_then_unknown_and_nobody_is_asked(
        self,
        handle: str,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(job("IN_QUEUE"))

        assert isinstance(await adapter_under_test.poll(handle, request_of), settle.Unknown)
        assert not await adapter_under_test.cancel(handle, request_of)
        assert server.requests == []

    @pytest.mark.parametrize(
        ("answer", "is_stopped"),
        [
            (job("CANCELLED"), True),
            (job("COMPLETED"), False),
            (scripted_server.json_reply(404, {}), False),
            (scripted_server.cut(), False),
        ],
        ids=range(4),
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

        assert await adapter_under_test.cancel(f"{server.url}/status/{JOB_ID}", request_of) is is_stopped
        assert scripted_server.paths(server.requests) == [("POST", f"/cancel/{JOB_ID}")]

    @pytest.mark.parametrize(("code", "is_well"), [(200, True), (401, False), (404, False)])
    async def test_check_when_the_health_is_asked_for_then_says_what_is_wrong(
        self, code: int, is_well: bool, server: scripted_server.ScriptedServer, adapter_under_test: provider.Provider
    ) -> None:
        server.script(scripted_server.json_reply(code, {"jobs": {"inQueue": 0}, "workers": {"idle": 0}}))

        assert (await adapter_under_test.check() is None) is is_well
        assert scripted_server.paths(server.requests) == [("GET", "/health")]


def made(**options: object) -> provider.Provider:
    endpoint = deployment.Endpoint(
        name="there", adapter="runpod", url="http://h", scopes=("there",), secret="env:KEY", options=options
    )
    return registry.build(endpoint, {"KEY": "k"})


@pytest.mark.parametrize(("names_job", "handle"), [(False, None), (True, JOB_ID)])
def test_callback_when_unsigned_then_a_hint_that_names_the_job_only_where_that_is_wished(
    names_job: bool, handle: str | None
) -> None:
    body = b'{"id": "%s", "status": "COMPLETED", "output": 1}' % JOB_ID.encode()

    event = made(callback_names_job=names_job).verify_callback(headers={}, body=body, now_s=1.0)

    assert (event.is_verified, event.handle, len(event.event_id)) == (False, handle, 64)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"gpu": "abacus"}, "gpu"), ({"output": "a"}, "output"), ({"failed": "budget"}, "failed"), ({"ttl": 1}, "ttl")],
    ids=range(4),
)
def test_options_when_one_is_wrong_then_the_refusal_names_it(options: dict[str, object], named: str) -> None:
    with pytest.raises(registry.EndpointRefused, match=rf"\[endpoints.there\] {named}"):
        made(**options)
