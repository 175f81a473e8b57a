"""Offer one object that tells where money went and what it will cost: usage, budgets, quotes, providers' reports.

It checks what is asked and names every field at fault. Quotes come from what the leader measured, read at most every
``QUOTES_KEPT_S`` a process, so that a submit answers with one at no cost of its own. The wiring makes it, once per
process. Before it: the API, the console and the command line. After it: ``ports.spending``.
"""

import dataclasses
import datetime
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

from heddle.client import exports, money, needs
from heddle.client.admission import InvalidInput
from heddle.client.values import Problem
from heddle.core import run
from heddle.core.policy import admission as admission_policy
from heddle.core.policy import invoice, lineup, told
from heddle.ports import doors, records, spending

QUOTES_KEPT_S = 10.0
DAYS_MAX = 366
PAGE_MAX = 1_000
COMPARED_DAYS_MAX = 366
NAME_CHARACTERS_MAX = 200
STORED_MAX = 2**31 - 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowQuote:
    """Tell what a run of a workflow will probably cost, from ``runs`` that succeeded lately; None: none has."""

    workflow: str
    cost: spending.WorkflowCost | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuote:
    """Tell what one call of a model will probably cost and how long it will wait in line; ``routes`` as they are
    preferred. ``wait_s``: None when the line was not measured.
    """

    model: str
    routes: tuple[spending.RoutePrice, ...]
    wait_s: float | None

    @property
    def low_nano_usd(self) -> int:
        """Return the least a call may cost."""
        return min(route.price_nano_usd for route in self.routes)

    @property
    def high_nano_usd(self) -> int:
        """Return the most a call may cost."""
        return max(route.price_nano_usd for route in self.routes)


