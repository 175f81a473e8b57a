"""The ``cog`` adapter keeps the promises of the port in each mode, against replies as coglet gives them."""

import base64
import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from heddle.core import artifact, attempt, settle
from heddle.ports import provider
from heddle.providers import options, transport
from heddle.providers.cog import adapter, wire
from tests.contract import provider_suite, scripted_server

PATH = "/predictions/key_0190"


def prediction(status: str, **changes: object) -> dict[str, Any]:
    return {"id": "key_0190", "status": status, "output": None, "logs": "", **changes}


DONE = prediction("succeeded", output={"mask": "text", "score": 0.9}, metrics={"predict_time": 0.2})
BUSY = scripted_server.json_reply(409, {"error": "At capacity - all prediction slots busy", "status": "failed"})
NOT_READY = scripted_server.json_reply(503, {"error": "Predictor not ready", "status": "failed"})


def handle(url: str) -> str:
    return wire.write_handle(f"{url}{PATH}")


def events(*given: tuple[str, object], is_cut: bool = False) -> scripted_server.Answer:
    body = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in given).encode()
    if is_cut:
        return scripted_server.cut_inside(200, body, media_type="text/event-stream")
    return scripted_server.reply(200, body, media_type="text/event-stream")


START = ("start", {"id": "key_0190", "status": "processing"})
OUTPUTS = tuple(("output", {"chunk": chunk, "index": index}) for index, chunk in enumerate(("Oni", "ons")))


class CogReplies(provider_suite.ProviderSuite):
    adapter = "cog"
    call = ("PUT", PATH)
    malformed_outcome = None  # a 2xx may have started a prediction, whatever its body

    def replies(self) -> provider_suite.Replies:
        return provider_suite.Replies(
            done=scripted_server.json_reply(200, DONE),
            refused=scripted_server.json_reply(422, prediction("failed", error="prompt: field required")),
            limited=scripted_server.json_reply(429, {"detail": "slow down"}, headers={"Retry-After": "7"}),
            ambiguous=scripted_server.json_reply(503, {"message": "upstream connect error"}),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(200, json.dumps(DONE).encode()),
            too_large=scripted_server.reply(200, b'{"a": "' + b"x" * (adapter.RESPONSE_BYTES_MAX + 1) + b'"}'),
            echoing=scripted_server.json_reply(401, {"detail": f"bad token {provider_suite.SECRET}"}),
        )


