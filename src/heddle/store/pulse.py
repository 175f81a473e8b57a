"""Beat for a worker from its own thread and connection: never the loop, which user code can hold up.

Each beat carries the name of the session it came through. When the process dies the operating system closes the
connection, PostgreSQL ends the session, and whoever sweeps sees it gone long before the lease is over. Behind a pooler
the session is not ours and outlives us, so there it is not named: the server's own process number then differs from
the one that the connection was told at its start.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import psycopg

from heddle.ports import store
from heddle.store import cutting, pool, statements

# libpq takes no less. A black hole must not hold up the reconnect for longer than a gone session is watched.
_CONNECT_TIMEOUT_S = 2
# The server's own timeout speaks first, where it can.
_ANSWER_MARGIN_S = 0.5


class PostgresPulse:
    """Write a worker's liveness row. Used from one thread only; connects when first needed and again after a loss."""

    def __init__(self, *, dsn: str, timeout_s: float) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._connection: psycopg.Connection[Any] | None = None
        self._session: str | None = None

    def beat(self, *, worker: int, detail: dict[str, Any]) -> bool:
        """Beat once; False when this worker was declared dead."""
        try:
            if self._connection is None or self._connection.closed:
                self._connect()
            assert self._connection is not None, "connect sets it or raises"
            told = json.dumps({**detail, "session": self._session})
            with self._answered(self._connection):
                cursor = self._connection.execute(statements.load("beat"), {"worker": worker, "detail": told})
                return cursor.fetchone() is not None
        except (psycopg.Error, OSError) as error:
            self.close()
            raise store.StoreLost(str(error)) from error

    def is_lost(self) -> bool:
        """Tell whether the server has ended the session; what it said at the end is read and left to the next beat."""
        connection = self._connection
        if connection is None:
            return False
        if pool.is_whole(connection.pgconn):
            return False
        self.close()
        return True

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                self._connection.close()
        self._connection = None

    def _connect(self) -> None:
        self._connection = connection = psycopg.connect(
            self._dsn,
            autocommit=True,
            # A pooler may give every statement another session.
            prepare_threshold=None,
            **pool.parameters(self._dsn, timeout_s=_CONNECT_TIMEOUT_S, name="heddle-heartbeat"),
        )
        with self._answered(connection):
            found = connection.execute(statements.load("session_own")).fetchone()
            is_own = found is not None and found[0] == connection.info.backend_pid
            self._session = found[1] if found is not None and is_own else None
            if is_own:
                timeout = f"{int(self._timeout_s * 1000)}ms"
                bounds = {"statement_timeout": timeout, "transaction_timeout": timeout}
                connection.execute(statements.load("session"), bounds)

    @contextlib.contextmanager
    def _answered(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Cut the connection off when the server does not answer in time, though nothing says that it is away."""
        timer = threading.Timer(self._timeout_s + _ANSWER_MARGIN_S, cutting.cut, args=(connection.pgconn,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
