"""Make the intent of paid calls durable before their sockets open: one synchronous commit for all that are waiting.

The answer says which calls may be sent: those whose lease still stands and whose send_by has not passed. Part of
execute.
"""

import asyncio
import enum

from heddle.engine import parts as parts_module
from heddle.engine import supervise
from heddle.ports import store


class Permission(enum.Enum):
    """Say whether a call may be sent: yes, not any more (lease or time lost), or not at all (the run's cap on cost)."""

    GRANTED = enum.auto()
    TOO_LATE = enum.auto()
    OVER_CAP = enum.auto()


Waiting = tuple[store.Claimed, str, asyncio.Future[Permission]]


class Intents:
    """Gather intents and commit them together."""

    def __init__(self, parts: parts_module.Parts) -> None:
        self._parts = parts
        self._waiting: list[Waiting] = []
        self._filled = asyncio.Event()

    async def record(self, claimed: store.Claimed, digest: str) -> Permission:
        """Make one intent durable and tell whether the call may be sent."""
        future: asyncio.Future[Permission] = asyncio.get_running_loop().create_future()
        self._waiting.append((claimed, digest, future))
        self._filled.set()
        return await future

    async def run(self) -> None:
        """Commit until cancelled."""
        await supervise.forever(self._parts, "execute", self._one_pass)

    async def _one_pass(self) -> None:
        await self._filled.wait()
        self._filled.clear()
        batch, self._waiting = (
            self._waiting[: self._parts.settings.worker_batch],
            self._waiting[self._parts.settings.worker_batch :],
        )
        if self._waiting:
            self._filled.set()
        if not batch:
            return
        try:
            allowed = await self._parts.store.mark_sending(calls=[(claimed, digest) for claimed, digest, _ in batch])
        except store.StoreLost:
            # Whether it committed is not known and nothing was sent: not sending is right in both cases.
            allowed = {}
        for claimed, _, future in batch:
            if not future.done():
                found = allowed.get((claimed.run_id, claimed.ordinal))
                future.set_result(
                    Permission.TOO_LATE if found is None else Permission.GRANTED if found else Permission.OVER_CAP
                )
