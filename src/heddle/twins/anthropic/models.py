"""List the models that the twin serves, as ``GET /v1/models`` shows them, with what a million of their tokens costs.

The names are those of anthropic 2.14.0 (``types/model.py``), the prices those of
https://platform.claude.com/docs/en/about-claude/pricing, read 2026-11-29. Before it: ``twin``. After it: an answer, or
the ledger.
"""

from typing import Final

from heddle.core import identity

# Name to dollars per million tokens: input, read from the cache, output.
PRICES_USD: Final[dict[str, tuple[float, float, float]]] = {
    "claude-opus-5-5": (4.0, 0.2, 20.0),
    "claude-opus-5": (5.0, 0.5, 25.0),
    "claude-sonnet-5-5": (2.0, 0.1, 10.0),
    "claude-sonnet-5": (2.0, 0.2, 10.0),
    "claude-haiku-4-5": (1.0, 0.1, 5.0),
}
_WRITE: Final = 1.25
_LINES: Final = {"opus": "Opus", "sonnet": "Sonnet", "haiku": "Haiku"}


def price_nano_usd(model: str, usage: dict[str, identity.JsonValue]) -> int:
    """Price a usage; of models that are not listed, as the dearest one."""
    listed = PRICES_USD.get(model) or PRICES_USD["claude-opus-5"]
    counts: list[float] = [
        usage["input_tokens"] + usage["cache_creation_input_tokens"] * _WRITE,
        usage["cache_read_input_tokens"],
        usage["output_tokens"],
    ]
    return round(sum(count * usd * 1_000 for count, usd in zip(counts, listed, strict=True)))


def shown(model: str) -> dict[str, identity.JsonValue]:
    """Show a model."""
    words = model.split("-")
    return {
        "id": model,
        "type": "model",
        "display_name": f"Claude {_LINES.get(words[1], words[1])} {'.'.join(words[2:])}",
        "created_at": "2026-07-24T00:00:00Z",
        "lifecycle": "active",
        "line": words[1],
        "max_input_tokens": 1_000_000,
        "max_tokens": 128_000,
    }
