"""Answer the statements of what is not kept in memory: nothing is due, measured, restored or carried out.

Only statements that ask are here, each with the answer of a store in which nobody ever asked for such a thing; a
statement that would begin one is in no room, and ``Memory.rows`` raises ``NotSimulated`` for it. Neighbours: the
executors of ``store.recurring``, ``store.load``, ``store.operating`` and ``store.upkeep``.
"""

import calendar
import datetime
from typing import Any

from heddle.testing.memory import books
from heddle.testing.memory.tables import Rows, Statement, Tables


def no_rows(_tables: Tables, **_parameters: Any) -> Rows:
    """Find nothing: no schedule, no bulk operation, no restored database, no measured lane."""
    return []


def next_schedule(_tables: Tables, **_parameters: Any) -> Rows:
    """Tell that no schedule is due."""
    return [(None,)]


def nothing_counted(_tables: Tables, **_parameters: Any) -> Rows:
    """Count nothing: there are no sums of the ledger here, only the ledger."""
    return [(0,)]


def load_post(_tables: Tables, **_parameters: Any) -> Rows:
    """Forget what a worker did: lanes are not measured."""
    return []


def load_measure(_tables: Tables, **_parameters: Any) -> Rows:
    """Measure no lane."""
    return [(0, 0)]


def quota_prune(_tables: Tables, **_parameters: Any) -> Rows:
    """Forget nothing: open runs are counted by their state, not in a list."""
    return [(0,)]


def quota_use(
    tables: Tables, *, tenant_id: int, runs_per_min: int | None, open_runs_max: int | None, **_since: Any
) -> Rows:
    """Tell what a tenant has taken of its quota, by the store's clock."""
    now = tables.now_s()
    own = [row for row in tables.runs.values() if row.tenant_id == tenant_id and row.parent_run is None]
    minute = sorted(
        (row.id for row in own if row.created_at > now - 60.0 and (row.error or {}).get("fault") != "throttled"),
        reverse=True,
    )[: runs_per_min or 0]
    open_runs = min(sum(row.is_live for row in own), open_runs_max or 0)
    spent = books.spent(tables, tenant_id, since_day=books.today(tables))
    day_left_s = (books.today(tables) + 1) * 86_400.0 - now
    date = datetime.datetime.fromtimestamp(now, tz=datetime.UTC)
    spent_month = books.spent(tables, tenant_id, since_day=books.today(tables) - date.day + 1)
    month_left_s = day_left_s + (calendar.monthrange(date.year, date.month)[1] - date.day) * 86_400.0
    return [(len(minute), min(minute, default=None), open_runs, spent, day_left_s, spent_month, month_left_s, now)]


STATEMENTS: dict[str, Statement] = {
    "due_schedules": no_rows,
    "schedule_views": no_rows,
    "next_schedule": next_schedule,
    "operation_take": no_rows,
    "doubt": no_rows,
    "load_read": no_rows,
    "load_post": load_post,
    "load_measure": load_measure,
    "quota_prune": quota_prune,
    "spend_count": nothing_counted,
    "spend_costs": nothing_counted,
    "spend_compare": no_rows,
    "quota_use": quota_use,
}
