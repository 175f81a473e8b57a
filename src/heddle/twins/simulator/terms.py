"""Read what the simulated provider offers and asks: the arguments of ``heddle twin`` that it alone takes.

Pure but for ``argparse``. What every twin is started with stands in ``kit.options``. Before it: a person, a script or a
test. After it: the twin.
"""

import argparse
import decimal
from dataclasses import dataclass

from heddle.core import attempt
from heddle.core.policy import price
from heddle.twins.kit import options

CONCURRENCY_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the provider offers and asks: class A, B or C, jobs open at once at most, and the price of each."""

    idempotency: attempt.IdempotencyClass = attempt.IdempotencyClass.A
    concurrency: int = 30
    price_nano_usd: int = 40_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the simulator's own arguments; none of them has a default, so that other twins can refuse them."""
    parser.add_argument(
        "--class", dest="idempotency", choices=[each.value for each in attempt.IdempotencyClass], metavar="CLASS",
        help="simulator: idempotency class A, B or C (default: A)",
    )  # fmt: skip
    parser.add_argument(
        "--concurrency", type=int, metavar="JOBS", help="simulator: jobs open at once, 429 above (default: 30)"
    )
    parser.add_argument("--price-usd", metavar="USD", help="simulator: price of a job (default: 0.04)")


def given_names(given: argparse.Namespace) -> tuple[str, ...]:
    """Name the simulator's own arguments that were given."""
    values = {"--class": given.idempotency, "--concurrency": given.concurrency, "--price-usd": given.price_usd}
    return tuple(name for name, value in values.items() if value is not None)


def read(given: argparse.Namespace) -> Terms:
    """Turn parsed arguments into terms. Raises options.OptionsRefused."""
    usual = Terms()
    concurrency = usual.concurrency if given.concurrency is None else given.concurrency
    if not 1 <= concurrency <= CONCURRENCY_MAX:
        raise options.OptionsRefused(f"--concurrency must be from 1 to {CONCURRENCY_MAX}, not {concurrency}.")
    return Terms(
        idempotency=attempt.IdempotencyClass(given.idempotency or usual.idempotency),
        concurrency=concurrency,
        price_nano_usd=usual.price_nano_usd if given.price_usd is None else _nano_usd(given.price_usd),
    )


def _nano_usd(text: str) -> int:
    try:
        nano = decimal.Decimal(text) * price.NANO_PER_USD
    except decimal.InvalidOperation:
        nano = decimal.Decimal("nan")
    if not nano.is_finite() or not 0 <= nano <= price.AMOUNT_MAX_NANO_USD or nano != nano.to_integral_value():
        raise options.OptionsRefused(f"--price-usd {text!r} is not from 0 to 1000000 with at most nine decimals.")
    return int(nano)
