"""OpenAI's answers as they stand on the wire, for tests of the adapter against recorded replies."""

import json
from typing import Any

from tests.contract import provider_suite, scripted_server

RETRY_AFTER = {"Retry-After": "7"}
LIMITS = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-limit-tokens": "200000",
    "x-ratelimit-remaining-tokens": "199960",
    "x-ratelimit-reset-tokens": "12ms",
}
USAGE = {
    "prompt_tokens": 1_000,
    "completion_tokens": 200,
    "total_tokens": 1_200,
    "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_764_000_000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "A hand on marble.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
    "service_tier": "default",
}


def error(code: str | None, message: str, *, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def replies(done: scripted_server.Answer, *, cut: bytes) -> provider_suite.Replies:
    return provider_suite.Replies(
        done=done,
        refused=scripted_server.json_reply(400, error("context_length_exceeded", "too long")),
        limited=scripted_server.json_reply(429, error("rate_limit_exceeded", "slow down"), headers=RETRY_AFTER),
        ambiguous=scripted_server.json_reply(500, error(None, "sorry", kind="server_error")),
        malformed=provider_suite.page(),
        cut_inside=scripted_server.cut_inside(200, cut),
        too_large=provider_suite.over_cap(),
        echoing=scripted_server.json_reply(400, error("bad", f"Incorrect key {provider_suite.SECRET} given")),
    )


def chunk(delta: dict[str, Any], *, index: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_764_000_000,
        "model": "gpt-4o-mini",
        "choices": [{"index": index, "delta": delta, "finish_reason": None, **more}],
        "usage": None,
    }


def stopped(*, index: int = 0) -> dict[str, Any]:
    return chunk({}, index=index, finish_reason="stop")


def stream(*events: Any, status: int = 200) -> scripted_server.Answer:
    """A stream of events; a text stands for itself, such as ``[DONE]``."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in events]
    body = "".join(f"data: {text}\n\n" for text in texts).encode()
    return scripted_server.reply(status, body, media_type="text/event-stream; charset=utf-8")
