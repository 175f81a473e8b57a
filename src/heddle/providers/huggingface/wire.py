"""Read the wire form of Hugging Face's servers: errors, generated texts and the events of a token stream.

Pure: bytes and texts in, records out. What does not make sense is refused. Source: text-generation-inference
router/src/lib.rs and the inference toolkit's error objects. Before it: the adapter with an answer. After it: the
adapter with an outcome to make.
"""

import dataclasses
from collections.abc import Mapping
from typing import Final

from heddle.core import identity
from heddle.providers import json_wire
from heddle.providers.huggingface import faults

LOADING_WAIT_MAX_S: Final = 600.0
_ERROR_KEYS: Final = frozenset({"error", "error_type", "warnings", "estimated_time"})


class AnswerRefused(ValueError):
    """Say why an answer is none of these servers'."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Hold what an error says: its code, empty when it has none, its words, and when to come back."""

    code: str
    message: str
    retry_after_s: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Hold one event of a stream. ``output``: the whole text and details, in the terminal event alone."""

    text: str
    output: dict[str, identity.JsonValue] | None


def failure(value: identity.JsonValue) -> Failure | None:
    """Read an error object; None when the value is none."""
    if not isinstance(value, dict) or "error" not in value or set(value) - _ERROR_KEYS:
        return None
    code, wait_s = value.get("error_type"), value.get("estimated_time")
    if isinstance(wait_s, int | float) and not isinstance(wait_s, bool) and wait_s >= 0:
        # Each question counts as a try, so the estimate is honoured; but it is rough, and one of an hour is no use.
        wait_s = float(min(wait_s, LOADING_WAIT_MAX_S))
        return Failure(code=faults.LOADING, message=str(value["error"]), retry_after_s=wait_s)
    return Failure(code=code if isinstance(code, str) else "", message=str(value["error"]), retry_after_s=None)


def failure_of(body: bytes) -> Failure | None:
    """Read the error object of a body; None when it has none."""
    try:
        return failure(json_wire.parse_json(body))
    except json_wire.WireRefused:
        return None


def generated(value: identity.JsonValue) -> dict[str, identity.JsonValue]:
    """Read the answer of ``/generate``. Raises AnswerRefused."""
    if not isinstance(value, dict) or not isinstance(value.get("generated_text"), str):
        raise AnswerRefused("has no `generated_text`")
    return {key: value[key] for key in ("generated_text", "details") if value.get(key) is not None}


def token(event: str) -> Token | Failure:
    """Read one event of ``/generate_stream``. Raises AnswerRefused."""
    try:
        value = json_wire.parse_json(event.encode("utf-8"))
    except json_wire.WireRefused as error:
        raise AnswerRefused(f"has an event that {error}") from None
    failed = failure(value)
    if failed is not None:
        return failed
    told = value.get("token") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(told, dict) or not isinstance(told.get("text"), str):
        raise AnswerRefused("has an event without a token")
    text = "" if told.get("special") is True else told["text"]
    return Token(text=text, output=generated(value) if value.get("generated_text") is not None else None)


def tokens_of(headers: Mapping[str, str], output: identity.JsonValue) -> int | None:
    """Count the tokens that a call used, in and out, as the headers say or the details of a stream; None untold."""
    counts = [headers.get(f"x-{name}-tokens", "") for name in ("prompt", "generated")]
    if all(count.isascii() and count.isdigit() and len(count) < 10 for count in counts):
        return sum(map(int, counts))
    details = output.get("details") if isinstance(output, dict) else None
    if not isinstance(details, dict):
        return None
    told = [details.get(name) for name in ("input_length", "generated_tokens")]
    whole = [count for count in told if isinstance(count, int) and not isinstance(count, bool) and count >= 0]
    return sum(whole) if len(whole) == len(told) else None
