"""Replies of the forms that Anthropic documents, for the tests of the ``anthropic`` adapter."""

import json
from collections.abc import Sequence
from typing import Any

from tests.contract import provider_suite, scripted_server

MODEL = "claude-opus-5-5"
LIMITS = {
    "anthropic-ratelimit-requests-limit": "1000",
    "anthropic-ratelimit-requests-remaining": "999",
    "anthropic-ratelimit-requests-reset": "2026-11-29T12:41:00Z",
    "request-id": "req_011CSLsW7mFqvHHnzrKdKjAE",
}
USAGE = {
    "input_tokens": 100,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 10,
    "service_tier": "standard",
}
COST_NANO_USD = 100 * 4_000 + 10 * 20_000


def message(**changes: object) -> dict[str, Any]:
    return {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": "A quiet espresso."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
        **changes,
    }


def error(status: int, kind: str, *, code: str | None = None, text: str = "no") -> scripted_server.Answer:
    details = {"details": {"error_code": code}} if code else {}
    value = {"type": "error", "error": {"type": kind, "message": text, **details}, "request_id": "req_1"}
    return scripted_server.json_reply(status, value, headers={"retry-after": "7"} if status in (429, 529) else {})


def iteration(kind: str = "message") -> dict[str, Any]:
    """An entry of ``usage.iterations`` (anthropic 2.14.0, ``types/beta/beta_iterations_usage.py``)."""
    return {"type": kind, **USAGE}


def event(kind: str, **data: object) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"


def events(*, usage: dict[str, Any] | None = None) -> list[str]:
    """A stream that makes ``message()``, with a tool's call and a thought beside its text."""
    begun = {**message(content=[], stop_reason=None), "usage": {**USAGE, "output_tokens": 1}}
    return [
        event("message_start", message=begun),
        event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
        event("ping"),
        event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."}),
        event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "c2ln"}),
        event("content_block_stop", index=0),
        event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=1, delta={"type": "text_delta", "text": "A quiet "}),
        event("content_block_delta", index=1, delta={"type": "text_delta", "text": "espresso."}),
        event("content_block_stop", index=1),
        event("content_block_start", index=2, content_block={"type": "tool_use", "id": "t", "name": "n", "input": {}}),
        event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '{"a"'}),
        event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": ": 1}"}),
        event("content_block_stop", index=2),
        event("something_new", index=9),
        event(
            "message_delta",
            delta={"stop_reason": "tool_use", "stop_sequence": None},
            usage=usage or {"output_tokens": 10, "input_tokens": None},
        ),
        event("message_stop"),
    ]


def streamed(parts: Sequence[str], *, is_cut: bool = False) -> scripted_server.Answer:
    """An answer of events in chunks, each cut in two; ``is_cut``: without the chunk that ends the body."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream; charset=utf-8", "Transfer-Encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in LIMITS.items()]
    pieces = [("\r\n".join(lines) + "\r\n\r\n").encode()]
    for part in parts:
        data = part.encode()
        halves = (data[: len(data) // 2], data[len(data) // 2 :])
        pieces.extend(f"{len(half):x}\r\n".encode() + half + b"\r\n" for half in halves)
    return scripted_server.Answer(pieces=(*pieces, *(() if is_cut else (b"0\r\n\r\n",))), is_cut=is_cut)


def replies(*, done: scripted_server.Answer) -> provider_suite.Replies:
    return provider_suite.Replies(
        done=done,
        refused=error(400, "invalid_request_error", text="messages: at least one message is required"),
        limited=error(429, "rate_limit_error"),
        ambiguous=error(500, "api_error"),
        malformed=provider_suite.page(),
        cut_inside=scripted_server.cut_inside(200, json.dumps(message()).encode()),
        too_large=provider_suite.over_cap(),
        echoing=error(401, "authentication_error", text=f"invalid x-api-key {provider_suite.SECRET}"),
    )
