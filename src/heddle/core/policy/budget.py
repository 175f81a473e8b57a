"""Decide whether a call may be paid for, and keep the sums that say so true.

Money is integer nano-USD and moves in three steps: reserved before the call, charged when its cost is known, refunded
if the provider gives it back. A cap stops the next call and never one that has finished: a charge above its
reservation, or above the cap, is booked whole and shown. The ledger is the truth and an account is its sum; ``fold``
computes the one from the other and ``violations`` names every entry that breaks a law. This file refuses to know
periods and currencies. Door and intake ask ``reserve``; settle asks ``charge``.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from heddle.core.policy import bounds

NANO_PER_USD = 1_000_000_000
AMOUNT_MAX_NANO_USD = 2**62
"""Half of what a bigint holds, so that a sum of two never overflows the column: 4.6 thousand million USD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetOptions:
    """Hold when a budget is called nearly spent.

    warn_ratio: default 0.8, 0.01 to 1; share of the cap, spent and reserved together, from which a grant is marked
        near the cap. Ours.
    """

    warn_ratio: float = 0.8

    def __post_init__(self) -> None:
        """Refuse a share out of range."""
        bounds.require(field="warn_ratio", value=self.warn_ratio, low=0.01, high=1, unit="ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Hold the sums of one budget: of a tenant's period, or of one run.

    cap_nano_usd: None for no cap; 0 stops everything that costs. reserved: held for calls that are not over.
    spent: charged less refunded. Neither is ever negative.
    """

    cap_nano_usd: int | None
    reserved_nano_usd: int = 0
    spent_nano_usd: int = 0

    def __post_init__(self) -> None:
        """Refuse negative sums: they mean that something was given back twice."""
        if self.cap_nano_usd is not None:
            _require_amount("cap_nano_usd", self.cap_nano_usd)
        _require_amount("reserved_nano_usd", self.reserved_nano_usd)
        _require_amount("spent_nano_usd", self.spent_nano_usd)

    @property
    def free_nano_usd(self) -> int | None:
        """Return what may still be reserved, at least 0; None without a cap."""
        if self.cap_nano_usd is None:
            return None
        return max(0, self.cap_nano_usd - self.spent_nano_usd - self.reserved_nano_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """Say that the amount is held in every account asked; is_near_cap if any of them is nearly spent."""

    is_near_cap: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Say which account (by position) could not hold the amount, and by how much it falls short."""

    account: int
    short_nano_usd: int


def reserve(
    options: BudgetOptions, accounts: Sequence[Account], *, amount_nano_usd: int
) -> tuple[tuple[Account, ...], Reserved | Refused]:
    """Hold an amount in all accounts or in none.

    accounts: all that the call is paid from, such as the run's and the tenant's. A free call (0) always goes, also
    from an account that is overdrawn. Raises ValueError for a negative amount.
    """
    _require_amount("amount_nano_usd", amount_nano_usd)
    for position, account in enumerate(accounts):
        free = account.free_nano_usd
        if free is not None and amount_nano_usd > free:
            return tuple(accounts), Refused(account=position, short_nano_usd=amount_nano_usd - free)
    held = tuple(
        replace(account, reserved_nano_usd=account.reserved_nano_usd + amount_nano_usd) for account in accounts
    )
    return held, Reserved(is_near_cap=any(_is_near_cap(options, account) for account in held))


def charge(account: Account, *, reserved_nano_usd: int, actual_nano_usd: int) -> Account:
    """Replace a reservation by what the call cost; 0 releases it.

    The actual amount is booked whole even above the reservation or the cap, because it has been spent. Not idempotent:
    the caller charges a reservation once (the ledger's unique key sees to it). Raises ValueError for a negative amount
    or a reservation larger than all that is held.
    """
    _require_amount("actual_nano_usd", actual_nano_usd)
    bounds.require(
        field="reserved_nano_usd",
        value=reserved_nano_usd,
        low=0,
        high=account.reserved_nano_usd,
        unit="nano-USD held in the account",
    )
    return replace(
        account,
        reserved_nano_usd=account.reserved_nano_usd - reserved_nano_usd,
        spent_nano_usd=account.spent_nano_usd + actual_nano_usd,
    )


def refund(account: Account, *, amount_nano_usd: int) -> Account:
    """Give back what was charged. Raises ValueError for a negative amount or more than was ever spent."""
    bounds.require(
        field="amount_nano_usd", value=amount_nano_usd, low=0, high=account.spent_nano_usd, unit="nano-USD spent"
    )
    return replace(account, spent_nano_usd=account.spent_nano_usd - amount_nano_usd)


class EntryKind(enum.StrEnum):
    """Name the three moves of money."""

    RESERVATION = "reservation"
    CHARGE = "charge"
    REFUND = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Record one move, under the key of the attempt it belongs to.

    A charge ends the reservation of its key, if there is one (a late result may be charged without).
    """

    key: str
    kind: EntryKind
    amount_nano_usd: int

    def __post_init__(self) -> None:
        """Refuse a negative amount: direction is told by the kind."""
        _require_amount("amount_nano_usd", self.amount_nano_usd)


class Law(enum.StrEnum):
    """Name the laws of the ledger."""

    ONE_RESERVATION = "one_reservation"
    ONE_CHARGE = "one_charge"
    REFUND_WITHIN_CHARGE = "refund_within_charge"
    RESERVATION_BEFORE_CHARGE = "reservation_before_charge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Name an entry, by position in the ledger, and the law it breaks."""

    position: int
    key: str
    law: Law


def fold(entries: Iterable[Entry], *, cap_nano_usd: int | None) -> Account:
    """Sum a ledger, in order, into the account it describes. Raises ValueError on a ledger with violations."""
    ledger = tuple(entries)
    broken = violations(ledger)
    if broken:
        first = broken[0]
        raise ValueError(f"entry {first.position} of key {first.key} breaks {first.law}; mend the ledger, then fold it")
    account = Account(cap_nano_usd=cap_nano_usd)
    open_reservations: dict[str, int] = {}
    for entry in ledger:
        match entry.kind:
            case EntryKind.RESERVATION:
                open_reservations[entry.key] = entry.amount_nano_usd
                held = account.reserved_nano_usd + entry.amount_nano_usd
                account = replace(account, reserved_nano_usd=held)
            case EntryKind.CHARGE:
                reserved = open_reservations.pop(entry.key, 0)
                account = charge(account, reserved_nano_usd=reserved, actual_nano_usd=entry.amount_nano_usd)
            case EntryKind.REFUND:
                account = refund(account, amount_nano_usd=entry.amount_nano_usd)
    return account


def violations(entries: Iterable[Entry]) -> tuple[Violation, ...]:
    """Name every entry that breaks a law, in order. An empty answer means that the ledger can be folded."""
    reserved: set[str] = set()
    charged: dict[str, int] = {}
    found: list[Violation] = []
    for position, entry in enumerate(entries):
        law: Law | None = None
        match entry.kind:
            case EntryKind.RESERVATION:
                if entry.key in reserved:
                    law = Law.ONE_RESERVATION
                elif entry.key in charged:
                    law = Law.RESERVATION_BEFORE_CHARGE
                reserved.add(entry.key)
            case EntryKind.CHARGE:
                if entry.key in charged:
                    law = Law.ONE_CHARGE
                else:
                    charged[entry.key] = entry.amount_nano_usd
            case EntryKind.REFUND:
                if entry.key not in charged or entry.amount_nano_usd > charged[entry.key]:
                    law = Law.REFUND_WITHIN_CHARGE
                else:
                    charged[entry.key] -= entry.amount_nano_usd
        if law is not None:
            found.append(Violation(position=position, key=entry.key, law=law))
    return tuple(found)


def _is_near_cap(options: BudgetOptions, account: Account) -> bool:
    if account.cap_nano_usd is None:
        return False
    return account.spent_nano_usd + account.reserved_nano_usd >= options.warn_ratio * account.cap_nano_usd


def _require_amount(field: str, amount: int) -> None:
    bounds.require(field=field, value=amount, low=0, high=AMOUNT_MAX_NANO_USD, unit="nano-USD")
