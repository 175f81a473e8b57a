"""What doors and the engine need from the store to tell where money went: sums by day, caps, quotes, reports.

Everything here reads the sums that the leader counts out of the ledger, or the accounts that caps are held to; nothing
decides whether a call is paid for. Synchronous for the doors, on the host's own connection. Neighbours:
``client.spending`` and ``engine.books`` above, ``store.spending`` below.
"""

import datetime
import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from heddle.core.policy import invoice
from heddle.ports import records


class Part(enum.StrEnum):
    """Name what usage can be told by."""

    DAY = "day"
    WORKFLOW = "workflow"
    MODEL = "model"
    ENDPOINT = "endpoint"


class Correction(enum.StrEnum):
    """Name what a person may write to an attempt's charge: money that came back, or a better sum."""

    REFUND = "refund"
    ADJUSTMENT = "adjustment"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageMark:
    """Hold where a page of usage ended."""

    day: datetime.date
    workflow: str
    model: str
    endpoint_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFilter:
    """Ask for usage of the days from ``first`` to ``last``, both included, by some parts. ``limit``: rows of a page."""

    first: datetime.date
    last: datetime.date
    parts: frozenset[Part]
    after: UsageMark | None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageView:
    """Show what was spent. A part that was not asked for is None; an empty name is one that is not known any more.

    calls: paid calls that ended with a charge, ``estimates`` of them at their reservation because nothing told better.
    charged: what calls cost when they ended; the cost is that, adjusted and less what was refunded. reserved: all that
    was ever reserved; released: what of it was given back.
    """

    day: datetime.date | None
    workflow: str | None
    model: str | None
    endpoint: str | None
    calls: int
    estimates: int
    charged_nano_usd: int
    adjusted_nano_usd: int
    refunded_nano_usd: int
    reserved_nano_usd: int
    released_nano_usd: int
    mark: UsageMark

    @property
    def cost_nano_usd(self) -> int:
        """Return what was spent."""
        return self.charged_nano_usd + self.adjusted_nano_usd - self.refunded_nano_usd

    @property
    def open_nano_usd(self) -> int:
        """Return what is reserved for calls that are not over; 0 where charges had no reservations."""
        return max(0, self.reserved_nano_usd - self.released_nano_usd - self.charged_nano_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """Show one account: a tenant's (``workflow`` None) or a workflow's of all tenants. ``cap``: None for no cap.

    spent: of calls that are over. reserved: of calls that are not, at their price.
    """

    workflow: str | None
    day_cap_nano_usd: int | None
    month_cap_nano_usd: int | None
    spent_today_nano_usd: int
    reserved_today_nano_usd: int
    spent_month_nano_usd: int
    reserved_month_nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowCost:
    """Tell what the last runs of a workflow that succeeded have cost, with everything under them."""

    workflow: str
    runs: int
    median_nano_usd: int
    p95_nano_usd: int
    highest_nano_usd: int
    measured_at: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePrice:
    """Tell what one call of a model is expected to cost at an endpoint."""

    endpoint: str
    tier: int
    price_nano_usd: int
    is_paid: bool
    is_paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedSpend:
    """Hold what a provider says was spent on a day (UTC) under one of its accounts; negative for credits."""

    day: datetime.date
    account: str
    amount_nano_usd: int


class CorrectionRefused(Exception):
    """Say why a charge cannot be corrected so."""


class SpendStore(Protocol):
    """Count and compare, for the leader. Raises StoreLost."""

    async def count_spend(self, *, limit: int) -> int:
        """Count new entries of the ledger into the sums by day; give how many. A second call counts the next ones."""
        ...

    async def measure_costs(self, *, runs_max: int, looked_at_max: int) -> int:
        """Measure what runs of each workflow cost; give how many workflows were found."""
        ...

    async def endpoint_spend(self, *, days: int) -> Mapping[str, Sequence[invoice.DaySpend]]:
        """Show what was metered and reported, by endpoint, of the last days."""
        ...


class Spending(Protocol):
    """Tell where money went."""

    def usage(self, *, tenant: records.Tenant, where: UsageFilter) -> Sequence[UsageView]:
        """Show what a tenant has spent, in order of day, workflow, model and endpoint."""
        ...

    def budgets(self, *, tenant: records.Tenant, has_workflows: bool) -> Sequence[BudgetView]:
        """Show a tenant's caps, and those of workflows, which are of all tenants, if asked."""
        ...

    def workflow_costs(self) -> Sequence[WorkflowCost]:
        """Tell what runs cost lately, by workflow."""
        ...

    def route_prices(self, *, model: str, tokens: int | None, images: int | None) -> Sequence[RoutePrice]:
        """Tell what a call of a model is expected to cost, by route in the order they are preferred.

        tokens, images: what the call says it uses, None: what is said of the model.
        """
        ...

    def report(self, *, endpoint: str, reported: Sequence[ReportedSpend], source: str, actor: str) -> int:
        """Keep what a provider reports; a later report of the same day and account replaces it. Audited.

        Gives how many rows were written. Raises LookupError when there is no endpoint of this name.
        """
        ...

    def compare(self, *, days: int) -> Mapping[str, Sequence[invoice.DaySpend]]:
        """Show what was metered and reported, by endpoint, of the last days."""
        ...

    def correct(
        self,
        *,
        run_id: uuid.UUID,
        ordinal: int,
        number: int,
        correction: Correction,
        amount_nano_usd: int,
        actor: str,
    ) -> None:
        """Correct what an attempt was charged, in the ledger, its step, its run and its budgets, audited.

        amount_nano_usd: positive for a refund, of either sign for an adjustment. Raises CorrectionRefused.
        """
        ...
