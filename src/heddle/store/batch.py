"""Send the statements of a transaction in one piece: nothing leaves before the sync that ends a round trip.

The driver flushes after each statement. The server wakes for each, and in a busy event loop each may cost a turn: a
transaction of five statements took a dozen turns where two will do. What is kept back is bounded by the statements of
one transaction. Neighbours: ``pool`` makes these connections, ``connections`` runs transactions on them.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from psycopg import abc, generators


class Batch(psycopg.AsyncPipeline):
    """Hand statements to libpq, which keeps them, and send them with the sync."""

    def _communicate_gen(self) -> abc.PQGen[None]:
        is_sync = bool(self.command_queue) and self.command_queue[-1] == self.pgconn.pipeline_sync
        while self.command_queue:
            self.command_queue.popleft()()
        if is_sync:
            yield from generators.send(self.pgconn)

    def _exit_gen(self) -> abc.PQGen[None]:
        """Sync and read what is left; the driver would ask for a flush after the sync, which wakes the server again."""
        return self._sync_gen()


class Connection(psycopg.AsyncConnection[Any]):
    """Be a connection whose pipelines are batches."""

    @contextlib.asynccontextmanager
    async def pipeline(self) -> AsyncIterator[psycopg.AsyncPipeline]:
        """Switch to pipeline mode for the block."""
        if self._pipeline is None:
            self._pipeline = Batch(self)
        async with super().pipeline() as pipeline:
            yield pipeline
