"""Say a request for a response to a model that chats, and a chat's answer as a response.

Pure, and for text and pictures that are looked at. A model that takes responses itself is given the body as it came.
What a chat cannot be asked is refused by name and never left out in silence; what nobody's table names is passed on.
Source: openai 3.57.0, ``types/responses`` and ``types/chat``. Before it: ``openai_door``. After it: ``mapping``.
"""

import time
from collections.abc import Mapping
from typing import Any

from heddle.gateway import openai_form, refusals

Given = Mapping[str, Any]
MAPPED = frozenset({"input", "instructions", "max_output_tokens", "reasoning", "text"})
UNSAID = frozenset(
    {
        "access_programs",
        "background_options",
        "context_management",
        "conversation",
        "image",
        "include",
        "max_tool_calls",
        "moderation",
        "previous_response_id",
        "prompt",
        "prompt_cache_options",
        "tool_choice",
        "tools",
        "top_logprobs",
        "truncation",
    }
)
"""Fields of a response that a chat has nothing for; their defaults below ask for nothing."""
_ASKS_NOTHING = {"tool_choice": ("auto", "none"), "truncation": ("disabled",)}
_OURS = frozenset({"model", "stream", "stream_options", "background", "parallel_tool_calls"})
_TEXTS = frozenset({"input_text", "output_text", "text"})
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def check(given: Given) -> None:
    """Refuse what this gateway does not do for any model. Raises Refusal."""
    if given.get("stream"):
        message = "responses are not streamed here; leave stream out, or stream POST /v1/chat/completions"
        raise refusals.invalid(message, field="stream")
    if given.get("background"):
        message = "leave background out: the run goes on by itself, and the same Idempotency-Key gives its answer later"
        raise refusals.invalid(message, field="background")


def passed_on(given: Given) -> dict[str, Any]:
    """Give the input of a model that takes responses itself."""
    return {name: value for name, value in given.items() if name not in ("model", "stream", "stream_options")}


def as_chat(given: Given) -> dict[str, Any]:
    """Give the body of a chat that asks the same. Raises Refusal naming what cannot be asked."""
    for name in sorted(UNSAID & set(given)):
        if given[name] and given[name] not in _ASKS_NOTHING.get(name, ()):
            message = f"{name} cannot be asked of this model, which chats; one of the operation responses takes it"
            raise refusals.invalid(message, field=name)
    rest = {name: value for name, value in given.items() if name not in _OURS | MAPPED | UNSAID}
    limit = given.get("max_output_tokens")
    return {
        "messages": [*_instructions(given.get("instructions")), *_messages(given.get("input"))],
        **({} if limit is None else {"max_completion_tokens": limit}),
        **_reasoning(given.get("reasoning")),
        **_text(given.get("text")),
        **rest,
    }


def _instructions(text: Any) -> list[dict[str, Any]]:
    if text is None:
        return []
    if not isinstance(text, str):
        raise refusals.invalid("instructions must be a text", field="instructions")
    return [{"role": "system", "content": text}]


def _messages(given: Any) -> list[dict[str, Any]]:
    if isinstance(given, str) and given:
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise refusals.invalid("input must be a text or a list of messages", field="input")
    return [_message(item, place=f"input[{number}]") for number, item in enumerate(given)]


def _message(item: Any, *, place: str) -> dict[str, Any]:
    if not isinstance(item, dict) or item.get("type", "message") != "message" or not isinstance(item.get("role"), str):
        raise refusals.invalid(f"{place} must be a message with a role and content", field="input")
    content = item.get("content")
    if isinstance(content, str):
        return {"role": item["role"], "content": content}
    if not isinstance(content, list):
        raise refusals.invalid(f"{place}.content must be a text or a list of parts", field="input")
    parts = [_part(part, place=f"{place}.content[{number}]") for number, part in enumerate(content)]
    if all(part["type"] == "text" for part in parts):
        return {"role": item["role"], "content": "\n".join(part["text"] for part in parts)}
    return {"role": item["role"], "content": parts}


def _part(part: Any, *, place: str) -> dict[str, Any]:
    kind = str(part.get("type")) if isinstance(part, dict) else None
    if kind in _TEXTS and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "input_image" and part.get("image_url"):
        detail = part.get("detail")
        return {
            "type": "image_url",
            "image_url": {"url": part["image_url"], **({} if detail is None else {"detail": detail})},
        }
    raise refusals.invalid(f"{place} must be an input_text, or an input_image with an image_url", field="input")


def _reasoning(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict) or any(value for name, value in given.items() if name != "effort"):
        raise refusals.invalid("of reasoning only effort can be asked of a model that chats", field="reasoning")
    return {} if given.get("effort") is None else {"reasoning_effort": given["effort"]}


def _text(given: Any) -> dict[str, Any]:
    """Say in which form the text is to come, as a chat is asked for it."""
    if given is None:
        return {}
    wanted = given.get("format") or {"type": "text"} if isinstance(given, dict) else None
    if not isinstance(wanted, dict) or set(given) - {"format", "verbosity"}:
        raise refusals.invalid("text must be an object with format, verbosity or both", field="text")
    rest = {} if given.get("verbosity") is None else {"verbosity": given["verbosity"]}
    match wanted.get("type"):
        case "text":
            return rest
        case "json_schema":
            named = {name: value for name, value in wanted.items() if name != "type"}
            return {**rest, "response_format": {"type": "json_schema", "json_schema": named}}
        case _:
            return {**rest, "response_format": wanted}


# Answers


def response(output: Any, *, run_id: str, model: str, given: Given) -> dict[str, Any]:
    """Give a response: the vendor's, or made of any other answer that has a text. Raises Refusal when none has."""
    if isinstance(output, dict) and output.get("object") == "response" and isinstance(output.get("output"), list):
        return output
    chat = openai_form.completion(output, run_id=run_id, model=model)
    choice = chat["choices"][0] if chat["choices"] else {}
    reason = _INCOMPLETE.get(choice.get("finish_reason") or "")
    status = "completed" if reason is None else "incomplete"
    message = {"id": f"msg_{run_id}", "type": "message", "role": "assistant", "status": status}
    usage = chat.get("usage")
    return {
        "id": f"resp_{run_id}",
        "object": "response",
        "created_at": chat.get("created") or int(time.time()),
        "status": status,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "instructions": given.get("instructions"),
        "max_output_tokens": given.get("max_output_tokens"),
        "metadata": given.get("metadata") or {},
        "model": chat.get("model") or model,
        "output": [{**message, "content": [_said(choice.get("message") or {})]}],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "temperature": given.get("temperature"),
        "text": given.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": given.get("top_p"),
        "usage": _usage(usage) if isinstance(usage, dict) else None,
    }


def _said(message: Given) -> dict[str, Any]:
    if message.get("refusal"):
        return {"type": "refusal", "refusal": message["refusal"]}
    return {"type": "output_text", "text": message.get("content") or "", "annotations": [], "logprobs": []}


def _usage(usage: Given) -> dict[str, Any]:
    """Count in a response's words; what the answer did not count is 0, as the form asks for a number."""
    read, made = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": usage.get("total_tokens") or read + made,
    }
