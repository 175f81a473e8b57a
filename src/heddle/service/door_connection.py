"""Bound the connections of doors and commands: what waits too long is given up, and a frozen process holds no locks.

A door never waits for ever: a database that takes a statement and does not answer is away.

The server's own statement_timeout cannot help where the server has stopped or a partition swallows its answer; TCP
notices neither behind a proxy. What was sent may still take effect: the caller is told 503, not that nothing was kept.
The other way round, a door or a command that is frozen in the middle of a transaction holds its locks only until the
server ends it.
"""

import time
from typing import TYPE_CHECKING, Any

import psycopg
from django.db.backends import signals

if TYPE_CHECKING:
    from django.db.backends.base import base

_LOOK_EVERY_S = 0.1
# Neither doors nor commands wait for anybody in the middle of a transaction. Through a pooler the session is not ours
# to set (docs/operations.md says what to set there): it has another process number than the one we were told.
_BOUND = "select set_config('idle_in_transaction_session_timeout', '10s', false) where pg_backend_pid() = %s"


def bounded(answer_timeout_s: float) -> type[psycopg.Connection[Any]]:
    """Make the class of connections that give up a statement after so many seconds.

    Raises psycopg.OperationalError from whatever waits, and closes the connection, whose state is not known any more.
    """

    class DoorConnection(psycopg.Connection[Any]):
        @classmethod
        def connect(cls, conninfo: str = "", **given: Any) -> "DoorConnection":
            made = super().connect(conninfo, **given)
            try:
                with made.transaction():
                    made.execute(_BOUND, (made.info.backend_pid,))
            except BaseException:
                made.close()
                raise
            return made

        def wait(self, gen: Any, interval: float = _LOOK_EVERY_S, timeout: float | None = None) -> Any:
            started_s = time.monotonic()
            limit_s = answer_timeout_s if timeout is None else timeout
            try:
                return super().wait(gen, interval=interval, timeout=limit_s)
            except psycopg.errors.IdleInTransactionSessionTimeout as error:
                # We were frozen, and are without a connection now: to the doors that is a database that went away.
                raise psycopg.OperationalError(str(error)) from error
            except psycopg.OperationalError:
                if time.monotonic() - started_s >= limit_s:
                    self.pgconn.finish()
                raise

    return DoorConnection


def bound_all() -> None:
    """Bound each connection that Django opens in this process from now on; a second call changes nothing."""
    signals.connection_created.connect(_bind, dispatch_uid="heddle.bound")


def _bind(connection: "base.BaseDatabaseWrapper", **_: Any) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_BOUND, (connection.connection.info.backend_pid,))
