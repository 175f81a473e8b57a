"""Write chat completions and responses in the vendor's form, whole and as the events of a stream.

Pure: a request and its digest in, JSON and wire bytes out. Source: types/chat and types/responses of the package openai
3.57.0, read 2026-11-29. Before it: the twin's routes, and batches. After it: the answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from heddle.core import identity
from heddle.twins.kit import calls
from heddle.twins.openai import texts

Object = dict[str, identity.JsonValue]
CHOICES_MAX: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One chat completion: its answer, its price, and the pieces of text of each choice."""

    whole: Object
    pieces: tuple[tuple[str, ...], ...]
    price_nano_usd: int
    tokens: int


def complete(body: Mapping[str, identity.JsonValue], *, digest: str, at_s: float) -> Completion:
    """Answer a chat request. Raises calls.Refused in the vendor's words."""
    model, messages = model_of(body), body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise refused("messages", "Invalid 'messages': expected an array of objects with at least one item.")
    count = whole_number(body, "n", default=1, low=1, high=CHOICES_MAX)
    limit_key = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
    limit = whole_number(body, limit_key, default=0, low=0, high=1_000_000) or None
    made = [_choice(body, digest=digest, number=number, limit=limit) for number in range(count)]
    tokens_in = texts.tokens_in(messages)
    tokens_out = sum(len(pieces) for _, pieces in made)
    whole: Object = {
        "id": f"chatcmpl-{digest[:29]}",
        "object": "chat.completion",
        "created": int(at_s),
        "model": model,
        "choices": [choice for choice, _ in made],
        "usage": usage(tokens_in, tokens_out),
        "service_tier": "default",
        "system_fingerprint": "fp_twin",
    }
    price = texts.price_nano_usd(model, tokens_in=tokens_in, tokens_cached=0, tokens_out=tokens_out)
    return Completion(
        whole=whole,
        pieces=tuple(pieces for _, pieces in made),
        price_nano_usd=price,
        tokens=tokens_in + tokens_out,
    )


def usage(tokens_in: int, tokens_out: int) -> Object:
    """Write the usage of a chat completion."""
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _choice(
    body: Mapping[str, identity.JsonValue], *, digest: str, number: int, limit: int | None
) -> tuple[Object, tuple[str, ...]]:
    chosen, is_cut = texts.words(digest, number=number, words_max=limit)
    function = _wanted_function(body)
    message: Object = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    if function is not None:
        arguments = json.dumps(texts.sample(function.get("parameters"), word=chosen[0] if chosen else ""))
        call = {"name": function.get("name"), "arguments": arguments}
        message["tool_calls"] = [{"id": f"call_{digest[:24]}", "type": "function", "function": call}]
        choice = {"index": number, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
        return choice, (arguments,)
    pieces = tuple(_structured(body, chosen) or texts.pieces(chosen))
    message["content"] = "".join(pieces)
    reason = "length" if is_cut else "stop"
    return {"index": number, "message": message, "logprobs": None, "finish_reason": reason}, pieces


def _structured(body: Mapping[str, identity.JsonValue], chosen: list[str]) -> list[str] | None:
    """Write the text as JSON where the request asks for that."""
    form = body.get("response_format")
    word = chosen[0] if chosen else ""
    match form.get("type") if isinstance(form, dict) else None:
        case "json_object":
            return [json.dumps({"answer": word})]
        case "json_schema":
            described = form.get("json_schema") if isinstance(form, dict) else None
            schema = described.get("schema") if isinstance(described, dict) else None
            return [json.dumps(texts.sample(schema, word=word))]
        case _:
            return None


def _wanted_function(body: Mapping[str, identity.JsonValue]) -> Object | None:
    """Give the function that the request forces a call of; None where calling is free or there is none."""
    tools, choice = body.get("tools"), body.get("tool_choice")
    functions: list[Object] = [
        each["function"]
        for each in (tools if isinstance(tools, list) else ())
        if isinstance(each, dict) and isinstance(each.get("function"), dict)
    ]
    if not functions or choice in (None, "auto", "none"):
        return None
    wanted = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    return next((each for each in functions if wanted in (None, each.get("name"))), functions[0])


def chunks(made: Completion, *, with_usage: bool) -> list[bytes]:
    """Write a completion as a stream of events, ended by ``[DONE]``."""
    head = {key: made.whole[key] for key in ("id", "created", "model", "service_tier", "system_fingerprint")}
    head = {"id": head.pop("id"), "object": "chat.completion.chunk", **head}
    rest: Object = {"usage": None} if with_usage else {}

    def written(choices: list[Object], **more: identity.JsonValue) -> bytes:
        return event({**head, "choices": choices, **rest, **more})

    events: list[bytes] = []
    for choice, pieces in zip(made.whole["choices"], made.pieces, strict=True):
        index, message = choice["index"], choice["message"]
        start: Object = {"role": "assistant", "content": None if message.get("tool_calls") else "", "refusal": None}
        events.append(written([_piece(index, start)]))
        for piece in pieces:
            delta: Object = {"content": piece}
            if message.get("tool_calls"):
                call = message["tool_calls"][0]
                delta = {"tool_calls": [{"index": 0, **call, "function": {**call["function"], "arguments": piece}}]}
            events.append(written([_piece(index, delta)]))
        events.append(written([_piece(index, {}, reason=choice["finish_reason"])]))
    if with_usage:
        events.append(written([], usage=made.whole["usage"]))
    return [*events, b"data: [DONE]\n\n"]


def _piece(index: int, delta: Object, *, reason: str | None = None) -> Object:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


def event(value: identity.JsonValue, *, name: str | None = None) -> bytes:
    """Write one Server-Sent Event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def model_of(body: Mapping[str, identity.JsonValue]) -> str:
    """Give the model asked for. Names that begin with ``missing-`` are of models that are not there."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise refused("model", "you must provide a model parameter")
    if model.startswith("missing-"):
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise calls.Refused(404, "model_not_found", message, field="model")
    return model


def refused(field: str, message: str) -> calls.Refused:
    """Word a request that is wrong in one field."""
    return calls.Refused(400, "invalid_value", message, field=field)


def whole_number(body: Mapping[str, identity.JsonValue], key: str, *, default: int, low: int, high: int) -> int:
    """Read a whole number of a request, which forms write as text. Raises calls.Refused."""
    value = body.get(key)
    if value is None:
        return default
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
        raise refused(key, f"Invalid '{key}': expected an integer from {low} to {high}.")
    return number
