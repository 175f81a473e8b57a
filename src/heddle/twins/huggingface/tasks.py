"""Do the twin's tasks: small answers in the forms of the real ones, always the same for the same input.

Pure. Source: text-generation-inference router/src/lib.rs and the task pages of the inference documentation (read
2026-11-29). Before it: ``twin``. After it: ``twin``.
"""

import base64
import binascii
import hashlib
import json

from heddle.core import identity

WORDS = ("the", "lamp", "throws", "warm", "light", "on", "marble", "and", "linen")
TOKENS_MAX = 1_000
LABELS = ("cup", "lamp", "vase")
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"OggS", b"fLaC", b"ID3")


class Invalid(ValueError):
    """Say why an input is refused."""


def tokens_of(request: dict[str, identity.JsonValue]) -> tuple[str, list[str]]:
    """Give the prompt and the tokens of the answer. Raises Invalid."""
    prompt, told = request.get("inputs"), request.get("parameters")
    if not isinstance(prompt, str) or not prompt:
        raise Invalid("Input validation error: `inputs` cannot be empty")
    parameters = told if isinstance(told, dict) else {}
    count = parameters.get("max_new_tokens", 8)
    if type(count) is not int or count < 1:
        raise Invalid("Input validation error: `max_new_tokens` must be strictly positive")
    temperature = parameters.get("temperature")
    if isinstance(temperature, int | float) and temperature <= 0:
        raise Invalid("Input validation error: `temperature` must be strictly positive")
    if count > TOKENS_MAX:
        raise Invalid(f"Input validation error: `max_new_tokens` must be <= {TOKENS_MAX}")
    start = sum(prompt.encode()) % len(WORDS)
    chosen = [WORDS[(start + number) % len(WORDS)] for number in range(count)]
    return prompt, [word if number == 0 else f" {word}" for number, word in enumerate(chosen)]


def details(tokens: list[str], *, is_stream: bool, prompt: str) -> dict[str, identity.JsonValue]:
    """Give the details of an answer, in the form of the stream's last event or of the whole answer."""
    told: dict[str, identity.JsonValue] = {
        "finish_reason": "length",
        "generated_tokens": len(tokens),
        "seed": None,
    }
    if is_stream:
        return {**told, "input_length": input_length(prompt)}
    return {**told, "prefill": [], "tokens": [token(number, text) for number, text in enumerate(tokens)]}


def token(number: int, text: str) -> dict[str, identity.JsonValue]:
    """Give one token."""
    return {"id": 100 + number, "text": text, "logprob": -0.5, "special": False}


def input_length(prompt: str) -> int:
    """Count the tokens of a prompt, four bytes each."""
    return len(prompt.encode()) // 4 + 1


def medium_in(given: identity.JsonValue) -> bytes | None:
    """Give the picture or sound that an input is in base64; None when it is none."""
    if not isinstance(given, str):
        return None
    try:
        data = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if data.startswith(_MAGIC) else None


def is_text(request: dict[str, identity.JsonValue]) -> bool:
    """Tell whether a request wants a text: it has parameters, if empty ones, or says whether to stream."""
    return isinstance(request.get("parameters"), dict) or "stream" in request


def classified(data: bytes, *, parameters: identity.JsonValue) -> list[dict[str, identity.JsonValue]]:
    """Classify a medium, as ``image-classification`` answers: the ``top_k`` best labels. Raises Invalid."""
    most = parameters.get("top_k", len(LABELS)) if isinstance(parameters, dict) else len(LABELS)
    if type(most) is not int or most < 1:
        raise Invalid("`top_k` must be strictly positive")
    digest = hashlib.sha256(data).digest()
    order = sorted(range(len(LABELS)), key=lambda index: digest[index], reverse=True)
    return [{"label": LABELS[index], "score": round(0.9 / 2**place, 4)} for place, index in enumerate(order[:most])]


def embedded(value: identity.JsonValue) -> identity.JsonValue:
    """Embed a text in eight numbers, as ``feature-extraction`` answers, and each text of a list in a row of them."""
    if isinstance(value, list):
        return [embedded(each) for each in value]
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return [round(byte / 255, 4) for byte in digest[:8]]
