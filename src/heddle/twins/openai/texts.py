"""Make texts, embeddings and their usage from a request alone: the same request is always answered the same.

Pure. Nothing here is meant to make sense to a reader; it is meant to have the shape, the length and the price of what
the vendor answers. A token is four characters of input, or one word of output. Before it: the twin's routes. After it:
``chat`` and ``responses``.
"""

import base64
import hashlib
import json
import random
import struct
from collections.abc import Mapping
from typing import Final

from heddle.core import identity

Object = dict[str, identity.JsonValue]
WORDS: Final = (
    *("marble", "light", "soft", "shadow", "linen", "glass", "amber", "slow", "grain", "copper", "window", "steam"),
    *("ivory", "dusk", "quiet", "edge", "brass", "morning", "hand", "paper", "frame", "warm", "stone", "velvet"),
)
OUTPUT_WORDS_MAX: Final = 4_000
EMBEDDING_DIMENSIONS: Final = {"text-embedding-3-large": 3_072}
DIMENSIONS_DEFAULT: Final = 1_536
DIMENSIONS_MAX: Final = 4_096
# Nano-dollars for a token: input, cached input, output. What the invoice says; any other model costs what gpt-4o-mini
# does. Source: the tables named in src/heddle/providers/openai/prices.toml, read 2026-11-29.
PRICES: Final[Mapping[str, tuple[int, int, int]]] = {
    "gpt-4o": (2_500, 1_250, 10_000),
    "gpt-4o-mini": (150, 75, 600),
    "gpt-4.1-mini": (400, 100, 1_600),
    "text-embedding-3-small": (20, 20, 0),
    "text-embedding-3-large": (130, 130, 0),
}
_PRICE_DEFAULT: Final = PRICES["gpt-4o-mini"]


def tokens_in(value: identity.JsonValue) -> int:
    """Count the tokens of a request's text; pictures in it count by the size of their address."""
    return max(1, len(json.dumps(value)) // 4)


def words(digest: str, *, number: int, words_max: int | None) -> tuple[list[str], bool]:
    """Give the words of the number-th answer, and whether they were cut off at ``words_max``."""
    chance = _chance(digest, number)
    count = chance.randint(8, 24)
    chosen = [chance.choice(WORDS) for _ in range(count)]
    limit = min(OUTPUT_WORDS_MAX, count if words_max is None else words_max)
    return chosen[:limit], limit < count


def pieces(chosen: list[str]) -> list[str]:
    """Write words as the pieces of one text, each with the blank before it."""
    return [word if not number else f" {word}" for number, word in enumerate(chosen)]


def embedding(text: str, *, dimensions: int) -> list[float]:
    """Give a vector of length one for a text, the same for the same text."""
    chance = _chance(hashlib.sha256(text.encode()).hexdigest(), 0)
    raw = [chance.gauss(0.0, 1.0) for _ in range(dimensions)]
    length = sum(each * each for each in raw) ** 0.5
    return [each / length for each in raw]


def packed(vector: list[float]) -> str:
    """Write a vector as the API does for ``encoding_format`` base64: 32-bit floats, little end first."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def price_nano_usd(model: str, *, tokens_in: int, tokens_cached: int, tokens_out: int) -> int:
    """Give what the invoice says for a call."""
    plain, cached, output = PRICES.get(model, _PRICE_DEFAULT)
    return (tokens_in - tokens_cached) * plain + tokens_cached * cached + tokens_out * output


def sample(schema: identity.JsonValue, *, word: str) -> identity.JsonValue:
    """Give a value of a JSON schema, for structured outputs: the first of an enum, a word, the simplest of a kind."""
    if not isinstance(schema, dict):
        return word
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            parts = schema.get("properties")
            return {key: sample(value, word=word) for key, value in (parts if isinstance(parts, dict) else {}).items()}
        case "array":
            return [sample(schema.get("items"), word=word)]
        case "integer":
            return 7
        case "number":
            return 0.5
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return word


def _chance(digest: str, number: int) -> random.Random:
    return random.Random(f"{digest}/{number}")  # noqa: S311  chance to be repeated, not to be kept secret
