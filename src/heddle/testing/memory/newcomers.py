"""Write runs that were admitted: new_runs. Neighbours: ``admission`` before, ``plans`` after."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.testing.memory import tables as tables_module
from heddle.testing.memory.plans import by_row, loads
from heddle.testing.memory.tables import Rows, RunRow, Statement, Tables


def new_runs(tables: Tables, **arrays: Sequence[Any]) -> Rows:
    """Write runs with their first ready entries, or the timer that starts them."""
    now = tables.now_s()
    for row in by_row(arrays, *arrays):
        taken = tables.idempotency.get((row["tenants"], row["operations"], row["keys"]))
        if row["keys"] is not None and (taken is None or taken["run_id"] != row["ids"]):
            continue
        assert row["ids"] not in tables.runs, "a run's id is new"
        deadline_at, cap_run = _from_above(tables, row)
        made = RunRow(
            id=row["ids"],
            tenant_id=row["tenants"],
            workflow=row["workflows"],
            version=row["versions"],
            priority=row["priorities"],
            lane=row["lanes"],
            input=json.loads(row["inputs"]),
            labels=loads(row["labels"]) or {},
            webhook_url=row["webhooks"],
            max_cost_nano_usd=row["max_costs"],
            created_at=now,
            deadline_at=deadline_at,
            cap_run=cap_run,
            parent_run=row["parents"],
            parent_ordinal=row["parent_ordinals"],
            traceparent=row["traceparents"],
        )
        tables.runs[made.id] = made
        tables.tell(made, "run.queued")
        if row["call_kinds"] is not None:
            _plan_call(made, row, now)
        if deadline_at is not None:
            tables.set_timer((made.id, 0, "deadline"), deadline_at)
        if (row["starts_in_s"] or 0.0) > 0:
            tables.set_timer((made.id, 0, "start"), now + row["starts_in_s"])
        else:
            tables.put_ready(made.lane, made.tenant_id, made.id, int(made.is_call))
    return []


def call_now(_tables: Tables, **_arrays: Any) -> Rows:
    """Lease nothing: here every call goes by its line and a claim, as each may."""
    return []


def _plan_call(made: RunRow, row: dict[str, Any], now: float) -> None:
    """Write the one call of a run without a function."""
    made.function_state, made.is_activation_due, made.planned, made.open = "returned", False, 1, 1
    made.shape, made.refs = {"$call": [1, []]}, [1]
    made.steps[1] = tables_module.StepRow(
        run_id=made.id,
        ordinal=1,
        kind=row["call_kinds"],
        name=row["call_names"],
        version=made.version,
        lane=made.lane,
        tenant_id=made.tenant_id,
        state="due",
        digest=row["digests"],
        input=made.input,
        options=loads(row["call_options"]),
        created_at=now,
    )


def _from_above(tables: Tables, row: dict[str, Any]) -> tuple[float | None, uuid.UUID | None]:
    """Give a new run's deadline, no later than that of the run above it, and the run whose cap it is held to."""
    deadline_at = None if row["deadlines_s"] is None else tables.now_s() + row["deadlines_s"]
    above = None if row["parents"] is None else tables.runs.get(row["parents"])
    if above is None:
        return deadline_at, None
    if above.stopping is None and above.deadline_at is not None:
        deadline_at = above.deadline_at if deadline_at is None else min(deadline_at, above.deadline_at)
    return deadline_at, above.cap_run or (None if above.max_cost_nano_usd is None else above.id)


STATEMENTS: dict[str, Statement] = {"new_runs": new_runs, "call_now": call_now}
