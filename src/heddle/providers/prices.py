"""Read an adapter's price list, the ``prices.toml`` of its folder.

The list is a proposal: what an endpoint really costs is its ``price_usd`` in ``heddle.toml``, and what a call has cost
is what the provider says. Before it: a person or a command that fills in ``heddle.toml``, or an adapter that turns
usage into money. After it: ``core.policy.price``.
"""

import decimal
import functools
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

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

_DATE: Final = re.compile(r"-(?:20[0-9]{2}-?[01][0-9]-?[0-3][0-9]|[0-9]{4}|latest)\Z")

Book = Mapping[str, price.Price]


class PricesMalformed(ValueError):
    """Say what is wrong in a price list."""


@functools.cache
def read(adapter: str) -> Book:
    """Give an adapter's list prices by model; ``*`` stands for every other model."""
    text = resources.files("heddle.providers").joinpath(adapter, "prices.toml").read_text("utf-8")
    return parse(text, place=f"providers/{adapter}/prices.toml")


def of(book: Book, model: str) -> price.Price | None:
    """Give a model's price: its own, that of its name without a date (``gpt-x`` for ``gpt-x-2026-01-01``), that of
    every other model, or None. Another ending makes another model: ``gpt-x-pro`` has not the price of ``gpt-x``.
    """
    return book.get(model) or book.get(_DATE.sub("", model)) or book.get(ANY_MODEL)


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
