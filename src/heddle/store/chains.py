"""Make runs go on as others, as part of writing their plans: what to lock for it, and the statement that does it.

Neighbours: ``planning`` calls, ``store/sql/continue_runs.sql`` below.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from heddle.core import faults, lanes, plan
from heddle.ports import store
from heddle.store import connections, rows

Wanted = tuple[uuid.UUID, plan.Continued, str]


async def to_lock(transaction: connections.Transaction, plans: Sequence[store.PlanWrite]) -> list[uuid.UUID]:
    """List the runs to lock: those planned, and what the ones that go on as others are linked with."""
    wanted = {made.plan.run_id for made in plans}
    leaving = [made.plan.run_id for made in plans if isinstance(made.plan.ending, plan.Continued)]
    if leaving:
        found = await transaction.rows("chain_links", {"run_ids": leaving})
        wanted.update(run_id for row in found for run_id in row if run_id is not None)
    return sorted(wanted)


def refused(chain_number: int | None) -> faults.StepFault | None:
    """Give the fault of a run that is the last there may be of its chain; None when it may go on."""
    if (chain_number or 1) < plan.CHAIN_MAX:
        return None
    message = (
        f"heddle.continue_as_new: the run is number {plan.CHAIN_MAX:,} of its chain, the last there may be; "
        "let a schedule start what goes on for ever"
    )
    return faults.StepFault(fault=faults.Fault.WORKFLOW_MISUSE, message=message)


async def go_on(
    transaction: connections.Transaction, wanted: Sequence[Wanted], new_run_id: Callable[[], uuid.UUID]
) -> Any:
    """Make the runs that others go on as; the cursor gives the workflow of each."""
    return await transaction.send(
        "continue_runs",
        {
            "olds": [run_id for run_id, _, _ in wanted],
            "ids": [new_run_id() for _ in wanted],
            "inputs": [rows.dump(ending.input) for _, ending, _ in wanted],
            "versions": [ending.version for _, ending, _ in wanted],
            "lanes": [lanes.of_activation(ending.workflow, ending.version, priority) for _, ending, priority in wanted],
        },
    )
