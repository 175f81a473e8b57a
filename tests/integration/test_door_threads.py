"""Threads that ask the synchronous doors for a loop leave no connection behind."""

import asyncio
import threading

import pytest
from django.db import connection

from heddle.store import threads
from tests import pg
from tests.integration import working


@pytest.mark.asyncio
async def test_close_when_every_thread_was_asked_then_no_connection_is_left(database: pg.Database) -> None:
    made, together = threads.DoorThreads(), threading.Barrier(threads.THREADS)

    def work() -> int:
        together.wait(timeout=working.PATIENCE_S)
        with connection.cursor() as cursor:
            cursor.execute("select pg_backend_pid()")
            return int(cursor.fetchone()[0])

    backends = await asyncio.gather(*(made.ask(work) for _ in range(threads.THREADS)))
    await asyncio.to_thread(made.close)

    assert len(set(backends)) == threads.THREADS
    with database.connect() as looking:
        query = "select count(*) from pg_stat_activity where pid = any(%s)"
        await working.until(lambda: looking.execute(query, (backends,)).fetchone() == (0,))
