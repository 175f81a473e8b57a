"""The ``openai`` adapter puts streams together as the servers that speak like OpenAI cut them."""

from typing import Any

import pytest

from heddle.core import settle
from tests.contract import openai_replies, scripted_server, tenant_artifacts
from tests.contract.test_openai_adapter import MESSAGES, artifacts, request, sent, server

__all__ = ["artifacts", "server"]

FIRST = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a'}}
EMPTY = {"index": 0, "id": "", "type": "", "function": {"name": "", "arguments": '":1}'}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
PICTURES = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{each}"}} for each in ("AA", "BB")]


@pytest.mark.parametrize(
    ("deltas", "message"),
    [
        ([{"tool_calls": [FIRST]}, {"role": "", "tool_calls": [EMPTY]}], {"content": None, "tool_calls": [CALL]}),
        ([{"images": PICTURES[:1]}, {"images": PICTURES[1:]}], {"content": None, "images": PICTURES}),
        (
            [{"content": [{"type": "thinking"}]}, {"content": [{"type": "text"}]}],
            {"content": [{"type": "thinking"}, {"type": "text"}]},
        ),
    ],
    ids=["empty texts after the name", "one picture a chunk", "content in parts"],
)
async def test_stream_when_its_pieces_are_cut_otherwise_then_nothing_of_them_is_lost(
    deltas: list[dict[str, Any]],
    message: dict[str, Any],
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(openai_replies.stream(*map(openai_replies.chunk, deltas), openai_replies.stopped(), "[DONE]"))

    outcome = await sent(server.url, request(artifacts, {"messages": MESSAGES}, on_delta=lambda piece: None))

    assert isinstance(outcome, settle.Completed), outcome
    assert outcome.output["choices"][0]["message"] == {"role": "assistant", **message}


REASONLESS = [
    openai_replies.chunk({"role": "assistant", "content": "A quiet "}),
    openai_replies.chunk({"content": "cup."}),
]


@pytest.mark.parametrize(
    ("options", "parts", "kind"),
    [
        ({}, [*REASONLESS, "[DONE]"], settle.Unknown),
        ({"stream_end": "done"}, [*REASONLESS, "[DONE]"], settle.Completed),
        ({"stream_end": "done"}, REASONLESS, settle.Unknown),
        ({"stream_end": "done"}, ["[DONE]"], settle.Unknown),
    ],
    ids=["not declared", "declared", "cut before its end", "of nothing"],
)
async def test_stream_when_no_choice_says_why_it_stopped_then_whole_only_where_its_end_is_declared(
    options: dict[str, Any],
    parts: list[Any],
    kind: type[settle.Outcome],
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(openai_replies.stream(*parts))

    outcome = await sent(server.url, request(artifacts, {"messages": MESSAGES}, on_delta=lambda piece: None), **options)

    assert isinstance(outcome, kind), outcome
