"""Turn money between what people write and what is kept: decimal strings of dollars and integer nano-dollars.

This module refuses floats, because a price that went through one is no longer the price. The doors stand before it, the
ledger behind it.
"""

import decimal

NANO_PER_USD = 1_000_000_000
USD_MAX = 1_000_000
"""Largest sum one run may be allowed; it keeps every total far inside 64 bits of nano-dollars."""


class NotMoney(ValueError):
    """Say why a text is not a sum of money."""


def nano_usd(amount: str | int | decimal.Decimal) -> int:
    """Read dollars as integer nano-dollars.

    amount: 0 to 1,000,000 with at most nine decimals, such as ``"0.25"``. Raises NotMoney.
    """
    try:
        value = decimal.Decimal(amount)
    except (decimal.InvalidOperation, TypeError, ValueError) as error:
        raise NotMoney('write dollars as a decimal string, such as "0.25"') from error
    if not value.is_finite() or not 0 <= value <= USD_MAX:
        raise NotMoney(f"must be from 0 to {USD_MAX} dollars")
    nano = value * NANO_PER_USD
    if nano != nano.to_integral_value():
        raise NotMoney("has more than nine decimals; a nano-dollar is the smallest sum")
    return int(nano)


def usd(nano: int) -> str:
    """Write integer nano-dollars as a decimal string with two to nine decimals."""
    sign = "-" if nano < 0 else ""
    whole, fraction = divmod(abs(nano), NANO_PER_USD)
    digits = f"{fraction:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{digits}"
