"""Find equal model calls: one transaction, the runs locked first. Say in which lanes calls look for equal ones.

Neighbours: ``engine.reuse`` above, ``store/sql/reuse.sql`` below, ``ports.reusing`` for the promises.
"""

import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from heddle.core import lanes, plan, run
from heddle.core.policy import reuse as policy
from heddle.ports import reusing
from heddle.store import connections

ALL_TENANTS = 0
"""The tenant that stands for all in the table of results: no tenant has this id."""


_LOWER = "lower"


class _Row(NamedTuple):
    """Name the columns of reuse."""

    run_id: uuid.UUID
    ordinal: int
    outcome: str
    output: Any
    by_run: uuid.UUID | None
    by_ordinal: int | None
    by_tenant: int | None


_Work = Callable[[connections.Transaction], Awaitable[list[_Row]]]


class _Store(Protocol):
    _connections: connections.Connections


class Reusing:
    """Implement ``ports.reusing`` for a store that runs statements."""

    async def reuse(self: _Store, *, looks: Sequence[reusing.Look]) -> list[reusing.Found]:
        """Look for equal calls."""
        found: list[_Row | None] = [*await self._connections.run(_looking(looks), stage="execute")]
        of = {(look.lease.run_id, look.lease.ordinal): look for look in looks}
        for number, row in enumerate(found):
            if row is not None and row.outcome == _LOWER:
                look = of[row.run_id, row.ordinal]
                again = await self._connections.run(_standing_before(look, row), stage="execute")
                found[number] = again[0] if again else None
        return [_found(each) for each in found if each is not None]


def _looking(looks: Sequence[reusing.Look]) -> _Work:
    async def work(transaction: connections.Transaction) -> list[_Row]:
        await transaction.send("lock_runs", {"run_ids": sorted({look.lease.run_id for look in looks})})
        cursor = await transaction.send("reuse", _parameters(looks))
        return [_Row(*row) for row in await cursor.fetchall()]

    return work


def _standing_before(look: reusing.Look, lower: _Row) -> _Work:
    """Let the call of a lower class that was found stand back, unless it has begun meanwhile, and look again."""

    by_run = lower.by_run
    assert by_run is not None, "what stands back is a call of some run"

    async def work(transaction: connections.Transaction) -> list[_Row]:
        await transaction.send("lock_runs", {"run_ids": sorted({look.lease.run_id, by_run})})
        model_lanes, look_lanes = _lanes(look, "model"), _lanes(look, plan.LOOK)
        for lane in sorted(model_lanes):
            await transaction.send("requeue_lock", {"lane": lane, "tenant_id": lower.by_tenant})
        await transaction.send(
            "reuse_yield",
            {
                "scope": _scope(look),
                "key": look.key,
                "run_id": by_run,
                # One that was noted, failed and was retried looks already.
                "model_lanes": [*model_lanes, *look_lanes],
                "look_lanes": [*look_lanes, *look_lanes],
            },
        )
        cursor = await transaction.send("reuse", _parameters([look]))
        return [_Row(*row) for row in await cursor.fetchall()]

    return work


def _found(row: _Row) -> reusing.Found:
    return reusing.Found(
        outcome="under_way" if row.outcome == _LOWER else row.outcome,
        output=row.output,
        run_id=row.by_run or row.run_id,
        ordinal=row.by_ordinal or row.ordinal,
        tenant_id=row.by_tenant or 0,
    )


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


def _lanes(look: reusing.Look, kind: str) -> list[int]:
    return [lanes.number(kind, look.model, look.version, priority.value) for priority in run.Priority]


def _scope(look: reusing.Look) -> int:
    return look.tenant_id if look.options.among is policy.Among.TENANT else ALL_TENANTS


def _parameters(looks: Sequence[reusing.Look]) -> dict[str, Any]:
    return {
        "run_ids": [look.lease.run_id for look in looks],
        "ordinals": [look.lease.ordinal for look in looks],
        "fences": [look.lease.fence for look in looks],
        "scopes": [_scope(look) for look in looks],
        "keys": [look.key for look in looks],
        "hours": [look.options.hours for look in looks],
        "lost_run_ids": [look.lost[0] if look.lost else None for look in looks],
        "lost_ordinals": [look.lost[1] if look.lost else None for look in looks],
        **{
            priority.value: [lanes.number("model", look.model, look.version, priority.value) for look in looks]
            for priority in run.Priority
        },
    }
