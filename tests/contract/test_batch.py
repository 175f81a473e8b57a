"""A transaction's statements leave together with the sync that ends a round trip, whatever their size."""

import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest

from heddle.store import batch
from tests import pg

LARGE_CHARS = 24 * 1024**2
"""More than the buffers of both sockets hold, so that the server has to be read from while it is written to."""


@contextlib.asynccontextmanager
async def connected(database: pg.Database) -> AsyncIterator[batch.Connection]:
    connection = await batch.Connection.connect(database.dsn, autocommit=True)
    async with connection:
        yield connection


async def test_pipeline_when_statements_are_queued_then_the_server_hears_of_none_before_the_sync(
    database: pg.Database,
) -> None:
    def state_of(pid: int) -> str:
        with database.connect() as watcher:
            row = watcher.execute("select state from pg_stat_activity where pid = %s", (pid,)).fetchone()
        assert row is not None
        return str(row[0])

    async with connected(database) as connection, connection.pipeline() as pipeline:
        await connection.execute("begin")
        cursor = await connection.execute("select 7")
        queued = state_of(connection.info.backend_pid)
        await pipeline.sync()
        sent = state_of(connection.info.backend_pid)
        found = await cursor.fetchall()
        await connection.execute("commit")

    assert (queued, sent) == ("idle", "idle in transaction")
    assert found == [(7,)]


async def test_pipeline_when_more_is_sent_and_answered_than_sockets_hold_then_all_of_it_arrives(
    database: pg.Database,
) -> None:
    large = "x" * LARGE_CHARS

    async with connected(database) as connection, connection.pipeline():
        cursors = [await connection.execute("select %s::text", (large,)) for _ in range(3)]
        counted = await connection.execute("select length(%s::text)", (large,))

    assert [await cursor.fetchone() for cursor in cursors] == [(large,)] * 3
    assert await counted.fetchone() == (LARGE_CHARS,)


async def test_pipeline_when_a_statement_fails_then_its_error_is_told_and_the_connection_goes_on(
    database: pg.Database,
) -> None:
    async def divide(connection: batch.Connection) -> None:
        async with connection.pipeline():
            await connection.execute("begin")
            await connection.execute("select 1 / 0")
            await connection.execute("commit")

    async with connected(database) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await divide(connection)
        await connection.rollback()

        async with connection.pipeline():
            cursor = await connection.execute("select 1")

        assert await cursor.fetchone() == (1,)
