"""Anthropic's own Python package works against the twin: messages, streams, tools, caching, models and errors."""

import pathlib
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from heddle.twins.anthropic import twin
from heddle.twins.kit import faults, ledger, options, server
from tests.twins import invented

MODEL = "claude-opus-5-5"
MESSAGES: Any = [{"role": "user", "content": "Describe espresso on marble."}]
TOOL: Any = {
    "name": "choose",
    "description": "Choose a surface.",
    "input_schema": {"type": "object", "properties": {"surface": {"type": "string"}, "count": {"type": "integer"}}},
}


@pytest.fixture
async def client(tmp_path: pathlib.Path) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with server.Running(twin.AnthropicTwin(invented.given(tmp_path))) as running, client_of(running) as made:
        yield made


def client_of(running: server.Running, *, key: str = options.DEFAULT_API_KEY) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key=key, base_url=running.url, max_retries=0)


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def test_message_when_asked_then_answered_and_paid_by_its_tokens(
    tmp_path: pathlib.Path, client: anthropic.AsyncAnthropic
) -> None:
    message = await client.messages.create(model=MODEL, max_tokens=200, messages=MESSAGES)
    again = await client.messages.create(model=MODEL, max_tokens=200, messages=MESSAGES)

    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert text_of(message) == text_of(again) != ""
    cost = message.usage.input_tokens * 4_000 + message.usage.output_tokens * 20_000
    assert ledger.summarise(tmp_path / "paid.jsonl").paid_nano_usd == 2 * cost


async def test_message_when_streamed_then_the_same_as_when_not(client: anthropic.AsyncAnthropic) -> None:
    whole = await client.messages.create(model=MODEL, max_tokens=200, messages=MESSAGES)
    async with client.messages.stream(model=MODEL, max_tokens=200, messages=MESSAGES) as stream:
        pieces = [piece async for piece in stream.text_stream]
        final = await stream.get_final_message()

    assert len(pieces) > 3
    assert "".join(pieces) == text_of(final) == text_of(whole)
    assert (final.usage.input_tokens, final.usage.output_tokens, final.stop_reason) == (
        whole.usage.input_tokens,
        whole.usage.output_tokens,
        "end_turn",
    )


async def test_message_when_a_tool_must_be_used_then_called_with_what_its_schema_asks(
    client: anthropic.AsyncAnthropic,
) -> None:
    asked: Any = {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "choose"}}
    whole = await client.messages.create(model=MODEL, max_tokens=200, messages=MESSAGES, **asked)
    async with client.messages.stream(model=MODEL, max_tokens=200, messages=MESSAGES, **asked) as stream:
        final = await stream.get_final_message()

    for message in (whole, final):
        block = message.content[0]
        assert block.type == "tool_use"
        assert (message.stop_reason, block.input) == ("tool_use", {"surface": "marble", "count": 7})


async def test_message_when_thinking_then_a_signed_thought_before_the_text(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(
        model=MODEL, max_tokens=2_000, messages=MESSAGES, thinking={"type": "enabled", "budget_tokens": 1_024}
    ) as stream:
        final = await stream.get_final_message()

    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.content[0].type == "thinking"
    assert final.content[0].signature


async def test_message_when_longer_than_allowed_then_cut(client: anthropic.AsyncAnthropic) -> None:
    message = await client.messages.create(model=MODEL, max_tokens=3, messages=MESSAGES)

    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)
    assert len(text_of(message)) <= 12


async def test_message_when_its_beginning_is_cached_then_written_once_and_read_afterwards(
    client: anthropic.AsyncAnthropic,
) -> None:
    system: Any = [{"type": "text", "text": "Be brief. " * 500, "cache_control": {"type": "ephemeral"}}]
    first, second = [
        (await client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES, system=system)).usage
        for _ in range(2)
    ]

    assert first.cache_creation_input_tokens == second.cache_read_input_tokens
    assert first.cache_creation_input_tokens is not None
    assert first.cache_creation_input_tokens > 1_024
    assert (first.cache_read_input_tokens, second.cache_creation_input_tokens) == (0, 0)


async def test_tokens_when_counted_then_free(tmp_path: pathlib.Path, client: anthropic.AsyncAnthropic) -> None:
    counted = await client.messages.count_tokens(model=MODEL, messages=MESSAGES)
    message = await client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)

    assert counted.input_tokens == message.usage.input_tokens
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 1


async def test_models_when_listed_in_pages_then_all_and_each_is_found(client: anthropic.AsyncAnthropic) -> None:
    listed = [model.id async for model in client.models.list(limit=2)]
    found = await client.models.retrieve(MODEL)

    assert len(listed) == len(set(listed)) == 5
    assert (found.id, found.display_name, found.lifecycle) == (MODEL, "Claude Opus 5.5", "active")


async def test_limits_when_answered_then_told_in_headers(client: anthropic.AsyncAnthropic) -> None:
    raw = await client.messages.with_raw_response.create(model=MODEL, max_tokens=9, messages=MESSAGES)

    assert raw.headers["anthropic-ratelimit-requests-limit"] == "1000"
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "999"
    assert raw.headers["request-id"].startswith("req_")
    assert raw.headers["anthropic-ratelimit-tokens-reset"].endswith("Z")


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"messages": []}, anthropic.BadRequestError),
        ({"messages": [{"role": "nobody", "content": "x"}]}, anthropic.BadRequestError),
        ({"max_tokens": 0}, anthropic.BadRequestError),
        ({"model": "gpt-x"}, anthropic.NotFoundError),
        ({"extra_body": {"temperature": 0.5}}, anthropic.BadRequestError),
        ({"extra_headers": {"anthropic-version": "1999-01-01"}}, anthropic.BadRequestError),
    ],
)
async def test_message_when_the_request_is_wrong_then_refused_and_unpaid(
    asked: dict[str, Any],
    kind: type[anthropic.APIStatusError],
    tmp_path: pathlib.Path,
    client: anthropic.AsyncAnthropic,
) -> None:
    with pytest.raises(kind) as refused:
        await client.messages.create(**{"model": MODEL, "max_tokens": 9, "messages": MESSAGES, **asked})

    assert refused.value.request_id is not None
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 0


@pytest.mark.parametrize(
    ("rates", "kinds"),
    [
        ({"throttled": 1.0}, (anthropic.RateLimitError,)),
        ({"server_error": 1.0}, (anthropic.InternalServerError,)),
    ],
)
async def test_message_when_a_fault_strikes_then_the_packages_own_error(
    rates: dict[str, float], kinds: tuple[type[Exception], ...], tmp_path: pathlib.Path
) -> None:
    given = invented.given(tmp_path, rates=faults.Rates(**rates))
    async with server.Running(twin.AnthropicTwin(given)) as running, client_of(running) as client:
        with pytest.raises(kinds):
            await client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)


async def test_stream_when_it_breaks_off_then_the_package_says_so(tmp_path: pathlib.Path) -> None:
    given = invented.given(tmp_path, rates=faults.Rates(lie=1.0))
    async with server.Running(twin.AnthropicTwin(given)) as running, client_of(running) as client:
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            async with client.messages.stream(model=MODEL, max_tokens=200, messages=MESSAGES) as stream:
                await stream.get_final_message()


async def test_client_when_its_key_is_wrong_then_unauthenticated(tmp_path: pathlib.Path) -> None:
    async with (
        server.Running(twin.AnthropicTwin(invented.given(tmp_path))) as running,
        client_of(running, key="wrong") as client,
    ):
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)
