"""The ``replicate`` adapter keeps the promises of the port, against replies of the forms that Replicate documents."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from heddle.core import artifact, attempt, settle
from heddle.ports import provider
from tests.contract import provider_suite, scripted_server
from tests.contract import replicate_replies as replicate


class TestReplicateVersion(replicate.ReplicateReplies):
    options: ClassVar[Mapping[str, Any]] = {"version": replicate.VERSION}
    call = ("POST", "/v1/predictions")

    async def test_send_when_a_callback_is_wanted_then_only_of_the_end_and_on_a_connection_of_its_own(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)
        request = dataclasses.replace(request_of, callback_url="https://us.example/callbacks/there/token")

        await adapter_under_test.send(request)
        await adapter_under_test.send(request)

        assert server.requests[0].json == {
            "version": replicate.VERSION,
            "input": request_of.input,
            "webhook": "https://us.example/callbacks/there/token",
            "webhook_events_filter": ["completed"],
        }
        assert server.connections == 2
        assert adapter_under_test.capabilities.idempotency is attempt.IdempotencyClass.C


class TestReplicateDeployment(replicate.ReplicateReplies):
    options: ClassVar[Mapping[str, Any]] = {"deployment": "acme/relight"}
    call = ("POST", "/v1/deployments/acme/relight/predictions")


class TestReplicateModel(replicate.ReplicateReplies):
    options: ClassVar[Mapping[str, Any]] = {"model_name": "black-forest-labs/flux-schnell", "wait_s": 9}
    call = ("POST", "/v1/models/black-forest-labs/flux-schnell/predictions")

    async def test_send_when_it_may_wait_then_it_says_how_long_and_until_when_it_is_worth_paying_for(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        for deadline_s in (None, 0.5, 90.2):
            await adapter_under_test.send(dataclasses.replace(request_of, deadline_s=deadline_s))

        sent = [(each.headers["prefer"], each.headers.get("cancel-after")) for each in server.requests]
        assert sent == [("wait=9", None), ("wait=9", "5s"), ("wait=9", "91s")]

    @pytest.mark.parametrize(("timeout_s", "wish"), [(10.5, "wait=8"), (3.5, "wait=1"), (2.5, None)])
    async def test_send_when_less_time_is_left_than_the_wait_then_answered_before_it_is_over(
        self,
        timeout_s: float,
        wish: str | None,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        outcome = await adapter_under_test.send(dataclasses.replace(request_of, timeout_s=timeout_s))

        assert server.requests[0].headers.get("prefer") == wish
        assert isinstance(outcome, settle.Accepted)

    async def test_send_when_it_succeeds_within_the_wait_then_completed_with_files_stored_and_priced(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        picture = provider_suite.picture()
        output = {
            "images": [f"{server.url}/file.png", replicate.media_url(picture)],
            "seed": 7,
            "text": "see https://evil.example/x and https://other.example/y.png",
            "link": "https://other.example/z.png",
        }
        server.script(
            scripted_server.json_reply(201, replicate.prediction("succeeded", output=output)),
            scripted_server.reply(200, picture, media_type="image/png"),
        )

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Completed), outcome
        stored = [artifact.Artifact.from_json(each) for each in outcome.output["images"]]
        assert [await request_of.artifacts.read(each) for each in stored] == [picture, picture]
        assert {key: outcome.output[key] for key in ("seed", "text", "link")} == {
            key: output[key] for key in ("seed", "text", "link")
        }
        assert (outcome.cost_nano_usd, outcome.told.images) == (6_000_000, 2)
        assert len(server.requests) == 2

    @pytest.mark.parametrize("answer", ["cut", "busy", "short", "page"])
    async def test_poll_when_a_file_cannot_be_fetched_then_still_running(
        self,
        answer: str,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        answers = {
            "cut": scripted_server.cut(),
            "busy": scripted_server.json_reply(503, {"detail": "busy"}),
            "short": scripted_server.reply(200, provider_suite.picture()[:-20], media_type="image/png"),
            "page": provider_suite.page(),
        }
        done = replicate.prediction("succeeded", home=server.url, output=[f"{server.url}/file.png"])
        server.script(scripted_server.json_reply(200, done), answers[answer])

        outcome = await adapter_under_test.poll(replicate.handle(server.url), request_of)

        assert isinstance(outcome, settle.StillRunning), outcome

    @pytest.mark.parametrize(
        ("answer", "poll_after_s"),
        [
            (scripted_server.cut(), 1.0),
            (scripted_server.garbage(), 1.0),
            (scripted_server.json_reply(500, {"detail": "oops"}), 1.0),
            (scripted_server.json_reply(401, {"detail": "no"}), 1.0),
            (
                replicate.throttled("Request was throttled. Your rate limit resets in ~9s."),
                9.0,
            ),
            (
                replicate.throttled("Request was throttled. Expected available in 1 second."),
                1.0,
            ),
            (replicate.throttled("Wait 3000 seconds, or your rate limit resets in ~9s."), 1.0),
            (provider_suite.page(), 1.0),
            (scripted_server.json_reply(200, replicate.prediction("paused")), 1.0),
            (scripted_server.json_reply(200, {**replicate.prediction("failed"), "id": "other"}), 1.0),
            (scripted_server.json_reply(200, replicate.prediction("starting")), 1.0),
            (scripted_server.json_reply(200, replicate.prediction("processing")), 1.0),
        ],
        ids=range(12),
    )
    async def test_poll_when_it_tells_nothing_final_then_still_running(
        self,
        answer: scripted_server.Answer,
        poll_after_s: float,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        outcome = await adapter_under_test.poll(replicate.handle(server.url), request_of)

        assert isinstance(outcome, settle.StillRunning), outcome
        assert outcome.poll_after_s == poll_after_s
        assert scripted_server.paths(server.requests) == [("GET", f"/v1/predictions/{replicate.ID}")]

    @pytest.mark.parametrize(
        ("ended", "fault", "billed"),
        [
            (replicate.prediction("failed", error="NSFW content detected"), "rejected_permanent", 0),
            (
                replicate.prediction("failed", error="Prediction interrupted (code: E6716)"),
                "rejected_transient",
                0,
            ),
            (replicate.prediction("failed", error="CUDA out of memory E1001"), "too_large", 0),
            (replicate.prediction("canceled"), "cancelled", 0),
            (
                replicate.prediction(
                    "canceled", completed_at="2026-09-08T16:20:34Z", deadline="2026-09-08T16:20:33.9Z"
                ),
                "deadline",
                0,
            ),
            (replicate.prediction("aborted"), "deadline", 0),
            (replicate.prediction("succeeded", data_removed=True), "bad_output", None),
            (replicate.prediction("succeeded", error="The model returned nothing."), "bad_output", 0),
            (replicate.prediction("succeeded", output=["data:image/png;base64,!!"]), "bad_output", None),
        ],
        ids=range(9),
    )
    async def test_poll_when_it_ended_without_a_result_then_faulted_by_its_state(
        self,
        ended: dict[str, Any],
        fault: str,
        billed: int | None,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, ended))

        outcome = await adapter_under_test.poll(replicate.handle(server.url), request_of)

        assert isinstance(outcome, settle.Faulted), outcome
        assert (outcome.fault.fault.value, outcome.billed_nano_usd) == (fault, billed)

    async def test_poll_when_the_prediction_is_gone_then_unknown(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(404, {"detail": "Not found."}))

        assert isinstance(await adapter_under_test.poll(replicate.handle(server.url), request_of), settle.Unknown)

    @pytest.mark.parametrize(
        "text",
        [
            replicate.handle("http://127.0.0.1:1"),
            replicate.handle(replicate.HOME),
            replicate.ID,
            "{}",
            "[" * 6_000,
        ],
    )
    async def test_poll_when_the_handle_leads_elsewhere_or_is_none_then_nothing_is_asked(
        self,
        text: str,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        outcome = await adapter_under_test.poll(text, request_of)

        assert isinstance(outcome, settle.Unknown), outcome
        assert not await adapter_under_test.cancel(text, request_of)
        assert server.requests == []

    async def test_send_when_the_answer_leads_elsewhere_then_unknown(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(201, replicate.prediction("starting", home="https://evil.example")))

        assert isinstance(await adapter_under_test.send(request_of), settle.Unknown)

    @pytest.mark.parametrize(
        ("status", "is_stopped"), [("canceled", True), ("aborted", True), ("succeeded", False), ("processing", False)]
    )
    async def test_cancel_when_asked_then_tells_whether_it_stopped(
        self,
        status: str,
        is_stopped: bool,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, replicate.prediction(status)))

        assert await adapter_under_test.cancel(replicate.handle(server.url), request_of) is is_stopped
        assert scripted_server.paths(server.requests) == [("POST", f"/v1/predictions/{replicate.ID}/cancel")]