class Spending:
    """Tell where money went. Safe from any thread."""

    def __init__(
        self,
        *,
        books: spending.Spending,
        doors: doors.Doors,
        stated: needs.StatedUse = lambda _model: (None, None),
        monotonic_s: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime.date] = lambda: datetime.datetime.now(datetime.UTC).date(),
    ) -> None:
        self._books = books
        self._doors = doors
        self._stated = stated
        self._monotonic_s = monotonic_s
        self._today = today
        self._lock = threading.Lock()
        self._costs: Mapping[str, spending.WorkflowCost] = {}
        self._read_at_s: float | None = None

    def usage(
        self,
        *,
        tenant: records.Tenant,
        first: datetime.date | None = None,
        last: datetime.date | None = None,
        parts: Sequence[str] = (),
        after: spending.UsageMark | None = None,
        limit: int = 100,
    ) -> Sequence[spending.UsageView]:
        """Show what a tenant has spent, from ``first`` (30 days ago) to ``last`` (today), by ``parts`` (day). Raises
        InvalidInput.
        """
        last = last or self._today()
        first = first or last - min(datetime.timedelta(days=29), last - datetime.date.min)
        problems = []
        known = [part.value for part in spending.Part]
        if not set(parts) <= set(known):
            problems.append(Problem(field="by", message=f"must be some of {', '.join(known)}"))
        if first > last:
            problems.append(Problem(field="from", message="is after to"))
        elif (last - first).days >= DAYS_MAX:
            problems.append(Problem(field="from", message=f"is more than {DAYS_MAX} days before to"))
        if not 1 <= limit <= PAGE_MAX:
            problems.append(Problem(field="limit", message=f"must be from 1 to {PAGE_MAX}"))
        if problems:
            raise InvalidInput(problems)
        chosen = frozenset(spending.Part(part) for part in parts) or frozenset({spending.Part.DAY})
        where = spending.UsageFilter(first=first, last=last, parts=chosen, after=after, limit=limit)
        return self._books.usage(tenant=tenant, where=where)

    def budgets(self, *, tenant: records.Tenant, has_workflows: bool = False) -> Sequence[spending.BudgetView]:
        """Show a tenant's caps and what is left of them; workflows' caps, which are of all tenants, if asked."""
        return self._books.budgets(tenant=tenant, has_workflows=has_workflows)

    # Quotes

    def quote_workflow(self, workflow: str) -> WorkflowQuote:
        """Tell what a run of a workflow will probably cost; nothing is started."""
        self._refresh()
        with self._lock:
            return WorkflowQuote(workflow=workflow, cost=self._costs.get(workflow))

    def quote_model(
        self,
        model: str,
        *,
        tenant: records.Tenant,
        priority: str = run.Priority.STANDARD.value,
        tokens: int | None = None,
        images: int | None = None,
    ) -> ModelQuote:
        """Tell what one call of a model will probably cost and how long it waits. Raises InvalidInput.

        tokens, images: what the call says it uses, 1 to 1,000,000,000; None: what the model's declaration says, else
        its part of the configuration.
        """
        if priority not in set(run.Priority):
            known = ", ".join(member.value for member in run.Priority)
            raise InvalidInput([Problem(field="priority", message=f"must be one of {known}")])
        problems = [
            Problem(field=field, message=f"must be from 1 to {told.UNITS_MAX:,}")
            for field, units in (("tokens", tokens), ("images", images))
            if units is not None and not 1 <= units <= told.UNITS_MAX
        ]
        if problems:
            raise InvalidInput(problems)
        name, said = model[:NAME_CHARACTERS_MAX], self._stated(model)
        tokens, images = tokens or said[0], images or said[1]
        routes = tuple(self._books.route_prices(model=name, tokens=tokens, images=images))
        if not routes:
            message = (
                f"{model[:NAME_CHARACTERS_MAX]!r} has no route to an endpoint; [[routes]] of heddle.toml give one, "
                "once `heddle migrate` has applied them"
            )
            raise InvalidInput([Problem(field="model", message=message)])
        return ModelQuote(model=model, routes=routes, wait_s=self._wait_s(model, tenant, run.Priority(priority)))

    def _wait_s(self, model: str, tenant: records.Tenant, priority: run.Priority) -> float | None:
        waits = [
            admission_policy.predicted_wait_s(lineup.load_of(lane, tenant.id, weight=tenant.weight))
            for lane in self._doors.lanes()
            if (lane.kind, lane.name, lane.priority) == ("model", model, priority)
        ]
        # A lane with nothing in line is not measured: nobody waits there.
        return max(waits, default=0.0)

    def _refresh(self) -> None:
        now_s = self._monotonic_s()
        with self._lock:
            if self._read_at_s is not None and now_s - self._read_at_s < QUOTES_KEPT_S:
                return
            before, self._read_at_s = self._read_at_s, now_s
        try:
            found = {each.workflow: each for each in self._books.workflow_costs()}
        except BaseException:
            with self._lock:
                self._read_at_s = before
            raise
        with self._lock:
            self._costs = found

    # What providers report

    def import_report(self, text: str, *, endpoint: str, source: str, actor: str) -> int:
        """Keep what a provider reports, from its export; give how many days and accounts. Raises InvalidInput."""
        reported = exports.read(text)
        try:
            return self._books.report(endpoint=endpoint, reported=reported, source=source[:200], actor=actor)
        except LookupError as error:
            raise InvalidInput([Problem(field="endpoint", message=str(error))]) from error

    def compare(self, *, days: int = 31) -> Mapping[str, Sequence[invoice.DaySpend]]:
        """Show what was metered and reported, by endpoint, of the last days. Raises InvalidInput."""
        if not 1 <= days <= COMPARED_DAYS_MAX:
            raise InvalidInput([Problem(field="days", message=f"must be from 1 to {COMPARED_DAYS_MAX}")])
        return self._books.compare(days=days)

    def correct(
        self, run_id: str | uuid.UUID, ordinal: int, *, number: int, correction: str, amount_usd: str, actor: str
    ) -> None:
        """Book a refund (``amount_usd`` above 0) or an adjustment (of either sign) of an attempt's charge.

        Raises InvalidInput, CorrectionRefused.
        """
        kind = spending.Correction(correction)
        negative = amount_usd.startswith("-")
        try:
            amount = money.nano_usd(amount_usd.removeprefix("-"))
            run_uuid = run_id if isinstance(run_id, uuid.UUID) else uuid.UUID(run_id)
        except money.NotMoney as error:
            raise InvalidInput([Problem(field="amount_usd", message=str(error))]) from error
        except ValueError as error:
            raise doors.RunMissing(str(run_id)[:100]) from error
        if not (0 <= ordinal <= STORED_MAX and 1 <= number <= STORED_MAX):
            raise InvalidInput([Problem(field="step", message="or its attempt is a number that no call of a run has")])
        if amount == 0 or (negative and kind is spending.Correction.REFUND):
            raise InvalidInput([Problem(field="amount_usd", message="must be above 0 for a refund, and never 0")])
        self._books.correct(
            run_id=run_uuid,
            ordinal=ordinal,
            number=number,
            correction=kind,
            amount_nano_usd=-amount if negative else amount,
            actor=actor,
        )
