"""Lay the Money page out: caps with what is left, a bar for each day, where the money went.

Numbers only: the template draws. Before it: ``views``, with what ``client.spending`` tells. After it: ``money.html``.
"""

import dataclasses
import datetime
from collections.abc import Sequence

from heddle.client import money
from heddle.ports import spending

DAYS = 30
CHART_WIDTH, CHART_HEIGHT = 900, 120
GROUPS_SHOWN = 50


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DayBar:
    """Hold one day's bar: its place and height in the chart, and what it says."""

    day: datetime.date
    x: float
    y: float
    width: float
    height: float
    cost: str
    calls: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CapLine:
    """Hold one cap with what is taken of it. Shares are of the cap, 0 to 100; ``look`` is the tone."""

    name: str
    cap: str
    spent: str
    reserved: str
    left: str
    spent_share: float
    reserved_share: float
    look: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GroupLine:
    """Hold what one workflow spent on one model at one endpoint."""

    workflow: str
    model: str
    endpoint: str
    calls: int
    estimates: int
    cost: str


def bars(rows: Sequence[spending.UsageView], *, last: datetime.date) -> list[DayBar]:
    """Give a bar for each of the last days, also for those without spend; the dearest day is as high as the chart."""
    costs = {row.day: row for row in rows}
    highest = max((row.cost_nano_usd for row in rows), default=0)
    step = CHART_WIDTH / DAYS
    found = []
    for place in range(DAYS):
        day = last - datetime.timedelta(days=DAYS - 1 - place)
        row = costs.get(day)
        cost = 0 if row is None else row.cost_nano_usd
        height = CHART_HEIGHT * max(0, cost) / highest if highest > 0 else 0.0
        bar = DayBar(
            day=day,
            x=round(place * step + 2, 1),
            y=round(CHART_HEIGHT - height, 1),
            width=round(step - 4, 1),
            height=round(height, 1),
            cost=money.usd(cost),
            calls=0 if row is None else row.calls,
        )
        found.append(bar)
    return found


def caps(budgets: Sequence[spending.BudgetView]) -> list[CapLine]:
    """Give a line for each cap that is set."""
    found = []
    for view in budgets:
        whose = "" if view.workflow is None else f"{view.workflow}, "
        if view.day_cap_nano_usd is not None:
            name = f"{whose}today"
            found.append(_cap(name, view.day_cap_nano_usd, view.spent_today_nano_usd, view.reserved_today_nano_usd))
        if view.month_cap_nano_usd is not None:
            name = f"{whose}this month"
            found.append(_cap(name, view.month_cap_nano_usd, view.spent_month_nano_usd, view.reserved_month_nano_usd))
    return found


def groups(rows: Sequence[spending.UsageView]) -> list[GroupLine]:
    """Give where the money went, dearest first."""
    dearest = sorted(rows, key=lambda row: (-row.cost_nano_usd, row.workflow, row.model, row.endpoint))
    return [
        GroupLine(
            workflow=row.workflow or "",
            model=row.model or "",
            endpoint=row.endpoint or "",
            calls=row.calls,
            estimates=row.estimates,
            cost=money.usd(row.cost_nano_usd),
        )
        for row in dearest[:GROUPS_SHOWN]
    ]


def total(rows: Sequence[spending.UsageView]) -> str:
    """Give the sum of rows."""
    return money.usd(sum(row.cost_nano_usd for row in rows))


def _cap(name: str, cap: int, spent: int, reserved: int) -> CapLine:
    spent_share = 100.0 if cap == 0 else min(100.0, 100.0 * spent / cap)
    reserved_share = 0.0 if cap == 0 else min(100.0 - spent_share, 100.0 * reserved / cap)
    taken = spent_share + reserved_share
    return CapLine(
        name=name,
        cap=money.usd(cap),
        spent=money.usd(spent),
        reserved=money.usd(reserved),
        left=money.usd(max(0, cap - spent - reserved)),
        spent_share=round(spent_share, 1),
        reserved_share=round(reserved_share, 1),
        look="bad" if taken >= 100 else "wait" if taken >= 80 else "good",
    )
