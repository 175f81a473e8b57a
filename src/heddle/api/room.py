"""Give the views what they work with: the client that the wiring made, and the places for requests that hold a thread.

Nothing here is configured; it is looked up when the first request comes, so importing the HTTP room touches nothing.
"""

import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import Iterator

import django.db

from heddle import client, wiring


class Places:
    """Bound how many requests may hold a web thread while they wait, so that waiting ones never take all threads."""

    def __init__(self, *, places_max: int) -> None:
        self.places_max = places_max
        self._free = threading.BoundedSemaphore(places_max)

    def take(self) -> bool:
        """Take a place if one is free; never waits."""
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        """Free a place that was taken."""
        self._free.release()

    @contextlib.contextmanager
    def taken(self) -> Iterator[bool]:
        """Hold a place if one is free, and tell whether it is held."""
        is_held = self.take()
        try:
            yield is_held
        finally:
            if is_held:
                self.give_back()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Hold what every view needs."""

    heddle: client.Heddle
    places: Places

    @property
    def operating(self) -> client.Operating:
        """Give what operators change the installation through."""
        return wiring.operating()

    @property
    def spending(self) -> client.Spending:
        """Give what tells where money went and what it will cost."""
        return wiring.spending()

    @property
    def webhooks(self) -> client.Webhooks:
        """Give what webhooks are looked after through."""
        return wiring.webhooks()


def room() -> Room:
    """Give this process's room; a new client (tests) gets a new one."""
    return _room_of(wiring.client())


def pause(delay_s: float) -> None:
    """Wait between two looks without holding a database connection: a waiting request must not keep one from others."""
    django.db.close_old_connections()
    time.sleep(delay_s)


@functools.lru_cache(maxsize=1)
def _room_of(heddle: client.Heddle) -> Room:
    return Room(heddle=heddle, places=Places(places_max=max(1, heddle.limits.web_threads // 2)))
