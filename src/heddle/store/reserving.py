"""Make the intent of paid calls durable and reserve their price, as far as the caps of whoever pays allow.

One transaction, with everybody who pays locked, decides a batch. Mixed into ``PostgresStore``. Neighbours:
``engine.intent`` above, ``store/sql/mark_sending.sql`` below.
"""

import uuid
from collections.abc import Sequence
from typing import Any, Final, Protocol

from heddle.core.policy import budget
from heddle.ports import store
from heddle.store import connections, partitions

Call = tuple[store.Claimed, str]
_LEFT_OUT: Final = (None, None, None, False)


class _Store(Protocol):
    _connections: connections.Connections

    async def doubt(self, claimed: Sequence[store.Claimed]) -> None: ...


class Reserving:
    """Implement ``mark_sending`` for a store that runs statements."""

    async def mark_sending(
        self: _Store, *, calls: Sequence[tuple[store.Claimed, str]]
    ) -> dict[tuple[uuid.UUID, int], budget.Cap | None]:
        """Make the intent of paid calls durable before their sockets open."""
        sent: dict[tuple[uuid.UUID, int], budget.Cap | None] = {}
        asked: Sequence[Call] = calls
        # Each turn decides about the first call that is left, so there are at most as many turns as calls; two where
        # all cost the same.
        for _ in range(len(calls)):
            suffix = partitions.suffix_of({call.run_id for call, _ in asked})
            found = await self._connections.run(_marking(asked), stage="execute", suffix=suffix)
            rows = {(row[0], row[1]): row for row in await found.fetchall()}
            sent |= {key: None if row[2] is None else budget.Cap(row[2]) for key, row in rows.items() if not row[3]}
            asked = [call for call in asked if rows.get((call[0].run_id, call[0].ordinal), _LEFT_OUT)[3]]
            if not asked:
                break
        await self.doubt([call for call, _ in calls if (call.run_id, call.ordinal) not in sent])
        return sent


def _marking(calls: Sequence[Call]) -> Any:
    runs = [call.run_id for call, _ in calls]

    async def work(transaction: connections.Transaction) -> Any:
        await transaction.send("lock_capped", {"runs": runs})
        await transaction.send("lock_budgets", {"runs": runs})
        return await transaction.send(
            "mark_sending",
            {
                "runs": runs,
                "ordinals": [call.ordinal for call, _ in calls],
                "numbers": [call.number for call, _ in calls],
                "fences": [call.fence for call, _ in calls],
                "digests": [digest for _, digest in calls],
            },
        )

    return work
