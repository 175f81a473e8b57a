"""Find timers that are due, carry a batch of them out in one transaction, and move one that cannot be carried out.

Neighbours: ``engine.schedule`` above, which takes apart a batch that is refused; ``store.schedule`` for what a due
timer leads to.
"""

import uuid
from collections.abc import Sequence
from typing import Any, Protocol

from heddle.ports import store, timers
from heddle.store import connections, schedule


class _Store(Protocol):
    _connections: connections.Connections

    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]: ...

    def new_run_id(self) -> uuid.UUID: ...


class Timing:
    """Implement ``ports.timers``, and ``carry_out``, for a store that runs statements."""

    async def due_timers(self: _Store, *, late_s: float, limit: int) -> list[timers.TimerRef]:
        """Give timers that are due."""
        found = await self._rows("due_timers", {"late_s": late_s, "limit": limit})
        return [timers.TimerRef(row[0], row[1], row[2]) for row in found]

    async def carry_out(
        self: _Store, *, due: Sequence[timers.TimerRef], worker: int, cleanup_s: float
    ) -> store.PumpReport:
        """Carry out those of a batch that still are due."""
        return await self._connections.run(
            lambda transaction: schedule.carry_out(
                transaction, due, worker=worker, cleanup_s=cleanup_s, new_run_id=self.new_run_id
            ),
            stage="schedule",
        )

    async def next_timer_s(self: _Store) -> float | None:
        """Tell in how many seconds the next timer is due."""
        ((next_in_s,),) = await self._rows("next_timer", {})
        return None if next_in_s is None else float(next_in_s)

    async def put_off(self: _Store, *, timer: timers.TimerRef, delay_s: float) -> bool:
        """Let a timer that is due be due later."""
        given = {"run_id": timer.run_id, "ordinal": timer.ordinal, "kind": timer.kind, "delay_s": delay_s}
        return bool(await self._rows("put_off_timer", given, stage="schedule"))
