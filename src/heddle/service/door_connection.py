"""Give the doors connections that never wait for ever: a database that takes a statement and does not answer is away.

The server's own statement_timeout cannot help where the server has stopped or a partition swallows its answer; TCP
notices neither behind a proxy. What was sent may still take effect: the caller is told 503, not that nothing was kept.
"""

import time
from typing import Any

import psycopg

_LOOK_EVERY_S = 0.1


def bounded(answer_timeout_s: float) -> type[psycopg.Connection[Any]]:
    """Make the class of connections that give up a statement after so many seconds.

    Raises psycopg.OperationalError from whatever waits, and closes the connection, whose state is not known any more.
    """

    class DoorConnection(psycopg.Connection[Any]):
        def wait(self, gen: Any, interval: float = _LOOK_EVERY_S, timeout: float | None = None) -> Any:
            started_s = time.monotonic()
            limit_s = answer_timeout_s if timeout is None else timeout
            try:
                return super().wait(gen, interval=interval, timeout=limit_s)
            except psycopg.OperationalError:
                if time.monotonic() - started_s >= limit_s:
                    self.pgconn.finish()
                raise

    return DoorConnection
