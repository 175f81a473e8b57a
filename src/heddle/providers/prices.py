"""Read an adapter's price list, the ``prices.toml`` of its folder, and tell what calls are expected to cost by it.

An endpoint goes by the list where ``heddle.toml`` says ``price = "list"``: a call then reserves what it is expected to
cost, from what ``[models.X]`` or the call itself says it uses. What it has cost is what the provider says, or what its
adapter makes of the usage told. Before it: ``wiring`` with the deployment file, or an adapter. After it:
``core.policy.price``.
"""

import datetime
import decimal
import functools
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from heddle.config import deployment
from heddle.core.policy import price

ANY_MODEL: Final = "*"
# Keys of [models."name"], each a decimal text of dollars, and the part of ``price.Price`` that it fills.
_PARTS: Final[Mapping[str, str]] = {
    "price_usd": "call",
    "input_usd_per_mtok": "input_per_mtok",
    "cached_input_usd_per_mtok": "cached_input_per_mtok",
    "output_usd_per_mtok": "output_per_mtok",
    "image_usd": "image",
    "second_usd": "second",
}

# How vendors date what they pin under a model's name, where they do: gpt-4o-2024-08-06 (developers.openai.com/api/docs/
# models), claude-haiku-4-5-20251001 (platform.claude.com/docs/en/about-claude/models/model-ids-and-versions), both read
# 2026-11-29. Four digits or "latest" are another model: who made its name knows what it costs, and the list does not.
_DATES: Final[Mapping[str, re.Pattern[str]]] = {
    "openai": re.compile(r"-(20[0-9]{2}-[0-9]{2}-[0-9]{2})\Z"),
    "anthropic": re.compile(r"-(20[0-9]{6})\Z"),
}

Book = Mapping[str, price.Price]


class PricesMalformed(ValueError):
    """Say what is wrong in a price list."""


@functools.cache
def read(adapter: str) -> Book:
    """Give an adapter's list prices by model; ``*`` stands for every other model."""
    text = resources.files("heddle.providers").joinpath(adapter, "prices.toml").read_text("utf-8")
    return parse(text, place=f"providers/{adapter}/prices.toml")


def of(book: Book, model: str, *, adapter: str) -> price.Price | None:
    """Give a model's price: its own, that of its name without a date as its vendor writes one (``gpt-x`` for
    ``gpt-x-2026-01-01``), that of every other model, or None. Another ending makes another model: ``gpt-x-pro`` and
    ``gpt-x-2024`` have not the price of ``gpt-x``.
    """
    return book.get(model) or book.get(_undated(model, adapter)) or book.get(ANY_MODEL)


def _undated(model: str, adapter: str) -> str:
    pattern = _DATES.get(adapter)
    found = None if pattern is None else pattern.search(model)
    if found is None:
        return model
    try:
        datetime.date.fromisoformat(found[1])
    except ValueError:
        return model
    return model[: found.start()]


def expected(wanted: deployment.Deployment) -> dict[tuple[str, str], price.Expected]:
    """Give what a call of each model through each endpoint that goes by its list is expected to cost.

    A route that the list cannot price is left out where the endpoint has a ``price_usd``, which it then costs. Raises
    DeploymentRefused where it has none: nothing would hold its calls to a cap.
    """
    found: dict[tuple[str, str], price.Expected] = {}
    for route in wanted.routes:
        endpoint = wanted.endpoints[route.endpoint]
        if not endpoint.is_list_priced:
            continue
        listed = of(_book(endpoint), listed_name(endpoint, model=route.model), adapter=endpoint.adapter)
        cost = None if listed is None else price.expected(listed, _usage(wanted.models.get(route.model)))
        if cost is not None:
            found[route.model, route.endpoint] = cost
        elif not endpoint.price_nano_usd:
            raise deployment.DeploymentRefused(_unpriced(endpoint, route.model, listed))
    return found


def listed_name(endpoint: deployment.Endpoint, *, model: str) -> str:
    """Give the name under which an adapter's list has what an endpoint runs: its ``model_name`` or ``gpu``, the model
    that its ``resource`` ends with, else the model's.
    """
    published = str(endpoint.options.get("resource", "")).partition("/models/")[2]
    named = endpoint.options.get("model_name") or endpoint.options.get("gpu") or published or model
    return str(named)


def _book(endpoint: deployment.Endpoint) -> Book:
    try:
        return read(endpoint.adapter)
    except (FileNotFoundError, ModuleNotFoundError):
        return {}  # An adapter that does not exist is refused by who builds it, in better words.


def _usage(model: deployment.Model | None) -> price.Usage:
    """Estimate what one call uses that says nothing itself."""
    if model is None:
        return price.estimated(tokens=None, output_tokens=None, images=None)
    return price.estimated(
        tokens=model.tokens, output_tokens=model.output_tokens, images=model.images, seconds=model.seconds
    )


def _unpriced(endpoint: deployment.Endpoint, model: str, listed: price.Price | None) -> str:
    place = f'[endpoints.{endpoint.name}] has price = "list"'
    if listed is None:
        name = listed_name(endpoint, model=model)
        return f"{place}, and the list of the adapter {endpoint.adapter} has no {name!r}; write price_usd too"
    return (
        f"{place}, and [models.{model}] does not say what a call uses: write tokens, output_tokens, images or seconds "
        "there, as far as the list asks for them, or price_usd here"
    )


def parse(text: str, *, place: str) -> Book:
    """Read a price list: ``source``, ``read_on`` and the tables ``[models."name"]``. Raises PricesMalformed."""
    raw = tomllib.loads(text)
    if set(raw) != {"source", "read_on", "models"}:
        raise PricesMalformed(f"{place} must hold exactly source, read_on and models")
    return {model: _price(table, f"{place} [models.{model!r}]") for model, table in raw["models"].items()}


def _price(table: Mapping[str, Any], place: str) -> price.Price:
    if not isinstance(table, dict) or not table:
        raise PricesMalformed(f"{place} needs at least one of {', '.join(_PARTS)}")
    unknown = set(table) - set(_PARTS)
    if unknown:
        raise PricesMalformed(f"{place} has {min(unknown)}; it may have {', '.join(_PARTS)}")
    return price.Price(**{_PARTS[key]: _nano_usd(key, text, place) for key, text in table.items()})


def _nano_usd(key: str, text: object, place: str) -> int:
    try:
        nano = decimal.Decimal(text if isinstance(text, str) else "none") * price.NANO_PER_USD
    except decimal.InvalidOperation:
        raise PricesMalformed(f"{place} {key} must be a decimal text of dollars") from None
    if not nano.is_finite() or not 0 <= nano <= price.AMOUNT_MAX_NANO_USD or nano != nano.to_integral_value():
        raise PricesMalformed(f"{place} has {key} {text!r}; it must be 0 to 1000000, not finer than a nano-dollar")
    return int(nano)
