"""Read what a call used, and what that costs at list price.

Pure. A price is given only where the list price tells the whole bill: audio, cache writes, tools that are charged by
the call and prompts beyond the short-context price are left unpriced, and then the endpoint's ``price_usd`` counts.
Before it: an answer. After it: the outcome's cost and ``told``.
"""

import dataclasses
from typing import Final

from heddle.core import identity
from heddle.core.policy import price
from heddle.providers import prices

# Above this a model's long-context price counts, which the list has not (developers.openai.com/api/docs/pricing).
SHORT_CONTEXT_TOKENS: Final = 272_000
_COUNT_MAX: Final = 10**12  # what price.Usage takes
_PLAIN_TIERS: Final = frozenset({"", "auto", "default"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Hold what one answer says of its use. ``is_listed``: the list price covers all of it."""

    usage: price.Usage
    tokens: int | None
    images: int | None
    is_listed: bool


def read(answer: identity.JsonValue) -> Used:
    """Read ``usage`` of an answer of any operation. Never raises: what cannot be true is not told."""
    found = answer.get("usage") if isinstance(answer, dict) else None
    data = answer.get("data") if isinstance(answer, dict) else None
    pictures = [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []
    images = sum(bool({"b64_json", "url"} & set(each)) for each in pictures) or None
    spent = found if isinstance(found, dict) else {}
    inputs = _first(spent, "input_tokens", "prompt_tokens")
    outputs = _first(spent, "output_tokens", "completion_tokens")
    details = _table(spent, "input_tokens_details", "prompt_tokens_details")
    results = _table(spent, "output_tokens_details", "completion_tokens_details")
    usage = price.Usage(
        input_tokens=inputs,
        cached_input_tokens=_count(details.get("cached_tokens")),
        output_tokens=outputs if outputs is not None or inputs is None else 0,  # embeddings put nothing out
        images=images,
    )
    tokens = _count(spent.get("total_tokens"))
    odd = (details.get("audio_tokens"), details.get("cache_write_tokens"), results.get("audio_tokens"))
    is_listed = (
        not any(odd)
        and (inputs or 0) <= SHORT_CONTEXT_TOKENS
        and _tier(answer) in _PLAIN_TIERS
        and not _has_paid_tools(answer)
    )
    return Used(usage=usage, tokens=tokens, images=images, is_listed=is_listed)


def cost_nano_usd(used: Used, *, model: str) -> int | None:
    """Give what the call costs at the list price of the model; None where that is not known."""
    listed = prices.of(prices.read("openai"), model, adapter="openai")
    if listed is None or not used.is_listed:
        return None
    return price.cost_nano_usd(listed, used.usage)


def _tier(answer: identity.JsonValue) -> str:
    tier = answer.get("service_tier") if isinstance(answer, dict) else None
    return tier if isinstance(tier, str) else ""


def _has_paid_tools(answer: identity.JsonValue) -> bool:
    """Tell whether the answer names calls of tools that cost extra, such as web search."""
    output = answer.get("output") if isinstance(answer, dict) else None
    kinds = {each.get("type") for each in output if isinstance(each, dict)} if isinstance(output, list) else set()
    return bool(kinds & {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"})


def _first(table: dict[str, identity.JsonValue], *keys: str) -> int | None:
    return next((count for key in keys if (count := _count(table.get(key))) is not None), None)


def _table(table: dict[str, identity.JsonValue], *keys: str) -> dict[str, identity.JsonValue]:
    return next((found for key in keys if isinstance(found := table.get(key), dict)), {})


def _count(value: identity.JsonValue) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _COUNT_MAX
    return value if is_count else None
