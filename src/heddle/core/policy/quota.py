"""Decide whether a tenant may start one more run: runs in any minute, runs that are not over, money of the day
and of the month.

All of it is counted from what is stored, never from a counter of their own, so that nothing can drift: the door reads
and refuses, and the intake decides again for the few that raced each other past the door. The minute slides: of the
runs admitted in any 60 s, the first ``runs_per_min`` stand. This file refuses to judge load; that is ``admission``.
"""

import enum
import math
from dataclasses import dataclass

WINDOW_S = 60.0
OPEN_RETRY_AFTER_S = 5.0
"""When to come back for a place among the open runs: nobody can tell when one ends. Ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Hold what a tenant may take; None is no bound.

    runs_per_min: 1 or more. open_runs_max: 1 or more, admitted and not over. budget_nano_usd_per_day and
    budget_nano_usd_per_month: 0 or more, of a day and of a month in UTC; 0 stops everything that costs.
    """

    runs_per_min: int | None = None
    open_runs_max: int | None = None
    budget_nano_usd_per_day: int | None = None
    budget_nano_usd_per_month: int | None = None

    @property
    def is_any(self) -> bool:
        """Tell whether anything is bounded."""
        return self != NONE


NONE = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Report what a tenant has taken.

    runs_in_window: admitted in the last 60 s, counted up to ``runs_per_min``. window_frees_in_s: until the oldest of
    those counted leaves the window. open_runs: counted up to ``open_runs_max``. spent_nano_usd: of this day, calls
    that are not over at their price; spent_month_nano_usd: of this month. day_left_s and month_left_s: until the next
    one begins in UTC.
    """

    runs_in_window: int = 0
    window_frees_in_s: float = 0.0
    open_runs: int = 0
    spent_nano_usd: int = 0
    day_left_s: float = 0.0
    spent_month_nano_usd: int = 0
    month_left_s: float = 0.0


class Bound(enum.StrEnum):
    """Name what a tenant has used up."""

    RUNS_PER_MIN = "runs_per_min"
    OPEN_RUNS = "open_runs_max"
    BUDGET = "budget_usd_per_day"
    MONTH_BUDGET = "budget_usd_per_month"

    @property
    def is_money(self) -> bool:
        """Tell whether more of it is to be had from the operator only, or with the next period."""
        return self in (Bound.BUDGET, Bound.MONTH_BUDGET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """Say which bound is reached and when to come back."""

    bound: Bound
    retry_after_s: float


def exceeded(quota: Quota, use: Use, *, runs: int = 1) -> Exceeded | None:
    """Decide whether ``runs`` more may start: None, or the bound that keeps them out the longest."""
    found: list[Exceeded] = []
    if quota.runs_per_min is not None and use.runs_in_window + runs > quota.runs_per_min:
        found.append(Exceeded(bound=Bound.RUNS_PER_MIN, retry_after_s=max(1.0, use.window_frees_in_s)))
    if quota.open_runs_max is not None and use.open_runs + runs > quota.open_runs_max:
        found.append(Exceeded(bound=Bound.OPEN_RUNS, retry_after_s=OPEN_RETRY_AFTER_S))
    if quota.budget_nano_usd_per_day is not None and use.spent_nano_usd >= quota.budget_nano_usd_per_day:
        found.append(Exceeded(bound=Bound.BUDGET, retry_after_s=max(1.0, use.day_left_s)))
    if quota.budget_nano_usd_per_month is not None and use.spent_month_nano_usd >= quota.budget_nano_usd_per_month:
        found.append(Exceeded(bound=Bound.MONTH_BUDGET, retry_after_s=max(1.0, use.month_left_s)))
    return max(found, key=lambda each: each.retry_after_s, default=None)


def remaining(quota: Quota, use: Use) -> int | None:
    """Return how many runs may start within this minute, None without a bound on them."""
    if quota.runs_per_min is None:
        return None
    return max(0, quota.runs_per_min - use.runs_in_window)


def resets_in_s(use: Use) -> int:
    """Return in how many whole seconds the window has room again."""
    return math.ceil(max(0.0, use.window_frees_in_s))
