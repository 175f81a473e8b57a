"""Decide whether a call may be paid for, and keep the sums that say so true.

Money is integer nano-USD: reserved before the call, charged and released when its cost is known, refunded if the
provider gives it back, adjusted where an invoice says better. A cap stops the next call and never one that has
finished: a charge above its reservation, or above the cap, is booked whole and shown. The ledger is the truth and an
account is its sum; ``balance`` computes the one from the other and ``violations`` names every attempt whose entries
break a law. This file refuses to know periods and currencies. ``store/sql/mark_sending.sql`` reserves,
``store/sql/settle.sql`` charges, by these laws.
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


class Cap(enum.StrEnum):
    """Name what keeps a call from being paid for. In the order in which they are looked at."""

    RUN = "max_cost_usd"
    WORKFLOW_DAY = "workflow_budget_usd_per_day"
    TENANT_DAY = "budget_usd_per_day"
    TENANT_MONTH = "budget_usd_per_month"

    @property
    def sentence(self) -> str:
        """Give the cap as the subject of a sentence."""
        return _CAPS[self]


_CAPS = {
    Cap.RUN: "the run's max_cost_usd",
    Cap.WORKFLOW_DAY: "its workflow's budget_usd_per_day",
    Cap.TENANT_DAY: "its tenant's budget_usd_per_day",
    Cap.TENANT_MONTH: "its tenant's budget_usd_per_month",
}


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
    """Name the moves of money, as the ledger writes them."""

    RESERVE = "reserve"
    RELEASE = "release"
    CHARGE = "charge"
    REFUND = "refund"
    ADJUSTMENT = "adjustment"


_SIGNED = frozenset({EntryKind.RELEASE, EntryKind.ADJUSTMENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Record one move, under the key of the attempt it belongs to.

    A release gives back what was reserved and not spent, and is negative where more was spent. A charge may come
    without a reservation: of a call priced at nothing, or of an older release. An adjustment corrects a charge.
    """

    key: str
    kind: EntryKind
    amount_nano_usd: int

    def __post_init__(self) -> None:
        """Refuse a negative amount where the kind tells the direction."""
        low = -AMOUNT_MAX_NANO_USD if self.kind in _SIGNED else 0
        bounds.require(
            field="amount_nano_usd", value=self.amount_nano_usd, low=low, high=AMOUNT_MAX_NANO_USD, unit="nano-USD"
        )


class Law(enum.StrEnum):
    """Name the laws of the ledger, for each attempt."""

    ONE_OF_A_KIND = "one_of_a_kind"
    BALANCE = "balance"
    RELEASE_OF_A_RESERVATION = "release_of_a_reservation"
    NEVER_BELOW_NOTHING = "never_below_nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Name an attempt and the law that its entries break."""

    key: str
    law: Law


def balance(entries: Iterable[Entry], *, cap_nano_usd: int | None) -> Account:
    """Sum a ledger into the account it describes, in any order. Raises ValueError on a ledger with violations."""
    books = _books(entries)
    broken = _broken(books)
    if broken:
        raise ValueError(f"the entries of {broken[0].key} break {broken[0].law}; mend the ledger, then sum it")
    return Account(
        cap_nano_usd=cap_nano_usd,
        reserved_nano_usd=sum(_held(kinds) for kinds in books.values()),
        spent_nano_usd=sum(_spent(kinds) for kinds in books.values()),
    )


def violations(entries: Iterable[Entry]) -> tuple[Violation, ...]:
    """Name every attempt whose entries break a law. An empty answer means that the ledger can be summed.

    An attempt with a reservation is open (nothing else is written of it) or closed: then its charge and its release
    together are its reservation, to the last nano-dollar.
    """
    return _broken(_books(entries))


_Kinds = dict[EntryKind, list[int]]


def _books(entries: Iterable[Entry]) -> dict[str, _Kinds]:
    books: dict[str, _Kinds] = {}
    for entry in entries:
        books.setdefault(entry.key, {}).setdefault(entry.kind, []).append(entry.amount_nano_usd)
    return books


def _broken(books: dict[str, _Kinds]) -> tuple[Violation, ...]:
    found: list[Violation] = []
    for key, kinds in books.items():
        if any(len(amounts) > 1 for amounts in kinds.values()):
            found.append(Violation(key=key, law=Law.ONE_OF_A_KIND))
        elif EntryKind.RELEASE in kinds and EntryKind.RESERVE not in kinds:
            found.append(Violation(key=key, law=Law.RELEASE_OF_A_RESERVATION))
        elif _is_closed(kinds) and EntryKind.RESERVE in kinds and _held(kinds, is_open=True) != 0:
            found.append(Violation(key=key, law=Law.BALANCE))
        elif _spent(kinds) < 0:
            found.append(Violation(key=key, law=Law.NEVER_BELOW_NOTHING))
    return tuple(found)


def _is_closed(kinds: _Kinds) -> bool:
    return EntryKind.CHARGE in kinds or EntryKind.RELEASE in kinds


def _sum(kinds: _Kinds, kind: EntryKind) -> int:
    return sum(kinds.get(kind, ()))


def _held(kinds: _Kinds, *, is_open: bool | None = None) -> int:
    """Give what is reserved and neither charged nor released; nothing of a closed attempt unless asked."""
    if is_open is None and _is_closed(kinds):
        return 0
    return _sum(kinds, EntryKind.RESERVE) - _sum(kinds, EntryKind.CHARGE) - _sum(kinds, EntryKind.RELEASE)


def _spent(kinds: _Kinds) -> int:
    return _sum(kinds, EntryKind.CHARGE) + _sum(kinds, EntryKind.ADJUSTMENT) - _sum(kinds, EntryKind.REFUND)


def _is_near_cap(options: BudgetOptions, account: Account) -> bool:
    if account.cap_nano_usd is None:
        return False
    return account.spent_nano_usd + account.reserved_nano_usd >= options.warn_ratio * account.cap_nano_usd


def _require_amount(field: str, amount: int) -> None:
    bounds.require(field=field, value=amount, low=0, high=AMOUNT_MAX_NANO_USD, unit="nano-USD")
