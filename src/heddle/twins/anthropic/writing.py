"""Make a message for a request, and the events that it streams as: always the same for the same request.

The message has a thought when thinking is asked for, a tool's call when a tool must be used, else a text. Pure. Before
it: ``twin`` with a request. After it: an answer. Sources, read 2026-11-29: anthropic 2.14.0 (``types/message.py``,
``types/raw_message_stream_event.py``), https://platform.claude.com/docs/en/build-with-claude/streaming.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from heddle.core import identity

JsonObject = dict[str, identity.JsonValue]
CHARACTERS_A_TOKEN: Final = 4
WORDS_MAX: Final = 40
_WORDS: Final = (
    "A",
    "quiet",
    "espresso",
    "rests",
    "on",
    "pale",
    "marble;",
    "soft",
    "light",
    "falls",
    "from",
    "the",
    "left.",
)
_SAMPLES: Final[Mapping[str, identity.JsonValue]] = {
    "string": "marble",
    "integer": 7,
    "number": 0.5,
    "boolean": True,
    "array": [],
    "object": {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """How many tokens of a request's input were read from the cache, and how many were written to it."""

    read: int = 0
    written: int = 0


def message(asked: JsonObject, *, message_id: str, seed: int, cached: Cached) -> JsonObject:
    """Make the whole message that a request is answered with."""
    content = _content(asked, seed=seed)
    limit = asked["max_tokens"]
    output = max(1, sum(tokens_of(block) for block in content))
    is_cut = isinstance(limit, int) and output > limit
    if is_cut and content[-1]["type"] == "text":
        content[-1]["text"] = str(content[-1]["text"])[: limit * CHARACTERS_A_TOKEN]
    is_tool = content[-1]["type"] == "tool_use"
    counted = tokens_of([asked.get(key) for key in ("system", "messages", "tools")])
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": content,
        "stop_reason": "max_tokens" if is_cut else "tool_use" if is_tool else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": max(1, counted - cached.read - cached.written),
            "cache_creation_input_tokens": cached.written,
            "cache_read_input_tokens": cached.read,
            "cache_creation": {"ephemeral_5m_input_tokens": cached.written, "ephemeral_1h_input_tokens": 0},
            "output_tokens": min(output, limit) if isinstance(limit, int) else output,
            "service_tier": "standard",
        },
    }


def events(whole: JsonObject) -> list[bytes]:
    """Give the events that a message streams as, in their wire form."""
    usage = whole["usage"]
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    found = [event("message_start", message=begun), event("ping")]
    for index, block in enumerate(whole["content"]):
        found.append(event("content_block_start", index=index, content_block=_empty(block)))
        found.extend(event("content_block_delta", index=index, delta=delta) for delta in _deltas(block))
        found.append(event("content_block_stop", index=index))
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]}
    found.append(event("message_delta", delta=stop, usage={"output_tokens": usage["output_tokens"]}))
    found.append(event("message_stop"))
    return found


def event(kind: str, **data: identity.JsonValue) -> bytes:
    """Write one event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data}, separators=(',', ':'))}\n\n".encode()


def tokens_of(value: identity.JsonValue) -> int:
    """Count the tokens of a value, by its length in characters; media count as 1,500 each."""
    if isinstance(value, dict):
        if value.get("type") == "base64":
            return 1_500
        return sum(tokens_of(item) for item in value.values())
    if isinstance(value, list):
        return sum(tokens_of(item) for item in value)
    return 0 if value is None else -(-len(str(value)) // CHARACTERS_A_TOKEN)


def is_caching(value: identity.JsonValue) -> bool:
    """Tell whether a request asks anywhere for its beginning to be cached."""
    if isinstance(value, dict):
        return "cache_control" in value or any(is_caching(item) for item in value.values())
    return isinstance(value, list) and any(is_caching(item) for item in value)


def _content(asked: JsonObject, *, seed: int) -> list[JsonObject]:
    digest = hashlib.sha256(f"{seed}/{json.dumps(asked['messages'], sort_keys=True)}".encode()).digest()
    thinking = asked.get("thinking")
    content: list[JsonObject] = []
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        signature = base64.b64encode(digest).decode()
        content.append(
            {"type": "thinking", "thinking": "What is asked for is a picture in words.", "signature": signature}
        )
    tool = _wanted_tool(asked)
    if tool is not None:
        called = {"id": f"toolu_{digest.hex()[:24]}", "name": tool.get("name", ""), "input": _sample(tool)}
        content.append({"type": "tool_use", **called})
        return content
    words = [_WORDS[byte % len(_WORDS)] for byte in digest[: 8 + digest[0] % 16]]
    content.append({"type": "text", "text": " ".join(words)})
    return content


def _wanted_tool(asked: JsonObject) -> JsonObject | None:
    """Give the tool that must be used; None when a text will do."""
    choice, tools = asked.get("tool_choice"), asked.get("tools")
    if not isinstance(choice, dict) or not isinstance(tools, list) or not tools:
        return None
    if choice.get("type") == "any":
        return tools[0] if isinstance(tools[0], dict) else None
    named = (tool for tool in tools if isinstance(tool, dict) and tool.get("name") == choice.get("name"))
    return next(named, None) if choice.get("type") == "tool" else None


def _sample(tool: JsonObject) -> JsonObject:
    """Make an input that fits a tool's schema at its first level."""
    schema = tool.get("input_schema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return {}
    return {
        name: _SAMPLES.get(str(each.get("type")), "marble")
        for name, each in list(properties.items())[:WORDS_MAX]
        if isinstance(each, dict)
    }


def _empty(block: JsonObject) -> JsonObject:
    match block["type"]:
        case "text":
            return {"type": "text", "text": ""}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case _:
            return {**block, "input": {}}


def _deltas(block: JsonObject) -> list[JsonObject]:
    match block["type"]:
        case "text":
            return [{"type": "text_delta", "text": piece} for piece in _pieces(str(block["text"]))]
        case "thinking":
            thought: list[JsonObject] = [
                {"type": "thinking_delta", "thinking": piece} for piece in _pieces(str(block["thinking"]))
            ]
            return [*thought, {"type": "signature_delta", "signature": block["signature"]}]
        case _:
            text = json.dumps(block["input"])
            parts = [text[start : start + 8] for start in range(0, len(text), 8)]
            return [{"type": "input_json_delta", "partial_json": part} for part in ["", *parts]]


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]
