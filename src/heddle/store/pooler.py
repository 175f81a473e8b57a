"""Tell whether a connection goes to the server itself or through a pooler such as pgbouncer.

A pooler in transaction mode hands every transaction to whichever server connection is free: what belongs to a session
(LISTEN, SET, advisory locks, statements prepared by hand) must not be used through it. It gives itself away, because
the process id that it told the client at the start is not that of the backend that answers.
"""

from typing import Any

import psycopg

ASK = "select pg_backend_pid()"


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether a pooler stands between; one round trip. Raises psycopg.Error."""
    row = connection.execute(ASK).fetchone()
    return row is None or row[0] != connection.info.backend_pid


async def is_pooled_async(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Tell the same of an asynchronous connection."""
    row = await (await connection.execute(ASK)).fetchone()
    return row is None or row[0] != connection.info.backend_pid
