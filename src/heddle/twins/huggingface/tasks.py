"""Do the twin's tasks: small answers in the forms of the real ones, always the same for the same input.

Pure. Source: text-generation-inference router/src/lib.rs and the task pages of the inference documentation (read
2026-11-29). Before it: ``twin``. After it: ``twin``.
"""

import hashlib
import json

from heddle.core import identity

WORDS = ("the", "lamp", "throws", "warm", "light", "on", "marble", "and", "linen")
TOKENS_MAX = 1_000
LABELS = ("cup", "lamp", "vase")


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


def classified(data: bytes) -> list[dict[str, identity.JsonValue]]:
    """Classify a medium, as ``image-classification`` answers."""
    digest = hashlib.sha256(data).digest()
    order = sorted(range(len(LABELS)), key=lambda index: digest[index], reverse=True)
    return [{"label": LABELS[index], "score": round(0.9 / 2**place, 4)} for place, index in enumerate(order)]


def embedded(value: identity.JsonValue) -> list[float]:
    """Embed a JSON value in eight numbers, as ``feature-extraction`` answers."""
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return [round(byte / 255, 4) for byte in digest[:8]]
