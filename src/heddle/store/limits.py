"""Give the statements that fold, judge and limit the numbers of the law, and the leader's govern its rows.

One law, in ``core.policy``, for SQL too: ``claim_model`` and ``fold_idle`` take these as parameters of ``sql/parts``.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from heddle.core.policy import breaker, told
from heddle.ports import govern
from heddle.store import connections

_BREAKER: Final = breaker.BreakerOptions()
_TOLD: Final = told.ToldOptions()

RAMP_SLOTS_MIN: Final = 10
"""Slots that count as all of a scope without a limit when a ramp begins: what was in flight before, at least this."""

GOVERNED_S: Final = 30.0
"""Age of the leader's word on retries after which it no longer counts: without a leader retries are only jittered."""

LAW: Final[dict[str, Any]] = {
    "breaker_consecutive": _BREAKER.consecutive,
    "breaker_samples": _BREAKER.failure_samples,
    "breaker_ratio": _BREAKER.failure_ratio,
    "breaker_window_s": float(_BREAKER.window_s),
    "open_s": _BREAKER.open_s,
    "open_max_s": _BREAKER.open_max_s,
    "ramp_s": _BREAKER.ramp_s,
    "ramp_from": _BREAKER.ramp_from,
    "ramp_slots_min": RAMP_SLOTS_MIN,
    "told_max_s": _TOLD.believed_max_s,
}
"""The parameters of ``parts/fold`` and ``parts/limit``."""


class Governing:
    """Keep the books of scopes, and read and write what the leader governs; mixed into the store."""

    _rows: Callable[..., Awaitable[list[tuple[Any, ...]]]]
    _connections: connections.Connections

    async def fold_idle(self) -> None:
        """Fold limit deltas nobody has claimed over."""
        await self._rows("fold_idle", LAW)

    async def recount(self) -> list[govern.SlotDrift]:
        """Recount slots and correct drift, of the scopes that no claim holds at this moment."""
        found = await self._connections.run(_recounted, stage="sweep")
        return [govern.SlotDrift(scope=row[0], was=row[1], is_now=row[2]) for row in found]

    async def scope_counters(self) -> list[govern.ScopeCounters]:
        """Give the counters of every scope that an endpoint lists."""
        return [
            govern.ScopeCounters(
                id=row[0],
                name=row[1],
                concurrency=row[2],
                floor=row[3],
                ceiling=row[4],
                in_flight=row[5],
                is_full=row[6],
                finished=row[7],
                finished_s=row[8],
                throttled=row[9],
                first_tries=row[10],
                retries=row[11],
            )
            for row in await self._rows("scope_counters", {}, stage="govern")
        ]

    async def govern(self, *, orders: Sequence[govern.ScopeOrder]) -> int:
        """Write orders to the scopes that no claim holds at this moment."""
        found = await self._rows(
            "govern",
            {
                "ids": [order.id for order in orders],
                "slots": [order.concurrency for order in orders],
                "uptos": [order.retries_upto for order in orders],
            },
            stage="govern",
        )
        return int(found[0][0])


async def _recounted(transaction: connections.Transaction) -> list[tuple[Any, ...]]:
    ids = [row[0] for row in await transaction.rows("lock_scopes", {})]
    return await transaction.rows("recount", {"ids": ids})
