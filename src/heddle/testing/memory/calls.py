"""Hold waited calls to their tenants' quotas and tell of their ends: over_quota and ended_calls.

Neighbours: ``store.calling`` before; ``newcomers`` writes what has room.
"""

import uuid
from collections.abc import Sequence

from heddle.core import ids
from heddle.testing.memory import admission
from heddle.testing.memory.tables import Rows, Statement, Tables


def over_quota(
    tables: Tables,
    *,
    ids: Sequence[uuid.UUID],
    tenants: Sequence[int],
    operations: Sequence[str],
    keys: Sequence[str | None],
) -> Rows:
    """Name the runs that their tenants' quotas have no room for, and let go of their keys."""
    found: Rows = []
    admitted: dict[int, int] = {}
    for run_id, tenant_id, operation, key in sorted(zip(ids, tenants, operations, keys, strict=True)):
        taken = None if key is None else tables.idempotency.get((tenant_id, operation, key))
        if key is not None and (taken is None or taken["run_id"] != run_id):
            continue
        place = admitted[tenant_id] = admitted.get(tenant_id, 0) + 1
        bound = _used_up(tables, run_id, tenant_id, place)
        if bound is not None:
            found.append((run_id, bound))
            if key is not None:
                del tables.idempotency[tenant_id, operation, key]
    return found


def _used_up(tables: Tables, run_id: uuid.UUID, tenant_id: int, place: int) -> str | None:
    tenant = tables.tenants[tenant_id]
    own = [row for row in tables.runs.values() if row.tenant_id == tenant_id and row.parent_run is None]
    since_ms = ids.unix_ms(run_id) - 60_000
    recent = sum(ids.unix_ms(row.id) >= since_ms and (row.error or {}).get("fault") != "throttled" for row in own)
    if tenant.runs_per_min is not None and place + recent > tenant.runs_per_min:
        return "runs_per_min"
    is_full = tenant.open_runs_max is not None and place + sum(row.is_live for row in own) > tenant.open_runs_max
    return "open_runs_max" if is_full else None


def ended_calls(tables: Tables, *, run_ids: Sequence[uuid.UUID]) -> Rows:
    """Tell which runs of one call are over, and which are stuck."""
    found: Rows = []
    for run_id in run_ids:
        row = tables.runs.get(run_id)
        step = None if row is None else row.steps.get(1)
        if row is None or step is None or (row.is_live and step.state != "unknown"):
            continue
        is_looked_after = (
            (run_id, 1) in tables.leases
            or any(key[:2] == (run_id, 1) for key in tables.timers)
            or any((entry.run_id, entry.ordinal) == (run_id, 1) for entry in tables.ready_rows())
        )
        is_stuck = step.state == "unknown" and not is_looked_after
        found.append((run_id, row.state, row.error, step.output, is_stuck))
    return found


STATEMENTS: dict[str, Statement] = {
    "lock_quotas": admission.nothing,
    "over_quota": over_quota,
    "ended_calls": ended_calls,
}
