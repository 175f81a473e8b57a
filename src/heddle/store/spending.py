"""Serve what is asked about money: the leader's counting on its own connections, the doors' questions on Django's.

Nothing here decides. Neighbours: ``engine.books`` and ``client.spending`` above, ``store/sql/spend_*.sql`` below.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from heddle.core.policy import invoice
from heddle.ports import records, spending
from heddle.store import operators

PRICES_MAX = 100
QUOTES_MAX = 1_000


class _Rows(Protocol):
    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]: ...


class SpendCounting:
    """Count and compare for the leader; part of ``PostgresStore``."""

    async def count_spend(self: _Rows, *, limit: int) -> int:
        """Count new entries of the ledger."""
        found = await self._rows("spend_count", {"limit": limit}, stage="observe")
        return int(found[0][0])

    async def measure_costs(self: _Rows, *, runs_max: int, looked_at_max: int) -> int:
        """Measure what runs cost."""
        found = await self._rows("spend_costs", {"runs": runs_max, "limit": looked_at_max}, stage="observe")
        return int(found[0][0])

    async def endpoint_spend(self: _Rows, *, days: int) -> Mapping[str, Sequence[invoice.DaySpend]]:
        """Show what was metered and reported."""
        return _by_endpoint(await self._rows("spend_compare", {"days": days}, stage="observe"))


class DjangoSpending(operators.DjangoOperators):
    """Answer the doors' questions about money."""

    def usage(self, *, tenant: records.Tenant, where: spending.UsageFilter) -> Sequence[spending.UsageView]:
        """Show what a tenant has spent."""
        after = where.after
        found = self._rows(
            "spend_usage",
            {
                "tenant_id": tenant.id,
                "first": where.first,
                "last": where.last,
                "by_day": spending.Part.DAY in where.parts,
                "by_workflow": spending.Part.WORKFLOW in where.parts,
                "by_model": spending.Part.MODEL in where.parts,
                "by_endpoint": spending.Part.ENDPOINT in where.parts,
                "is_next": after is not None,
                "after_day": None if after is None else after.day,
                "after_workflow": None if after is None else after.workflow,
                "after_model": None if after is None else after.model,
                "after_endpoint": None if after is None else after.endpoint_id,
                "limit": where.limit,
            },
        )
        return [_usage(row, where.parts) for row in found]

    def budgets(self, *, tenant: records.Tenant, has_workflows: bool) -> Sequence[spending.BudgetView]:
        """Show caps and what is left of them."""
        found = self._rows("spend_budgets", {"tenant_id": tenant.id, "has_workflows": has_workflows})
        return [
            spending.BudgetView(
                workflow=workflow or None,
                day_cap_nano_usd=per_day,
                month_cap_nano_usd=per_month,
                spent_today_nano_usd=spent_today,
                reserved_today_nano_usd=reserved_today,
                spent_month_nano_usd=spent_month,
                reserved_month_nano_usd=reserved_month,
            )
            for workflow, per_day, per_month, spent_today, reserved_today, spent_month, reserved_month in found
        ]

    def workflow_costs(self) -> Sequence[spending.WorkflowCost]:
        """Tell what runs cost lately."""
        return [
            spending.WorkflowCost(
                workflow=workflow,
                runs=runs,
                median_nano_usd=median,
                p95_nano_usd=p95,
                highest_nano_usd=highest,
                measured_at=at,
            )
            for workflow, runs, median, p95, highest, at in self._rows("spend_quotes", {"limit": QUOTES_MAX})
        ]

    def route_prices(self, *, model: str, tokens: int | None, images: int | None) -> Sequence[spending.RoutePrice]:
        """Tell what a call of a model is expected to cost."""
        return [
            spending.RoutePrice(endpoint=name, tier=tier, price_nano_usd=price, is_paid=is_paid, is_paused=is_paused)
            for name, tier, price, is_paid, is_paused in self._rows(
                "spend_prices", {"model": model, "tokens": tokens, "images": images, "limit": PRICES_MAX}
            )
        ]

    def report(self, *, endpoint: str, reported: Sequence[spending.ReportedSpend], source: str, actor: str) -> int:
        """Keep what a provider reports."""
        with self._atomic():
            found = self._rows(
                "spend_report",
                {
                    "endpoint": endpoint,
                    "days": [each.day for each in reported],
                    "accounts": [each.account for each in reported],
                    "amounts": [each.amount_nano_usd for each in reported],
                    "source": source,
                },
            )
            if not found:
                raise LookupError(f"there is no endpoint {endpoint!r}")
            after = {"rows": len(found), "source": source}
            self._audit(actor=actor, action="spend.import", subject=f"endpoint {endpoint}", before=None, after=after)
        return len(found)

    def compare(self, *, days: int) -> Mapping[str, Sequence[invoice.DaySpend]]:
        """Show what was metered and reported."""
        return _by_endpoint(self._rows("spend_compare", {"days": days}))

    def correct(
        self,
        *,
        run_id: uuid.UUID,
        ordinal: int,
        number: int,
        correction: spending.Correction,
        amount_nano_usd: int,
        actor: str,
    ) -> None:
        """Correct what an attempt was charged."""
        named = {"run_id": run_id, "ordinal": ordinal, "number": number}
        with self._atomic():
            self._rows("lock_runs", {"run_ids": [run_id]})
            # Whoever sums up calls of these accounts holds their row of today.
            self._rows("lock_budgets", {"runs": [run_id]})
            given = {**named, "kind": correction.value, "amount": amount_nano_usd}
            if not self._rows("spend_correct", given):
                raise spending.CorrectionRefused(
                    f"attempt {number} of step {ordinal} of run {run_id} has no charge, has had its {correction}, "
                    "or cost less than is taken back"
                )
            after = {"amount_nano_usd": amount_nano_usd}
            subject = f"attempt {run_id}.{ordinal}.{number}"
            self._audit(actor=actor, action=f"spend.{correction}", subject=subject, before=None, after=after)


def _by_endpoint(found: Sequence[Sequence[Any]]) -> dict[str, list[invoice.DaySpend]]:
    days: dict[str, list[invoice.DaySpend]] = {}
    for endpoint, day, calls, metered, reported, unknown in found:
        days.setdefault(endpoint, []).append(
            invoice.DaySpend(
                day=day,
                calls=calls,
                metered_nano_usd=metered,
                reported_nano_usd=reported,
                unknown_nano_usd=unknown,
            )
        )
    return days


def _usage(row: Sequence[Any], parts: frozenset[spending.Part]) -> spending.UsageView:
    day, workflow, model, endpoint_id, endpoint, calls, estimates, reserved, released, charged, refunded, adjusted = row
    return spending.UsageView(
        day=day if spending.Part.DAY in parts else None,
        workflow=workflow if spending.Part.WORKFLOW in parts else None,
        model=model if spending.Part.MODEL in parts else None,
        endpoint=endpoint if spending.Part.ENDPOINT in parts else None,
        calls=calls,
        estimates=estimates,
        charged_nano_usd=charged,
        adjusted_nano_usd=adjusted,
        refunded_nano_usd=refunded,
        reserved_nano_usd=reserved,
        released_nano_usd=released,
        mark=spending.UsageMark(day=day, workflow=workflow, model=model, endpoint_id=endpoint_id),
    )
