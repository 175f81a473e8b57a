"""Make the intent of paid calls durable before their sockets open: one synchronous commit for all that are waiting.

The answer says which calls may be sent: those whose lease still stands and whose send_by has not passed. Part of execute.
"""

import asyncio
import uuid

from heddle.engine import parts as parts_module
from heddle.engine import supervise
from heddle.ports import store

Waiting = tuple[store.Claimed, str, asyncio.Future[bool]]


class Intents:
    """Gather intents and commit them together."""

    def __init__(self, parts: parts_module.Parts) -> None:
        self._parts = parts
        self._waiting: list[Waiting] = []
        self._filled = asyncio.Event()

    async def record(self, claimed: store.Claimed, digest: str) -> bool:
        """Make one intent durable; False when the call may not be sent any more. Raises StoreLost when it is not known."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((claimed, digest, future))
        self._filled.set()
        return await future

    async def run(self) -> None:
        """Commit until cancelled."""
        await supervise.forever(self._parts, "execute", self._one_pass)

    async def _one_pass(self) -> None:
        await self._filled.wait()
        self._filled.clear()
        batch, self._waiting = self._waiting[: self._parts.settings.worker_batch], self._waiting[self._parts.settings.worker_batch :]
        if self._waiting:
            self._filled.set()
        if not batch:
            return
        try:
            allowed = await self._parts.store.mark_sending(calls=[(claimed, digest) for claimed, digest, _ in batch])
        except store.StoreLost:
            # Whether it committed is not known and nothing was sent: not sending is right in both cases. A call whose intent did commit
            # is taken for unknown by the reclaim, looked up, and sent once.
            allowed = set[tuple[uuid.UUID, int]]()
        for claimed, _, future in batch:
            if not future.done():
                future.set_result((claimed.run_id, claimed.ordinal) in allowed)
