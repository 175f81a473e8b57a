"""Stop a transaction where a test wants it, holding its locks, and see that others wait for it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg

from heddle.store import admitting, connections, postgres
from heddle.store import django as django_store
from tests import pg
from tests.races import scene

# Statements after which a held transaction stops: the last of their stage.
SETTLES = ("settle", "settle_call", "settle_results")
LAST = frozenset({"claim_local", "claim_model", *SETTLES, "plan", "unplan", "reclaim", "take_timers"})


class HeldConnections(connections.Connections):
    """Stop a transaction after a statement of ``LAST`` (or another that is named) until it is let go."""

    def arm(self, *names: str) -> None:
        """Hold the next transaction that sends one of these statements."""
        self.names = frozenset(names) or LAST
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def run(
        self, work: Callable[[connections.Transaction], Awaitable[connections.Result]], **more: Any
    ) -> connections.Result:
        """Run one transaction, and stop where armed."""

        async def held(transaction: connections.Transaction) -> connections.Result:
            sent: list[str] = []
            send = transaction.send

            async def noting(name: str, parameters: dict[str, Any]) -> Any:
                cursor = await send(name, parameters)
                sent.append(name)
                return cursor

            transaction.send = noting  # type: ignore[method-assign]
            result = await work(transaction)
            if getattr(self, "names", frozenset()) & set(sent) and not self.reached.is_set():
                await transaction._pipeline.sync()
                self.reached.set()
                await asyncio.wait_for(self.go.wait(), scene.PATIENCE_S)
            return result

        return await super().run(held, **more)


class HeldDoors(django_store.DjangoDoors):
    """Stop after a statement, in the transaction, until let go."""

    def __init__(
        self, after: str, reached: asyncio.Event, go: Callable[[], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(cleanup_s=scene.CLEANUP_S)
        self._after, self._reached, self._go, self._loop = after, reached, go, loop

    def _together(self, inside: Sequence[admitting.Statement], **more: Any) -> list[tuple[Any, ...]]:
        # Nothing can stop within one message: inside a transaction the statements are sent one by one.
        with self._atomic():
            return super()._together(inside, **more)

    def _rows(self, name: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        found = super()._rows(name, parameters)
        if name == self._after:
            self._loop.call_soon_threadsafe(self._reached.set)
            self._go()
        return found


def held_store(database: pg.Database) -> postgres.PostgresStore:
    """Make a store whose transactions can be held."""
    made = scene.engine_store(database)
    made._connections.__class__ = HeldConnections
    return made


async def waits_for_lock(connection: psycopg.Connection[Any], task: "asyncio.Task[Any]", *, count: int = 1) -> bool:
    """Tell whether a started task waits for a lock (True), with so many sessions waiting, or has ended without
    waiting (False)."""
    query = (
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = "
        "'Lock' and pid <> pg_backend_pid()"
    )
    for _ in range(int(scene.PATIENCE_S / 0.002)):
        if task.done():
            return False
        if connection.execute(query).fetchall()[0][0] >= count:
            return True
        await asyncio.sleep(0.002)
    raise AssertionError("the second neither waited nor ended")
