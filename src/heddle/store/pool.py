"""Keep the few connections of one worker: opened when needed, looked at before use, thrown away when broken, never more
than the size, and none that waits for an answer for ever.

There is no second layer of retry in here: a connection that cannot be made is an error at once, and the stage that
wanted it comes back with the engine's backoff. (psycopg's own pool doubles its wait up to minutes during an outage and
keeps to it afterwards: 32 s after an outage of a minute, where the bar is 2 s.) Both sides watch over the connection
with TCP keepalive, so that a partition is noticed by the worker and leaves no session behind at the server.
"""

import asyncio
import contextlib
import select
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
from psycopg import conninfo

from heddle.store import batch, cutting

Connection = batch.Connection
# libpq takes no connect timeout below this.
_CONNECT_LEAST_S = 2
_LOOKS_MAX = 8


class PoolExhausted(Exception):
    """Say that no connection became free in time."""


def parameters(dsn: str, *, timeout_s: float, name: str) -> dict[str, Any]:
    """Give what every connection of ours is opened with, except what the address itself says.

    A peer that does not acknowledge for ``timeout_s`` is away; a silent line is asked after 5 s.
    """
    ours = {
        "connect_timeout": max(_CONNECT_LEAST_S, int(timeout_s)),
        "application_name": name,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": int(timeout_s * 1000),
    }
    named = conninfo.conninfo_to_dict(dsn)
    return {key: value for key, value in ours.items() if key not in named}


class Pool:
    """Lend connections. Used from one loop."""

    def __init__(
        self,
        *,
        dsn: str,
        size: int,
        timeout_s: float,
        answer_timeout_s: float,
        configure: Callable[[Connection], Awaitable[None]],
    ) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._configure = configure
        self._places = asyncio.Semaphore(size)
        self._places_behind = asyncio.Semaphore(max(1, size // 2))
        self._idle: list[Connection] = []
        self._is_closed = False

    @contextlib.asynccontextmanager
    async def connection(self, *, is_urgent: bool = True) -> AsyncIterator[Connection]:
        """Lend one connection, made when none is idle.

        What is not urgent gets half of the connections at most, so that a call never waits until the house is kept.
        Whoever holds it for longer than ``answer_timeout_s`` is told that it is lost. Raises PoolExhausted after
        ``timeout_s``, and what the driver raises when the server cannot be reached.
        """
        if not is_urgent:
            async with self._place(self._places_behind), self.connection() as connection:
                yield connection
            return
        async with self._place(self._places):
            connection = self._whole() or await self._connect()
            handle = self._cut_after(connection, self._answer_timeout_s)
            try:
                yield connection
            finally:
                handle.cancel()
                await self._put_back(connection)

    async def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back. A second call changes nothing."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop().close()

    @contextlib.asynccontextmanager
    async def _place(self, places: asyncio.Semaphore) -> AsyncIterator[None]:
        if self._is_closed:
            raise PoolExhausted("the pool is closed")
        if not places.locked():
            await places.acquire()
        else:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await places.acquire()
            except TimeoutError as error:
                raise PoolExhausted(f"no connection became free within {self._timeout_s:g} s") from error
        try:
            yield
        finally:
            places.release()

    def _whole(self) -> Connection | None:
        """Give the connection used last that the server has not ended meanwhile."""
        while self._idle:
            connection = self._idle.pop()
            if is_whole(connection.pgconn):
                return connection
            connection.pgconn.finish()
        return None

    async def _connect(self) -> Connection:
        named = parameters(self._dsn, timeout_s=self._timeout_s, name="heddle-worker")
        connection = await Connection.connect(self._dsn, autocommit=True, **named)
        handle = self._cut_after(connection, self._timeout_s)
        try:
            await self._configure(connection)
        except BaseException:
            await connection.close()
            raise
        finally:
            handle.cancel()
        return connection

    def _cut_after(self, connection: Connection, timeout_s: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(timeout_s, cutting.cut, connection.pgconn)

    async def _put_back(self, connection: Connection) -> None:
        is_clean = connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if is_clean and not self._is_closed and not connection.closed:
            self._idle.append(connection)
        else:
            await connection.close()


def is_whole(connection: psycopg.pq.abc.PGconn) -> bool:
    """Tell whether the server has left an idle connection open; looks at the socket and sends nothing."""
    looker = select.poll()
    try:
        looker.register(connection.socket, select.POLLIN)
        for _ in range(_LOOKS_MAX):
            if not looker.poll(0):
                return True
            connection.consume_input()
    except (psycopg.Error, OSError):
        pass
    return False