class TestCogWaiting(CogReplies):
    async def test_send_when_answered_then_files_are_kept_and_inputs_sent_as_data_urls(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        picture = provider_suite.picture()
        as_url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        stored = await provider_suite.stored(request_of.artifacts, picture)
        server.script(scripted_server.json_reply(200, {**DONE, "output": [as_url, "http://other.example/x.png"]}))

        outcome = await adapter_under_test.send(
            dataclasses.replace(request_of, input={"image": stored.as_json(), "scale": 2})
        )

        assert isinstance(outcome, settle.Completed), outcome
        assert artifact.Artifact.from_json(outcome.output[0]).sha256 == stored.sha256
        assert outcome.output[1] == "http://other.example/x.png"
        assert server.requests[0].json == {"input": {"image": as_url, "scale": 2}}
        assert "prefer" not in server.requests[0].headers
        assert adapter_under_test.capabilities.idempotency is attempt.IdempotencyClass.A

    @pytest.mark.parametrize(
        ("answer", "fault"),
        [
            (BUSY, "throttled"),
            (NOT_READY, "rejected_transient"),
            (scripted_server.json_reply(406, {"detail": "no stream"}), "rejected_permanent"),
            (scripted_server.json_reply(500, prediction("failed")), None),
            (scripted_server.json_reply(200, prediction("failed", error="CUDA out of memory")), "rejected_permanent"),
            (scripted_server.json_reply(200, prediction("canceled")), "cancelled"),
            (scripted_server.json_reply(200, prediction("paused")), None),
            (scripted_server.json_reply(200, {**DONE, "id": "another"}), None),
        ],
        ids=range(8),
    )
    async def test_send_when_no_result_comes_then_its_row(
        self,
        answer: scripted_server.Answer,
        fault: str | None,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        assert provider_suite.fault_of(await adapter_under_test.send(request_of)) == fault
        assert len(server.requests) == 1

    async def test_send_when_it_runs_already_then_accepted_and_polled_under_the_same_id(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        running = scripted_server.json_reply(202, prediction("processing"))
        server.script(running, running, scripted_server.json_reply(200, DONE))

        accepted = await adapter_under_test.send(request_of)
        polled = [await adapter_under_test.poll(handle(server.url), request_of) for _ in range(2)]

        assert accepted == settle.Accepted(handle=handle(server.url), poll_after_s=1.0)
        assert [type(each) for each in polled] == [settle.StillRunning, settle.Completed]
        assert scripted_server.paths(server.requests) == [("PUT", PATH)] * 3
        assert len({each.body for each in server.requests}) == 1

    @pytest.mark.parametrize(
        "answer",
        [scripted_server.cut(), BUSY, NOT_READY, scripted_server.json_reply(500, {}), provider_suite.page()],
        ids=range(5),
    )
    async def test_poll_when_it_tells_nothing_final_then_still_running(
        self,
        answer: scripted_server.Answer,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        outcome = await adapter_under_test.poll(handle(server.url), request_of)

        assert isinstance(outcome, settle.StillRunning), outcome

    @pytest.mark.parametrize("text", [handle("http://127.0.0.1:1"), "key_0190", "x" * 5_000])
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

    @pytest.mark.parametrize(
        ("answer", "trouble"),
        [
            (scripted_server.json_reply(200, {"status": "READY"}), None),
            (scripted_server.json_reply(200, {"status": "BUSY"}), None),
            (scripted_server.json_reply(200, {"status": "SETUP_FAILED"}), "the model is SETUP_FAILED"),
            (scripted_server.json_reply(404, {}), "/health-check answered 404"),
            (provider_suite.page(), "in no known state"),
        ],
        ids=range(5),
    )
    async def test_check_when_asked_then_tells_the_models_state(
        self,
        answer: scripted_server.Answer,
        trouble: str | None,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
    ) -> None:
        server.script(answer)

        said = await adapter_under_test.check()

        assert said is None if trouble is None else trouble in (said or "")
        assert scripted_server.paths(server.requests) == [("GET", "/health-check")]


class TestCogStreaming(CogReplies):
    options: ClassVar[Mapping[str, Any]] = {"mode": "stream"}

    def replies(self) -> provider_suite.Replies:
        return dataclasses.replace(
            super().replies(),
            done=events(START, *OUTPUTS, ("completed", DONE)),
            cut_inside=events(START, *OUTPUTS, ("completed", DONE), is_cut=True),
        )

    async def test_send_when_streamed_then_pieces_as_they_come_and_the_whole_output(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)
        pieces: list[Any] = []

        outcome = await adapter_under_test.send(dataclasses.replace(request_of, on_delta=pieces.append))

        assert isinstance(outcome, settle.Completed)
        assert outcome.output == DONE["output"]
        assert [piece["chunk"] for piece in pieces] == ["Oni", "ons"]
        assert server.requests[0].headers["accept"] == "text/event-stream"

    @pytest.mark.parametrize(
        "answer",
        [
            events(START, *OUTPUTS),
            events(START, ("completed", {"status": "paused"})),
            events(START, ("completed", [])),
        ],
        ids=["ends early", "in no known state", "no object"],
    )
    async def test_send_when_the_stream_has_no_end_of_its_own_then_unknown(
        self,
        answer: scripted_server.Answer,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        assert isinstance(await adapter_under_test.send(request_of), settle.Unknown)

    async def test_send_when_its_events_are_forgotten_then_it_runs_on(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(events(START, ("error", {"error": "events dropped"})))

        assert isinstance(await adapter_under_test.send(request_of), settle.Accepted)


class TestCogAsynchronous(CogReplies):
    options: ClassVar[Mapping[str, Any]] = {"mode": "async"}
    done_outcome = settle.Accepted

    def replies(self) -> provider_suite.Replies:
        started = scripted_server.json_reply(202, prediction("starting"))
        return dataclasses.replace(super().replies(), done=started)

    async def test_poll_when_attached_then_the_events_are_followed_to_the_end(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done, events(START, *OUTPUTS, ("completed", DONE)))

        accepted = await adapter_under_test.send(request_of)
        assert isinstance(accepted, settle.Accepted)
        outcome = await adapter_under_test.poll(accepted.handle, request_of)

        assert isinstance(outcome, settle.Completed)
        assert [each.headers.get("prefer") for each in server.requests] == ["respond-async", None]
        assert server.requests[1].headers["accept"] == "text/event-stream"

    async def test_poll_when_the_model_does_not_stream_then_says_what_to_do(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(406, {"detail": "not acceptable"}))

        outcome = await adapter_under_test.poll(handle(server.url), request_of)

        assert 'use mode = "wait"' in provider_suite.message_of(outcome)

    @pytest.mark.parametrize(("status", "is_stopped"), [(200, True), (404, False), (500, False)])
    async def test_cancel_when_asked_then_tells_whether_it_said_yes(
        self,
        status: int,
        is_stopped: bool,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(status, {}))

        assert await adapter_under_test.cancel(handle(server.url), request_of) is is_stopped
        assert scripted_server.paths(server.requests) == [("POST", f"{PATH}/cancel")]
        assert adapter_under_test.capabilities.has_cancel


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"callback_secret": "whsec_x"}, "does not sign"),
        ({"options": {"mode": "later"}}, "wait, stream, async"),
        ({"options": {"output_hosts": ["*"]}}, "output_hosts has"),
        ({"options": {"hurry": True}}, "hurry is no option"),
    ],
    ids=range(4),
)
def test_options_when_wrong_then_one_sentence_names_the_key(changes: dict[str, Any], sentence: str) -> None:
    given = provider.EndpointConfig(name="there", adapter="cog", url="http://h", timeout_s=5, options={})

    with pytest.raises(options.OptionRefused, match=sentence):
        adapter.CogProvider(dataclasses.replace(given, **changes), transport.Transport())
