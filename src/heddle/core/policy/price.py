"""Compute what a call costs from a provider's list price and what the call used.

Integer nano-dollars throughout: a list price of ``"0.15"`` dollars per million tokens is 150 nano-dollars a token, and
no rounding happens before the end. This file refuses to guess: usage that the price asks for and nobody told gives
None, and whoever asked falls back to the endpoint's ``price_usd``. Before it: an adapter with an answer in hand, or a
quote with an estimate. After it: the ledger.
"""

import math
from dataclasses import dataclass

from heddle.core.policy import bounds

NANO_PER_USD = 1_000_000_000
AMOUNT_MAX_NANO_USD = 1_000_000 * NANO_PER_USD
"""The most one call may cost; a number above it is a lie or a mistake, and is counted as unpriced."""

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Hold what one call used. None: not told. ``input_tokens`` counts all input, cached tokens included."""

    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    images: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse usage below zero."""
        for field in ("input_tokens", "cached_input_tokens", "output_tokens", "images", "seconds"):
            value = getattr(self, field)
            if value is not None:
                bounds.require(field=field, value=value, low=0, high=10**12, unit="units")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Hold one model's list price; each part in nano-dollars, 0 where the provider does not charge for it.

    call: per call. input, cached_input, output: per million tokens. image: per image made. second: per second of
    work or of video. ``cached_input`` None: cached tokens cost what others do.
    """

    call: int = 0
    input_per_mtok: int = 0
    cached_input_per_mtok: int | None = None
    output_per_mtok: int = 0
    image: int = 0
    second: int = 0

    def __post_init__(self) -> None:
        """Refuse prices out of range."""
        for field in ("call", "input_per_mtok", "cached_input_per_mtok", "output_per_mtok", "image", "second"):
            value = getattr(self, field)
            if value is not None:
                bounds.require(field=field, value=value, low=0, high=AMOUNT_MAX_NANO_USD, unit="nano-dollars")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Hold what a call is expected to cost that uses what its model's owner said.

    ``rates``: what a call that says its own images or tokens pays for each of them; None: every call costs the same.
    """

    nano_usd: int
    rates: Price | None = None

    def __post_init__(self) -> None:
        """Refuse a price out of range."""
        bounds.require(field="nano_usd", value=self.nano_usd, low=0, high=AMOUNT_MAX_NANO_USD, unit="nano-dollars")


def expected(price: Price, usage: Usage) -> Expected | None:
    """Give what a call is expected to cost by a list; None when it asks for usage that was not told."""
    cost = cost_nano_usd(price, usage)
    if cost is None:
        return None
    rates = Price(input_per_mtok=price.input_per_mtok, output_per_mtok=price.output_per_mtok, image=price.image)
    return Expected(nano_usd=cost, rates=rates if rates != Price() else None)


def estimated(
    *, tokens: int | None, output_tokens: int | None, images: int | None, seconds: float | None = None
) -> Usage:
    """Estimate what one call uses. ``tokens``: all of it, of which at most ``output_tokens`` come back; one image
    unless something else is said.
    """
    inputs, outputs = tokens, output_tokens
    if tokens is not None and output_tokens is not None:
        inputs, outputs = max(0, tokens - output_tokens), min(tokens, output_tokens)
    return Usage(input_tokens=inputs, output_tokens=outputs, images=1 if images is None else images, seconds=seconds)


def of_call(usual: Expected, *, usage: Usage, own: Usage) -> int:
    """Give what a call is expected to cost that says what it uses itself, in nano-USD.

    usage: what ``usual`` is the price of. own: the same, with what the call said in its place.
    """
    if usual.rates is None or own == usage:
        return usual.nano_usd
    before, after = cost_nano_usd(usual.rates, usage), cost_nano_usd(usual.rates, own)
    if before is None:
        return usual.nano_usd
    if after is None:
        return AMOUNT_MAX_NANO_USD
    return min(AMOUNT_MAX_NANO_USD, max(0, usual.nano_usd + after - before))


def cost_nano_usd(price: Price, usage: Usage) -> int | None:
    """Give what a call costs, rounded up to a nano-dollar; None when the price asks for usage that was not told, or
    when the sum passes what one call may cost.
    """
    cached = usage.cached_input_tokens or 0
    cached_price = price.input_per_mtok if price.cached_input_per_mtok is None else price.cached_input_per_mtok
    plain = None if usage.input_tokens is None else max(0, usage.input_tokens - cached)
    parts = (
        (price.input_per_mtok, plain, _MILLION),
        (cached_price, cached, _MILLION),
        (price.output_per_mtok, usage.output_tokens, _MILLION),
        (price.image, usage.images, 1),
    )
    total = price.call
    for rate, units, per in parts:
        if not rate:
            continue
        if units is None:
            return None
        total += -(-rate * units // per)
    if price.second:
        if usage.seconds is None:
            return None
        total += math.ceil(price.second * usage.seconds)
    return total if total <= AMOUNT_MAX_NANO_USD else None
