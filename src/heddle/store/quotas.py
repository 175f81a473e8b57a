"""Read what tenants may take and have taken.

Nothing is decided: that is ``core.policy.quota``. Neighbours: the doors and the intake above,
``store/sql/quota_*.sql`` below.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from heddle.core import faults, ids, plan
from heddle.core.policy import quota
from heddle.ports import records

Rows = Callable[[str, dict[str, Any]], list[tuple[Any, ...]]]


def tenant(row: Sequence[Any]) -> records.Tenant:
    """Read a tenant: id, name, weight, and its four bounds."""
    identifier, name, weight, runs_per_min, open_runs_max, budget, month_budget = row
    bounds = quota.Quota(
        runs_per_min=runs_per_min,
        open_runs_max=open_runs_max,
        budget_nano_usd_per_day=budget,
        budget_nano_usd_per_month=month_budget,
    )
    return records.Tenant(id=identifier, name=name, weight=weight, quota=bounds if bounds.is_any else quota.NONE)


def use(rows: Rows, owner: records.Tenant) -> quota.Use:
    """Ask what a tenant has taken. This machine's clock only bounds the look; what is told is by the database's."""
    since_ms = int((time.time() - quota.WINDOW_S) * 1000)
    found = rows(
        "quota_use",
        {
            "tenant_id": owner.id,
            "runs_per_min": owner.quota.runs_per_min,
            "open_runs_max": owner.quota.open_runs_max,
            "since": ids.run_id(database_unix_ms=since_ms, random_bits=0),
        },
    )
    runs_in_window, oldest, open_runs, spent, day_left_s, spent_month, month_left_s, now_s = found[0]
    return quota.Use(
        runs_in_window=runs_in_window,
        window_frees_in_s=0.0 if oldest is None else max(0.0, _admitted_at_s(oldest) + quota.WINDOW_S - now_s),
        open_runs=open_runs,
        spent_nano_usd=spent,
        day_left_s=day_left_s,
        spent_month_nano_usd=spent_month,
        month_left_s=month_left_s,
    )


def throttled(bound: str) -> plan.Raised:
    """Give the end of a run that its tenant's quota had no room for: it raced others past the door."""
    message = f"the tenant's {bound} was used up by runs admitted before this one; nothing of it was started"
    fault = faults.StepFault(fault=faults.Fault.THROTTLED, message=message, where=f"[tenants] {bound}")
    return plan.Raised(fault=fault)


def _admitted_at_s(run_id: uuid.UUID) -> float:
    return ids.unix_ms(run_id) / 1000
