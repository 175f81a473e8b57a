"""Beat for a worker from its own thread and connection: never the loop, which user code can hold up."""

import contextlib
import json
from typing import Any

import psycopg

from heddle.ports import store
from heddle.store import statements


class PostgresPulse:
    """Write a worker's liveness row. Used from one thread only; connects when first needed and again after a loss."""

    def __init__(self, *, dsn: str, timeout_s: float) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._connection: psycopg.Connection[Any] | None = None

    def beat(self, *, worker: int, detail: dict[str, Any]) -> bool:
        """Beat once; False when this worker was declared dead."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(
                    self._dsn,
                    autocommit=True,
                    connect_timeout=max(1, int(self._timeout_s)),
                    application_name="heddle-heartbeat",
                    prepare_threshold=None,
                )
            # Set for the transaction only: the connection may go through a pooler, which shares sessions.
            with self._connection.transaction():
                bound = {"statement_timeout": f"{int(self._timeout_s * 1000)}ms"}
                self._connection.execute(statements.load("bounds"), bound)
                cursor = self._connection.execute(
                    statements.load("beat"), {"worker": worker, "detail": json.dumps(detail)}
                )
                return cursor.fetchone() is not None
        except (psycopg.Error, OSError) as error:
            self.close()
            raise store.StoreLost(str(error)) from error

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                self._connection.close()
        self._connection = None
