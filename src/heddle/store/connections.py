"""Run the worker's transactions on the few connections of its pool.

One connection runs one transaction at a time, in pipeline mode, so that a stage costs one or two round trips. Any
failure to reach the database becomes ``StoreLost``; deadlocks and serialization failures are retried here, counted,
and bounded.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import psycopg

from heddle.ports import store
from heddle.store import pool, pooler, rows, statements

_LOG = logging.getLogger("heddle.store")
_RETRIES_MAX = 5
Result = TypeVar("Result")
Connection = pool.Connection
# A whole transaction may take this much longer than its longest statement; then the connection is cut off.
_ANSWER_MARGIN_S = 5.0
# What psycopg raises when the server is away, going away or has dropped us (SQLSTATE classes 08, 57P and the client's
# own errors).
_LOST = (psycopg.OperationalError, psycopg.InterfaceError, pool.PoolExhausted, OSError)
_TIMED_OUT = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
)
# The stages that a step walks through; the others keep the house.
_URGENT = frozenset({"admit", "claim", "activate", "execute", "settle"})
_OPEN = (psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR)
_AGAIN = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


class Connections:
    """Serve transactions from a bounded pool."""

    def __init__(
        self,
        *,
        dsn: str,
        size: int,
        timeout_s: float,
        statement_timeout_s: float,
        is_prepared: bool,
        is_prepared_pooled: bool = False,
        on_retry: Callable[[str, Exception], None] = lambda _stage, _error: None,
    ) -> None:
        self._is_pooled = False
        self._is_prepared_pooled = is_prepared_pooled
        self._statement_timeout_s = statement_timeout_s
        self._is_prepared = is_prepared
        self._on_retry = on_retry
        self._pool = pool.Pool(
            dsn=dsn,
            size=size,
            timeout_s=timeout_s,
            answer_timeout_s=statement_timeout_s + _ANSWER_MARGIN_S,
            configure=self._configure,
        )

    async def open(self) -> None:
        """Connect, and fail when the database does not answer in time."""
        try:
            async with self._pool.connection():
                pass
        except _LOST as error:
            raise store.StoreLost(str(error)) from error

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.close()

    async def _configure(self, connection: Connection) -> None:
        if not self._is_prepared:
            connection.prepare_threshold = None
        self._is_pooled = await pooler.is_pooled_async(connection)
        if self._is_pooled:
            # What is set for a session would stay with a server connection that others use; see bounds.sql.
            if not self._is_prepared_pooled:
                connection.prepare_threshold = None
            return
        await connection.execute(statements.load("session"), self._bounds())
        await connection.execute(statements.load("planner"), {"is_local": False})

    def _bounds(self) -> dict[str, str]:
        return {
            "statement_timeout": f"{int(self._statement_timeout_s * 1000)}ms",
            "transaction_timeout": f"{int((self._statement_timeout_s + _ANSWER_MARGIN_S) * 1000)}ms",
        }

    async def run(self, work: Callable[["Transaction"], Awaitable[Result]], *, stage: str, suffix: str = "") -> Result:
        """Run one transaction; again when PostgreSQL asks for it. Raises StoreLost when the database is away,
        psycopg.errors.LockNotAvailable where a statement bounds its wait for a lock.

        ``stage``: whose transaction it is, which tells whether it may wait for others, and who is counted for a
        deadlock. ``suffix``: that of the partitions it keeps to (``partitions.suffix_of``), empty for all.
        """
        for attempt in range(1, _RETRIES_MAX + 1):
            try:
                async with (
                    self._pool.connection(is_urgent=stage in _URGENT) as connection,
                    self._transaction(connection, suffix) as transaction,
                ):
                    return await work(transaction)
            except _AGAIN as error:
                self._on_retry(stage, error)
                _LOG.warning("transaction.retried attempt=%d error=%s", attempt, type(error).__name__)
                if attempt == _RETRIES_MAX:
                    raise
            except psycopg.errors.LockNotAvailable:
                raise
            except _TIMED_OUT as error:
                raise store.StoreLost(str(error)) from error
            except _LOST as error:
                raise store.StoreLost(str(error)) from error
        raise AssertionError("the loop returns or raises")

    @contextlib.asynccontextmanager
    async def _transaction(self, connection: Connection, suffix: str) -> AsyncIterator["Transaction"]:
        """Open a transaction for the block. Its commit goes with the sync that leaves the pipeline."""
        is_prepared = self._is_prepared and (self._is_prepared_pooled or not self._is_pooled)
        bounds = self._bounds() if self._is_pooled else None
        try:
            async with connection.pipeline() as pipeline:
                transaction = Transaction(connection, pipeline, is_prepared=is_prepared, suffix=suffix, bounds=bounds)
                yield transaction
                await transaction.commit()
        except BaseException:
            with contextlib.suppress(psycopg.Error, OSError):
                await _undo(connection)
            raise


async def _undo(connection: Connection) -> None:
    """Roll back what an error left open, and see it done: the connection is used again."""
    if not connection.closed and connection.pgconn.transaction_status in _OPEN:
        await connection.rollback()


class Transaction:
    """Send named statements down one pipelined transaction."""

    def __init__(
        self,
        connection: Connection,
        pipeline: Any,
        *,
        is_prepared: bool,
        suffix: str,
        bounds: dict[str, str] | None = None,
    ) -> None:
        self._bounds = bounds
        self._connection = connection
        self._pipeline = pipeline
        self._prepare = True if is_prepared else None
        self._suffix = suffix
        self._is_begun = False

    async def _start(self) -> None:
        if not self._is_begun:
            self._is_begun = True
            await self._connection.execute("begin")
            if self._bounds is not None:
                await self._execute("planner", {"is_local": True})
                await self._execute("bounds", self._bounds)

    async def send(self, name: str, parameters: dict[str, Any]) -> psycopg.AsyncCursor[Any]:
        """Queue a named statement; its rows are there after the next ``rows`` or the commit."""
        await self._start()
        return await self._execute(name, parameters)

    async def _execute(self, name: str, parameters: Mapping[str, Any]) -> psycopg.AsyncCursor[Any]:
        statement = statements.numbered(name, self._suffix)
        values = [parameters[each] for each in statement.names]
        sent = [rows.array(value) if type(value) is list else value for value in values]
        cursor: psycopg.AsyncCursor[Any] = psycopg.AsyncRawCursor(self._connection)
        return await cursor.execute(statement.text, sent, prepare=self._prepare)

    async def rows(self, name: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run a named statement and fetch its rows: one round trip together with all that was queued.

        It ends with a sync and not with a flush: only then does the server know that it waits for this client, and
        ends the transaction of a process that is frozen here, with its locks (idle_in_transaction_session_timeout).
        """
        cursor = await self.send(name, parameters)
        await self._pipeline.sync()
        return await cursor.fetchall()

    async def commit(self) -> None:
        """Queue the commit of what was sent."""
        if self._is_begun:
            await self._connection.execute("commit")
