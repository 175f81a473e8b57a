"""Let a loop ask the synchronous doors: a few threads, each with a Django connection that it keeps.

Used by the gateway for what is not worth a second implementation: keys, quotas, lists, cancels. It decides nothing.
"""

import asyncio
from collections.abc import Callable
from concurrent import futures
from typing import Any, TypeVar

import django.db

Answer = TypeVar("Answer")
THREADS = 4


class DoorThreads:
    """Ask the synchronous doors from a loop: a few threads, each with a connection of Django's that it keeps.

    What is asked must be safe to ask twice: it is, once more, when the connection turns out to be gone.
    """

    def __init__(self) -> None:
        self._pool = futures.ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="heddle-door")
        self._opened: set[Any] = set()

    async def ask(self, work: Callable[[], Answer]) -> Answer:
        """Ask, and wait for the answer without holding the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._asked, work)

    def close(self) -> None:
        """Let the threads go, then close every connection that one of them opened."""
        self._pool.shutdown(wait=True)
        for connection in self._opened:
            connection.inc_thread_sharing()  # its thread is gone
            connection.close()

    def _asked(self, work: Callable[[], Answer]) -> Answer:
        try:
            return work()
        except (django.db.OperationalError, django.db.InterfaceError):
            django.db.connections.close_all()
            return work()
        finally:
            self._opened.update(django.db.connections.all(initialized_only=True))
