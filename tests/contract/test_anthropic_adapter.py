"""The ``anthropic`` adapter keeps the promises of the port, whole and streamed, against replies as documented."""

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from heddle.core import attempt, faults, settle
from heddle.ports import provider
from heddle.providers import options, transport
from heddle.providers.anthropic import adapter
from tests.contract import anthropic_replies as recorded
from tests.contract import provider_suite, scripted_server

MESSAGES = [{"role": "user", "content": "Describe espresso on marble."}]


class AnthropicReplies(provider_suite.ProviderSuite):
    adapter = "anthropic"
    options: ClassVar[Mapping[str, Any]] = {"model_name": recorded.MODEL}
    call = ("POST", "/v1/messages")
    credential = ("x-api-key", provider_suite.SECRET)

    def replies(self) -> provider_suite.Replies:
        return recorded.replies(done=scripted_server.json_reply(200, recorded.message(), headers=recorded.LIMITS))

    async def make_input(self, artifacts: provider.ArtifactReader) -> dict[str, Any]:
        return {"max_tokens": 64, "messages": MESSAGES}


class TestAnthropic(AnthropicReplies):
    async def test_send_when_answered_then_the_message_its_cost_and_what_the_limits_are(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Completed)
        assert (outcome.output, outcome.cost_nano_usd) == (recorded.message(), recorded.COST_NANO_USD)
        assert (outcome.told.tokens, outcome.told.reports[0].limit_per_min) == (110, 1_000)
        assert server.requests[0].json == {"max_tokens": 64, "messages": MESSAGES, "model": recorded.MODEL}
        assert server.requests[0].headers["anthropic-version"] == "2026-10-21"
        assert [name for name in server.requests[0].headers if name.startswith("x-stainless")] == []
        assert adapter_under_test.capabilities.idempotency is attempt.IdempotencyClass.C

    @pytest.mark.parametrize(
        ("usage", "cost"),
        [
            ({"cache_read_input_tokens": 1_000}, 1_000 * 200),
            ({"cache_creation_input_tokens": 1_000}, 1_000 * 5_000),
            (
                {
                    "cache_creation_input_tokens": 1_000,
                    "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600},
                },
                400 * 5_000 + 600 * 8_000,
            ),
        ],
        ids=["read", "written for minutes", "written for an hour"],
    )
    async def test_send_when_the_cache_was_used_then_priced_as_such(
        self,
        usage: dict[str, Any],
        cost: int,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, recorded.message(usage={**recorded.USAGE, **usage})))

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Completed)
        assert outcome.cost_nano_usd == recorded.COST_NANO_USD + cost
        assert outcome.told.tokens == 1_110

    @pytest.mark.parametrize(
        "changes",
        [
            {"model": "claude-of-the-future"},
            {"usage": {}},
            {"usage": {**recorded.USAGE, "input_tokens": 10**15}},
            {"usage": {**recorded.USAGE, "service_tier": "priority"}},
            {"usage": {**recorded.USAGE, "speed": "fast"}},
            {"usage": {**recorded.USAGE, "inference_geo": "us"}},
            {"usage": {**recorded.USAGE, "server_tool_use": {"web_search_requests": 1}}},
            {"usage": {**recorded.USAGE, "iterations": [recorded.iteration("compaction"), recorded.iteration()]}},
            {"usage": {**recorded.USAGE, "iterations": [recorded.iteration(), recorded.iteration("fallback_message")]}},
            {"usage": {**recorded.USAGE, "fallback_credit": {"status": {"type": "redeemed"}}}},
        ],
        ids=range(10),
    )
    async def test_send_when_no_price_is_listed_for_it_then_a_result_all_the_same(
        self,
        changes: dict[str, Any],
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, recorded.message(**changes)))

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Completed)
        assert outcome.cost_nano_usd is None

    async def test_send_when_the_model_is_named_with_its_date_then_priced(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, recorded.message(model="claude-haiku-4-5-20251001")))

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Completed)
        assert outcome.cost_nano_usd == 100 * 1_000 + 10 * 5_000

    @pytest.mark.parametrize(
        ("answer", "fault"),
        [
            (recorded.error(403, "permission_error"), "rejected_transient"),
            (recorded.error(404, "not_found_error"), "rejected_permanent"),
            (recorded.error(402, "billing_error"), "rejected_transient"),
            (recorded.error(413, "request_too_large"), "too_large"),
            (recorded.error(429, "rate_limit_error", code="enforced_spend_limit_reached"), "rejected_transient"),
            (recorded.error(429, "rate_limit_error", code="ramp_limit_exceeded"), "throttled"),
            (recorded.error(529, "overloaded_error"), "rejected_transient"),
            (recorded.error(529, "overloaded_error", code="a_new_code"), "rejected_transient"),
            (recorded.error(400, "invalid_request_error", code="organization_on_hold"), "rejected_transient"),
            (recorded.error(529, "unheard_of"), None),
            (recorded.error(504, "timeout_error"), None),
            (recorded.error(503, "api_error", code="cmek_key_unreachable"), "rejected_transient"),
        ],
        ids=range(12),
    )
    async def test_send_when_an_error_comes_then_its_row(
        self,
        answer: scripted_server.Answer,
        fault: str | None,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer)

        outcome = await adapter_under_test.send(request_of)

        assert provider_suite.fault_of(outcome) == fault
        assert "req_1" in provider_suite.message_of(outcome)
        assert len(server.requests) == 1

    async def test_send_when_artifacts_stand_in_the_content_then_each_as_the_api_takes_it(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)
        picture = provider_suite.picture()
        stored = (await provider_suite.stored(request_of.artifacts, picture)).as_json()
        content = [stored, {"type": "image", "source": stored, "cache_control": {"type": "ephemeral"}}]
        request = dataclasses.replace(request_of, input={"messages": [{"role": "user", "content": content}]})

        await adapter_under_test.send(request)

        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(picture).decode()}
        assert server.requests[0].json["messages"][0]["content"] == [
            {"type": "image", "source": source},
            {"type": "image", "source": source, "cache_control": {"type": "ephemeral"}},
        ]

    @pytest.mark.parametrize(
        "given",
        [
            {"model": "other"},
            {"stream": True},
            {"messages": [{"$artifact": f"sha256:{'0' * 64}", "media_type": "video/mp4", "size_bytes": 1}]},
            {"messages": [{"$artifact": f"sha256:{'0' * 64}", "media_type": "image/png", "size_bytes": 1}]},
            {"messages": float("nan")},
        ],
        ids=["model", "stream", "a film", "not there", "no number"],
    )
    async def test_send_when_the_input_cannot_be_sent_then_nothing_is(
        self,
        given: dict[str, Any],
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        outcome = await adapter_under_test.send(dataclasses.replace(request_of, input=given))

        assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
        assert "nothing was sent" in provider_suite.message_of(outcome)
        assert server.requests == []

    @pytest.mark.parametrize(
        ("answer", "is_right"),
        [(scripted_server.json_reply(200, {"data": []}), True), (recorded.error(401, "authentication_error"), False)],
    )
    async def test_check_when_asked_then_tells_whether_the_key_is_taken(
        self,
        answer: scripted_server.Answer,
        is_right: bool,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
    ) -> None:
        server.script(answer)

        assert (await adapter_under_test.check() is None) is is_right
        assert scripted_server.paths(server.requests) == [("GET", "/v1/models?limit=1")]


class TestAnthropicStream(AnthropicReplies):
    options: ClassVar[Mapping[str, Any]] = {"model_name": recorded.MODEL, "stream": True}

    def replies(self) -> provider_suite.Replies:
        done = recorded.streamed(recorded.events())
        cut_inside = recorded.streamed(recorded.events()[:9], is_cut=True)
        return dataclasses.replace(recorded.replies(done=done), cut_inside=cut_inside, too_large=_over_cap())

    async def test_send_when_streamed_then_pieces_as_they_come_and_the_whole_message(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)
        pieces: list[Any] = []

        outcome = await adapter_under_test.send(dataclasses.replace(request_of, on_delta=pieces.append))

        assert isinstance(outcome, settle.Completed), outcome
        assert outcome.output == recorded.message(
            content=[
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "text", "text": "A quiet espresso."},
                {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}},
            ],
            stop_reason="tool_use",
        )
        assert (outcome.cost_nano_usd, outcome.told.tokens) == (recorded.COST_NANO_USD, 110)
        assert [piece["delta"]["text"] for piece in pieces if "text" in piece["delta"]] == ["A quiet ", "espresso."]
        assert server.requests[0].json["stream"] is True

    async def test_send_when_the_context_was_compacted_then_the_message_is_whole_and_not_priced_by_its_top_alone(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        begun, *_, stopped = recorded.events()
        summed = {"type": "compaction_delta", "content": "Espresso was spoken of.", "encrypted_content": "c2Vhb"}
        iterations = [recorded.iteration("compaction"), recorded.iteration()]
        server.script(
            recorded.streamed(
                [
                    begun,
                    recorded.event("content_block_start", index=0, content_block={"type": "compaction"}),
                    recorded.event("content_block_delta", index=0, delta=summed),
                    recorded.event("content_block_stop", index=0),
                    recorded.event(
                        "message_delta",
                        delta={"stop_reason": "compaction"},
                        usage={"output_tokens": 10, "iterations": iterations},
                    ),
                    stopped,
                ]
            )
        )

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Completed), outcome
        assert outcome.output["content"] == [{**summed, "type": "compaction"}]
        assert outcome.cost_nano_usd is None

    async def test_send_when_the_stream_ends_without_its_last_event_then_unknown(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(recorded.streamed(recorded.events()[:-1]))

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Unknown), outcome
        assert outcome.told.tokens == 110

    @pytest.mark.parametrize(
        ("before", "kind", "fault", "billed"),
        [
            (0, "overloaded_error", "rejected_transient", 0),
            (1, "overloaded_error", "rejected_transient", 0),
            (1, "rate_limit_error", "throttled", 0),
            (1, "api_error", None, 0),
            (9, "overloaded_error", "partial", None),
            (-1, "overloaded_error", "partial", recorded.COST_NANO_USD),
        ],
    )
    async def test_send_when_an_error_breaks_the_stream_off_then_judged_by_what_had_come(
        self,
        before: int,
        kind: str,
        fault: str | None,
        billed: int | None,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        broken = recorded.event("error", error={"type": kind, "message": "Overloaded"})
        server.script(recorded.streamed([*recorded.events()[:before], broken]))

        outcome = await adapter_under_test.send(request_of)

        assert provider_suite.fault_of(outcome) == fault
        assert getattr(outcome, "billed_nano_usd", 0) == billed

    @pytest.mark.parametrize(
        "spoilt",
        [
            recorded.event("content_block_delta", index=0, delta={"type": "poem_delta", "poem": "x"}),
            recorded.event("content_block_delta", index=7, delta={"type": "text_delta", "text": "x"}),
            recorded.event("content_block_start", index=7, content_block={"type": "text", "text": ""}),
            recorded.event("message_stop"),
            "event: message_delta\ndata: {no json}\n\n",
            "event: message_delta\ndata: []\n\n",
        ],
        ids=range(6),
    )
    async def test_send_when_the_stream_makes_no_sense_then_bad_output_billed_as_reserved(
        self,
        spoilt: str,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        parts = recorded.events()
        server.script(recorded.streamed([*parts[:4], spoilt, *parts[4:]]))

        outcome = await adapter_under_test.send(request_of)

        assert provider_suite.fault_of(outcome) is faults.Fault.BAD_OUTPUT
        assert isinstance(outcome, settle.Faulted)
        assert (outcome.billed_nano_usd, outcome.told.tokens) == (None, None)

    async def test_send_when_a_whole_message_comes_instead_of_a_stream_then_taken(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(200, recorded.message()))

        assert isinstance(await adapter_under_test.send(request_of), settle.Completed)


def _over_cap() -> scripted_server.Answer:
    return scripted_server.reply(200, b" " * (adapter.STREAM_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"secret": None}, "secret is missing"),
        ({"callback_secret": "whsec_x"}, "makes no callbacks"),
        ({"options": {"model_name": "a b"}}, "no name of a model"),
        ({"options": {"betas": ["x\ny"]}}, "betas has"),
        ({"options": {"version": ""}}, "version has"),
        ({"options": {"hurry": True}}, "hurry is no option"),
    ],
    ids=range(6),
)
def test_options_when_wrong_then_one_sentence_names_the_key(changes: dict[str, Any], sentence: str) -> None:
    given = provider.EndpointConfig(
        name="there", adapter="anthropic", url="http://h", timeout_s=5, options={}, secret=provider_suite.SECRET
    )

    with pytest.raises(options.OptionRefused, match=sentence):
        adapter.AnthropicProvider(dataclasses.replace(given, **changes), transport.Transport())
