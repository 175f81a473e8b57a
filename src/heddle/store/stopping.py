"""Write what was learnt of the provider jobs of stopped calls.

Neighbours: ``engine.poll`` above, ``ports.stopping`` for the promises.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from heddle.ports import leases, stopping
from heddle.store import connections


class _Store(Protocol):
    _connections: connections.Connections

    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]: ...


class StoppedJobs:
    """Implement ``ports.stopping`` for a store that runs statements."""

    async def close_cancelled(
        self: _Store, *, closings: Sequence[tuple[leases.LeaseRef, str, int | None]]
    ) -> Sequence[stopping.Charged]:
        """Close cancelled steps whose provider job is known to be over."""
        runs = [lease.run_id for lease, _, _ in closings]
        given = {
            "runs": runs,
            "ordinals": [lease.ordinal for lease, _, _ in closings],
            "fences": [lease.fence for lease, _, _ in closings],
            "states": [state for _, state, _ in closings],
            "costs": [cost for _, _, cost in closings],
        }

        async def work(transaction: connections.Transaction) -> Any:
            await transaction.send("lock_runs", {"run_ids": sorted(set(runs))})
            return await transaction.send("close_attempt", given)

        found = await self._connections.run(work, stage="sweep")
        return [
            stopping.Charged(endpoint_id=endpoint_id, amount_nano_usd=amount, estimates=estimates)
            for endpoint_id, amount, estimates in await found.fetchall()
        ]

    async def look_again(self: _Store, *, looks: Sequence[stopping.LookAgain]) -> None:
        """Let go of leases of jobs that are to be looked at later."""
        await self._rows(
            "look_again",
            {
                "runs": [look.lease.run_id for look in looks],
                "ordinals": [look.lease.ordinal for look in looks],
                "fences": [look.lease.fence for look in looks],
                "handles": [look.handle for look in looks],
                "delays": [look.delay_s for look in looks],
            },
        )
