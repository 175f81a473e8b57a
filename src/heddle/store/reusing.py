"""Find equal model calls: one transaction, the runs locked first. Say in which lanes calls look for equal ones.

Neighbours: ``engine.reuse`` above, ``store/sql/reuse.sql`` below, ``ports.reusing`` for the promises.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from heddle.core import lanes, plan, run
from heddle.core.policy import reuse as policy
from heddle.ports import reusing
from heddle.store import connections

ALL_TENANTS = 0
"""The tenant that stands for all in the table of results: no tenant has this id."""


class _Store(Protocol):
    _connections: connections.Connections


class Reusing:
    """Implement ``ports.reusing`` for a store that runs statements."""

    async def reuse(self: _Store, *, looks: Sequence[reusing.Look]) -> list[reusing.Found]:
        """Look for equal calls."""

        async def work(transaction: connections.Transaction) -> Any:
            await transaction.send("lock_runs", {"run_ids": sorted({look.lease.run_id for look in looks})})
            return await transaction.send("reuse", _parameters(looks))

        cursor = await self._connections.run(work, stage="execute")
        return [
            reusing.Found(
                outcome=outcome,
                output=output,
                run_id=by_run or run_id,
                ordinal=by_ordinal or ordinal,
                tenant_id=by_tenant or 0,
            )
            for run_id, ordinal, outcome, output, by_run, by_ordinal, by_tenant in await cursor.fetchall()
        ]


def look_lane(name: str, version: int, priority: str) -> int:
    """Give the lane in which calls of a model look for equal ones."""
    return lanes.number(plan.LOOK, name, version, priority)


def is_look_lane(lane: int, *, name: str, version: int) -> bool:
    """Tell whether calls of a model look for equal ones in this lane, or are past that."""
    return lane in {look_lane(name, version, priority.value) for priority in run.Priority}


def looking_again(found: Iterable[tuple[int, str, int, str]]) -> dict[str, list[int]]:
    """Give the parameters of retry_run that let calls look again before they are paid for, from rows of look_lanes."""
    moves = {lane: look_lane(name, version, priority) for lane, name, version, priority in found}
    return {"model_lanes": list(moves), "look_lanes": list(moves.values())}


def _parameters(looks: Sequence[reusing.Look]) -> dict[str, Any]:
    return {
        "run_ids": [look.lease.run_id for look in looks],
        "ordinals": [look.lease.ordinal for look in looks],
        "fences": [look.lease.fence for look in looks],
        "scopes": [look.tenant_id if look.options.among is policy.Among.TENANT else ALL_TENANTS for look in looks],
        "keys": [look.key for look in looks],
        "hours": [look.options.hours for look in looks],
        "lanes": [look.lane for look in looks],
    }
