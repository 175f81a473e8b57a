"""Read an adapter's price list, the ``prices.toml`` of its folder.

The list is a proposal: what an endpoint really costs is its ``price_usd`` in ``heddle.toml``, and what a call has cost
is what the provider says. Before it: a person or a command that fills in ``heddle.toml``. After it: nothing.
"""

import decimal
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

_NANO: Final = 1_000_000_000


class PricesMalformed(ValueError):
    """Say what is wrong in a price list shipped with Heddle."""


def read(adapter: str) -> Mapping[str, int]:
    """Give the list prices of one call in nano-dollars, by model; ``*`` stands for every other model."""
    text = resources.files("heddle.providers").joinpath(adapter, "prices.toml").read_text("utf-8")
    return parse(text, place=f"providers/{adapter}/prices.toml")


def parse(text: str, *, place: str) -> Mapping[str, int]:
    """Read a price list: ``source``, ``read_on`` and ``[models."name"] price_usd``. Raises PricesMalformed."""
    raw = tomllib.loads(text)
    if set(raw) != {"source", "read_on", "models"}:
        raise PricesMalformed(f"{place} must hold exactly source, read_on and models")
    return {model: _nano_usd(table, f"{place} [models.{model!r}]") for model, table in raw["models"].items()}


def _nano_usd(table: Mapping[str, Any], place: str) -> int:
    try:
        nano = decimal.Decimal(table["price_usd"]) * _NANO
    except (KeyError, TypeError, decimal.InvalidOperation):
        raise PricesMalformed(f"{place} needs price_usd, a decimal text of dollars") from None
    if not nano.is_finite() or nano < 0 or nano != nano.to_integral_value():
        raise PricesMalformed(f"{place} has price_usd {table['price_usd']!r}; it must not be finer than a nano-dollar")
    return int(nano)
