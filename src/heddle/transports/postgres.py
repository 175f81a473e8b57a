"""Ring and hear through PostgreSQL: NOTIFY outside every transaction that makes work ready, debounced on the leading
edge; LISTEN on a connection of its own.

A notifying commit waits for every other notifying commit (RELIABILITY 8.3: 60 to 68 % fewer commits), so the ring
is a statement by itself. When the listening connection is lost, the engine goes on by polling and this module
connects again, with jitter.
"""

import asyncio
import collections
import contextlib
import logging
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from heddle.ports import clock as clock_port
from heddle.ports import transport
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

_LOG = logging.getLogger("heddle.transports")
_NOTIFY = "select pg_notify(%s, %s)"
_RECONNECT_MAX_S = 5.0
# Those told of and not yet sent; what falls out is found by the worker's comparison with the store, some seconds later.
_STOPPED_MAX = 10_000
# Of ends, what falls out is found by the watcher's own look.
_ENDED_MAX = 10_000
# PostgreSQL takes payloads of less than 8,000 bytes.
_ENDED_AT_ONCE = 200


class PostgresDoorbell:
    """Wake the workers of this process and of others."""

    def __init__(self, *, dsn: str, debounce_s: float, clock: clock_port.Clock) -> None:
        self._dsn = dsn
        self._debounce_s = debounce_s
        self._clock = clock
        self._rung = asyncio.Event()
        self._to_send = asyncio.Event()
        self._stopped: collections.deque[uuid.UUID] = collections.deque(maxlen=_STOPPED_MAX)
        self._ended: collections.deque[uuid.UUID] = collections.deque(maxlen=_ENDED_MAX)
        self._is_ringing = False
        self._told_end: Callable[[uuid.UUID], None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False
        self._told: Callable[[uuid.UUID], None] = lambda _: None

    async def start(self) -> None:
        """Begin to listen and to send, each on a connection of its own."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._send())]

    def watch_stops(self, told: Callable[[uuid.UUID], None]) -> None:
        """Say who is told of stopped runs."""
        self._told = told

    def watch_ends(self, told: Callable[[uuid.UUID], None]) -> None:
        """Say who is told of runs that ended elsewhere; without anybody this process does not listen for them."""
        self._told_end = told

    def ring(self) -> None:
        """Wake this process now and the others within the debounce interval."""
        self._rung.set()
        self._is_ringing = True
        self._to_send.set()

    def wake(self) -> None:
        """Wake this process alone."""
        self._rung.set()

    def tell_stopped(self, run_id: uuid.UUID) -> None:
        """Tell of a stopped run with the next ring."""
        self._stopped.append(run_id)
        self.ring()

    def tell_ended(self, run_ids: Sequence[uuid.UUID]) -> None:
        """Tell of ends within the debounce interval, and wake nobody."""
        self._ended.extend(run_ids)
        self._to_send.set()

    async def wait(self, *, timeout_s: float) -> bool:
        """Wait for a ring."""
        if not self._rung.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._rung.wait()
        was_rung = self._rung.is_set()
        self._rung.clear()
        return was_rung

    async def close(self) -> None:
        """Stop listening."""
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=5,
            application_name="heddle-doorbell",
            # A line that a partition has cut would be listened to for hours.
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=5_000,
            prepare_threshold=None,
        )

    async def _listen(self) -> None:
        failures = 0
        while not self._is_closing:  # the driver may answer a cancellation with an error of its own
            try:
                async with await self._connect() as connection:
                    if await _is_pooled(connection):
                        # LISTEN belongs to a session, which a pooler does not keep: this worker polls instead.
                        recorder.event(
                            events.DOORBELL_DEAF,
                            reason="the address goes through a pooler; set "
                            "HEDDLE_DATABASE_DIRECT_URL to be woken instead of polling",
                        )
                        return
                    await connection.execute(f"listen {transport.CHANNEL_READY}")
                    await connection.execute(f"listen {transport.CHANNEL_STOPPED}")
                    if self._told_end is not None:
                        await connection.execute(f"listen {transport.CHANNEL_ENDED}")
                    failures = 0
                    self._rung.set()
                    async for note in connection.notifies():
                        self._hear(note)
            except (psycopg.Error, OSError) as error:
                failures += 1
                _LOG.warning("doorbell.lost error=%s", error)
            await self._clock.sleep(self._clock.rng.random() * min(_RECONNECT_MAX_S, 0.1 * 2 ** min(failures, 6)))

    def _hear(self, note: psycopg.Notify) -> None:
        recorder.count(metrics.NOTIFICATIONS_RECEIVED)
        if note.channel == transport.CHANNEL_ENDED:
            for named in note.payload.split(","):
                with contextlib.suppress(ValueError):
                    self._hear_end(uuid.UUID(named))
            return
        if note.channel == transport.CHANNEL_STOPPED:
            with contextlib.suppress(ValueError):
                self._told(uuid.UUID(note.payload))
        self._rung.set()

    def _hear_end(self, run_id: uuid.UUID) -> None:
        if self._told_end is not None:
            self._told_end(run_id)

    async def _send(self) -> None:
        failures = 0
        while not self._is_closing:  # the driver may answer a cancellation with an error of its own
            try:
                async with await self._connect() as connection:
                    failures = 0
                    while True:
                        await self._to_send.wait()
                        self._to_send.clear()
                        while self._stopped:
                            await connection.execute(_NOTIFY, (transport.CHANNEL_STOPPED, str(self._stopped.popleft())))
                        while self._ended:
                            named = [self._ended.popleft().hex for _ in range(min(len(self._ended), _ENDED_AT_ONCE))]
                            await connection.execute(_NOTIFY, (transport.CHANNEL_ENDED, ",".join(named)))
                        if self._is_ringing:
                            self._is_ringing = False
                            await connection.execute(_NOTIFY, (transport.CHANNEL_READY, ""))
                        recorder.count(metrics.NOTIFICATIONS_SENT)
                        await self._clock.sleep(self._debounce_s)
            except (psycopg.Error, OSError) as error:
                failures += 1
                _LOG.warning("doorbell.lost error=%s", error)
            await self._clock.sleep(self._clock.rng.random() * min(_RECONNECT_MAX_S, 0.1 * 2 ** min(failures, 6)))


async def _is_pooled(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Tell whether a pooler stands between: the backend that answers is not the one that the client was told of."""
    row = await (await connection.execute("select pg_backend_pid()")).fetchone()
    return row is None or row[0] != connection.info.backend_pid
