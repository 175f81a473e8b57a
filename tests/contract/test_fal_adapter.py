"""The ``fal`` adapter keeps the promises of the port, against replies in the form that fal's own client reads."""

import base64
import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib import parse

import pytest

from heddle.core import artifact, attempt, faults, run, settle
from heddle.ports import provider
from heddle.providers.fal import wire
from tests.contract import provider_suite, scripted_server
from tests.contract.fal_replies import MODEL, REQUEST_ID, handle, status, submitted


class TestFal(provider_suite.ProviderSuite):
    adapter = "fal"
    options: ClassVar[Mapping[str, Any]] = {"model_name": MODEL}
    call = ("POST", f"/{MODEL}")
    done_outcome = settle.Accepted
    malformed_outcome = None  # a 2xx may have accepted a job, whatever its body
    credential = ("authorization", f"Key {provider_suite.SECRET}")

    def replies(self) -> provider_suite.Replies:
        accepted = json.dumps(submitted("http://h")).encode()
        refusal = {"detail": [{"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}]}
        return provider_suite.Replies(
            done=scripted_server.reply(200, accepted),
            refused=scripted_server.json_reply(422, refusal),
            limited=scripted_server.json_reply(429, {"detail": "slow down"}, headers={"Retry-After": "7"}),
            ambiguous=scripted_server.json_reply(503, {"detail": "x", "error_type": "runner_scheduling_failure"}),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(200, accepted),
            too_large=provider_suite.over_cap(),
            echoing=scripted_server.json_reply(401, {"detail": f"bad key {provider_suite.SECRET}"}),
        )

    async def test_send_when_accepted_then_the_wishes_went_along_and_the_handle_holds_the_addresses(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, submitted(server.url)))
        request = dataclasses.replace(
            request_of, callback_url="https://we.example/callbacks/there/to&ken", priority=run.Priority.BATCH
        )

        outcome = await adapter_under_test.send(request)

        assert isinstance(outcome, settle.Accepted)
        assert json.loads(outcome.handle) == json.loads(handle(server.url))
        (sent,) = server.requests
        path, _, query = sent.path.partition("?")
        assert (path, parse.parse_qs(query)) == (f"/{MODEL}", {"fal_webhook": [request.callback_url]})
        assert sent.json == {"prompt": "espresso on marble", "seed": 7}
        wishes = ("x-fal-no-retry", "x-fal-queue-priority", "x-fal-request-timeout")
        assert [sent.headers[name] for name in wishes] == ["1", "low", "20.000"]
        assert adapter_under_test.capabilities.idempotency is attempt.IdempotencyClass.C

    async def test_send_when_the_addresses_lead_elsewhere_then_the_job_is_kept_under_our_own(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, submitted("https://attacker.example")))

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Accepted)
        assert json.loads(outcome.handle) == json.loads(handle(server.url))

    async def test_send_when_an_artifact_is_given_then_it_goes_as_a_data_url(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, submitted(server.url)))
        picture = provider_suite.picture()
        photo = await provider_suite.stored(request_of.artifacts, picture)

        await adapter_under_test.send(dataclasses.replace(request_of, input={"image_url": photo.as_json()}))

        assert server.requests[0].json == {"image_url": f"data:image/png;base64,{base64.b64encode(picture).decode()}"}

    async def test_send_when_the_account_is_locked_then_the_fallback_may_serve(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(403, {"detail": "User is locked"}))

        outcome = await adapter_under_test.send(request_of)

        assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_TRANSIENT

    @pytest.mark.parametrize(
        ("answer", "note", "poll_after_s"),
        [
            (status("IN_QUEUE", 202, queue_position=3), "in fal's queue, position 3", 2.0),
            (status("IN_QUEUE", 202, queue_position=80), "in fal's queue, position 80", 16.0),
            (status("IN_QUEUE", 202, queue_position=12_654), "in fal's queue, position 12654", 30.0),
            (status("IN_QUEUE", 202), "in fal's queue", 2.0),
            (status("IN_PROGRESS", 202, logs=None), "in progress at fal", 2.0),
        ],
        ids=range(5),
    )
    async def test_poll_when_the_job_is_open_then_the_note_says_where_it_stands(
        self,
        answer: scripted_server.Answer,
        note: str,
        poll_after_s: float,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        outcome = await adapter_under_test.poll(handle(server.url), request_of)

        assert outcome == settle.StillRunning(poll_after_s=poll_after_s, note=note, is_queued="queue" in note)
        assert scripted_server.paths(server.requests) == [("GET", f"/fal-ai/flux/requests/{REQUEST_ID}/status")]

    @pytest.mark.parametrize(
        "answer",
        [
            scripted_server.cut(),
            scripted_server.garbage(),
            scripted_server.json_reply(500, {"detail": "x"}),
            scripted_server.json_reply(401, {"detail": "x"}),
            provider_suite.page(),
            status("PAUSED"),
        ],
        ids=range(6),
    )
    async def test_poll_when_it_tells_nothing_then_still_running(
        self,
        answer: scripted_server.Answer,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        outcome = await adapter_under_test.poll(handle(server.url), request_of)

        assert isinstance(outcome, settle.StillRunning), outcome
        assert len(server.requests) == 1

    async def test_poll_when_the_result_links_to_files_then_they_are_kept_and_the_cost_is_what_was_billed(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        picture = provider_suite.picture()
        inline = f"data:image/png;base64,{base64.b64encode(provider_suite.picture(size_px=(4, 4))).decode()}"
        link = f"{server.url}/files/a.png"
        result = {
            "images": [{"url": link, "content_type": "image/png", "width": 8, "height": 6}],
            "video": {"url": link, "content_type": None, "fps": 24.0, "duration": 5.0, "num_frames": 120},
            "audio": {"url": link, "duration": 5.0, "channels": 2, "sample_rate": 44_100, "bitrate": "192k"},
            "mask": {"url": inline},
            "seed": 7,
            "source": {"url": "https://elsewhere.example/page", "title": "no file"},
        }
        server.script(
            status("COMPLETED", logs=None, metrics={"inference_time": 1.5}),
            scripted_server.json_reply(200, result, headers={"X-Fal-Billable-Units": "1.5"}),
            scripted_server.reply(200, picture, media_type="image/png"),
        )

        outcome = await adapter_under_test.poll(handle(server.url), request_of)

        assert isinstance(outcome, settle.Completed), outcome
        kept = artifact.Artifact.from_json(outcome.output["images"][0])
        assert await request_of.artifacts.read(kept) == picture
        assert all(artifact.is_artifact(outcome.output[name]) for name in ("mask", "video", "audio"))
        assert (outcome.output["seed"], outcome.output["source"]) == (7, result["source"])
        assert (outcome.cost_nano_usd, outcome.told.images) == (37_500_000, 2)
        assert server.requests[2].headers["authorization"] == self.credential[1]

    @pytest.mark.parametrize(
        "link",
        [
            "http://127.0.0.1:1/a.png",
            "https://127.0.0.1:1/a.png",
            "https://user:word@files.example/a.png",
            "data:image/png;base64,!!",
        ],
    )
    async def test_poll_when_a_file_lies_where_it_may_not_then_nobody_is_asked(
        self,
        link: str,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(status("COMPLETED"), scripted_server.json_reply(200, {"image": {"url": link}}))

        outcome = await adapter_under_test.poll(handle(server.url), request_of)

        assert provider_suite.fault_of(outcome) is faults.Fault.BAD_OUTPUT
        assert len(server.requests) == 2

    @pytest.mark.parametrize(
        "answer",
        [
            scripted_server.cut(),
            scripted_server.cut_inside(200, provider_suite.picture(), media_type="image/png"),
            scripted_server.reply(404, b"", media_type="text/plain"),
            scripted_server.reply(200, provider_suite.picture()[:-20], media_type="image/png"),
            provider_suite.page(),
        ],
        ids=range(5),
    )
    async def test_poll_when_a_file_cannot_be_fetched_then_the_paid_job_is_asked_after_again(
        self,
        answer: scripted_server.Answer,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        result = scripted_server.json_reply(200, {"image": {"url": f"{server.url}/files/a.png"}})
        server.script(status("COMPLETED"), result, answer)

        outcome = await adapter_under_test.poll(handle(server.url), request_of)

        assert isinstance(outcome, settle.StillRunning), outcome
        assert len(server.requests) == 3

    @pytest.mark.parametrize(
        ("error_type", "fault"),
        [
            ("runner_disconnected", faults.Fault.REJECTED_TRANSIENT),
            ("request_timeout", faults.Fault.REJECTED_TRANSIENT),
            ("bad_request", faults.Fault.REJECTED_PERMANENT),
            ("client_cancelled", faults.Fault.CANCELLED),
            ("something_new", faults.Fault.UNCLASSIFIED),
        ],
    )
    async def test_poll_when_completed_with_an_error_then_a_fault_by_its_type(
        self,
        error_type: str,
        fault: faults.Fault,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(status("COMPLETED", error="Runner gave up", error_type=error_type))

        outcome = await adapter_under_test.poll(handle(server.url), request_of)

        assert provider_suite.fault_of(outcome) is fault
        assert "Runner gave up" in provider_suite.message_of(outcome)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("answer", "fault"),
        [
            (scripted_server.json_reply(422, {"detail": [{"type": "missing"}]}), faults.Fault.REJECTED_PERMANENT),
            (
                scripted_server.json_reply(500, {"detail": "x"}, headers={"X-Fal-Error-Type": "runner_server_error"}),
                faults.Fault.REJECTED_TRANSIENT,
            ),
            (
                scripted_server.json_reply(500, {"detail": "x"}, headers={"X-Fal-Request-Id": REQUEST_ID}),
                faults.Fault.REJECTED_TRANSIENT,
            ),
            (
                scripted_server.json_reply(504, {"detail": "x"}, headers={"X-Fal-Request-Timeout-Type": "user"}),
                faults.Fault.DEADLINE,
            ),
            (
                scripted_server.json_reply(
                    504,
                    {"detail": "x", "error_type": "request_timeout"},
                    headers={"X-Fal-Request-Timeout-Type": "user"},
                ),
                faults.Fault.DEADLINE,
            ),
            (scripted_server.json_reply(502, {"detail": "gateway", "error_type": "service_unavailable"}), None),
            (scripted_server.reply(200, b"{", media_type="application/json"), faults.Fault.BAD_OUTPUT),
        ],
        ids=range(7),
    )
    async def test_poll_when_the_result_is_an_error_then_the_jobs_own_or_asked_for_again(
        self,
        answer: scripted_server.Answer,
        fault: faults.Fault | None,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(status("COMPLETED"), answer)

        outcome = await adapter_under_test.poll(handle(server.url), request_of)

        found = None if isinstance(outcome, settle.StillRunning) else provider_suite.fault_of(outcome)
        assert found is fault
        assert len(server.requests) == 2

    @pytest.mark.parametrize(
        ("given", "is_asked"),
        [
            (handle, True),
            (lambda _: REQUEST_ID, True),
            (lambda url: handle(url, status_url="https://attacker.example/status"), False),
            (lambda url: handle(url, response_url="http://127.0.0.1:1/x"), False),
            (lambda _: "../../secrets", False),
            (lambda _: "{}", False),
        ],
        ids=["own", "bare id of a callback", "status elsewhere", "response elsewhere", "a path", "empty"],
    )
    async def test_poll_when_the_handle_leads_elsewhere_then_unknown_and_nobody_is_asked(
        self,
        given: Any,
        is_asked: bool,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(status("IN_PROGRESS"))

        outcome = await adapter_under_test.poll(given(server.url), request_of)

        assert isinstance(outcome, settle.StillRunning if is_asked else settle.Unknown)
        assert len(server.requests) == is_asked

    async def test_poll_when_the_job_is_gone_then_unknown(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(404, {"detail": "Request not found"}))

        assert isinstance(await adapter_under_test.poll(handle(server.url), request_of), settle.Unknown)

    @pytest.mark.parametrize(
        ("answer", "is_stopped"),
        [
            (scripted_server.json_reply(202, {"status": "CANCELLATION_REQUESTED"}), True),
            (scripted_server.json_reply(400, {"status": "ALREADY_COMPLETED"}), False),
            (scripted_server.cut(), False),
        ],
        ids=range(3),
    )
    async def test_cancel_when_asked_then_tells_whether_it_was_taken(
        self,
        answer: scripted_server.Answer,
        is_stopped: bool,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        assert await adapter_under_test.cancel(handle(server.url), request_of) is is_stopped
        assert scripted_server.paths(server.requests) == [("PUT", f"/fal-ai/flux/requests/{REQUEST_ID}/cancel")]

    @pytest.mark.parametrize(("code", "is_well"), [(404, True), (200, True), (401, False), (403, False), (502, False)])
    async def test_check_when_the_key_is_judged_then_says_so(
        self, code: int, is_well: bool, server: scripted_server.ScriptedServer, adapter_under_test: provider.Provider
    ) -> None:
        server.script(scripted_server.json_reply(code, {"detail": "x"}))

        assert (await adapter_under_test.check() is None) is is_well


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("fal-ai/flux/dev/image-to-image", "/fal-ai/flux/requests/"),
        ("workflows/acme/shoot/v2", "/workflows/acme/shoot/requests/"),
        ("comfy/acme/graph", "/comfy/acme/graph/requests/"),
    ],
)
def test_addresses_when_derived_then_the_path_of_the_model_is_dropped_and_a_namespace_kept(
    model: str, path: str
) -> None:
    job = wire.derived_job(REQUEST_ID, base_url="https://queue.fal.run", model=model)

    assert job.response_url == f"https://queue.fal.run{path}{REQUEST_ID}"
