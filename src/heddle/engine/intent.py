"""Make the intent of paid calls durable before their sockets open: one synchronous commit for all that are waiting.

The answer says which calls may be sent: those whose lease still stands and whose send_by has not passed. Part of
execute.
"""

import asyncio
import dataclasses
import enum
import uuid
from collections.abc import Mapping

from heddle.core.policy import budget
from heddle.engine import parts as parts_module
from heddle.engine import supervise
from heddle.ports import store
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics


class Permission(enum.Enum):
    """Say whether a call may be sent: yes, or not any more (lease or time lost)."""

    GRANTED = enum.auto()
    TOO_LATE = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OverCap:
    """Say that a call is not to be sent at all, and which cap it would pass."""

    cap: budget.Cap


Waiting = tuple[store.Claimed, str, asyncio.Future[Permission | OverCap]]


class Intents:
    """Gather intents and commit them together."""

    def __init__(self, parts: parts_module.Parts) -> None:
        self._parts = parts
        self._waiting: list[Waiting] = []
        self._filled = asyncio.Event()

    async def record(self, claimed: store.Claimed, digest: str) -> Permission | OverCap:
        """Make one intent durable and tell whether the call may be sent."""
        future: asyncio.Future[Permission | OverCap] = asyncio.get_running_loop().create_future()
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
        await self._commit(batch)

    async def _commit(self, batch: list[Waiting]) -> None:
        """Commit a batch and answer for all of it; one that the store refuses is committed one by one.

        A call that nobody answers would wait for ever, and its lease with it.
        """
        try:
            allowed = await self._parts.store.mark_sending(calls=[(claimed, digest) for claimed, digest, _ in batch])
        except store.StoreLost:
            # Whether it committed is not known and nothing was sent: not sending is right in both cases.
            allowed = {}
        except Exception as error:  # noqa: BLE001 - one call that the store refuses must not take its batch with it
            recorder.count(metrics.STAGE_ERRORS, stage="execute")
            recorder.event(events.STAGE_FAILED, stage="execute", error=error)
            if len(batch) > 1:
                for one in batch:
                    await self._commit([one])
            else:
                # The heartbeat finds the lease and gives it back, so that it is tried again later, and not in a loop.
                _, _, future = batch[0]
                if not future.done():
                    future.set_exception(store.StoreLost(f"the intent was not written: {error}"))
            return
        for claimed, _, future in batch:
            if not future.done():
                future.set_result(_answer(allowed, (claimed.run_id, claimed.ordinal)))


def _answer(
    allowed: Mapping[tuple[uuid.UUID, int], budget.Cap | None], call: tuple[uuid.UUID, int]
) -> Permission | OverCap:
    if call not in allowed:
        return Permission.TOO_LATE
    cap = allowed[call]
    return Permission.GRANTED if cap is None else OverCap(cap=cap)
