"""Give the views what they work with: the client that the wiring made, and the places for requests that hold a thread.

Nothing here is configured; it is looked up when the first request comes, so importing the HTTP room touches nothing.
"""

import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Iterator

import django.db

from heddle import client, wiring

NAMES_KEPT_S = 5.0


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


class EndpointNames:
    """Know the names of endpoints; what was read is kept ``NAMES_KEPT_S``. Safe from any thread."""

    def __init__(self, heddle: client.Heddle, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._heddle = heddle
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._names: frozenset[str] = frozenset()
        self._read_at_s = float("-inf")

    def __contains__(self, name: str) -> bool:
        """Tell whether there is an endpoint of this name; none is while the database cannot be asked."""
        with self._lock:
            is_old = self._monotonic_s() - self._read_at_s > NAMES_KEPT_S
            if is_old:
                self._read_at_s = self._monotonic_s()
        if is_old:
            with contextlib.suppress(django.db.Error):
                self._names = frozenset(each.name for each in self._heddle.endpoints())
        return name in self._names


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Hold what every view needs."""

    heddle: client.Heddle
    places: Places
    endpoint_names: EndpointNames

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
    places = Places(places_max=max(1, heddle.limits.web_threads // 2))
    return Room(heddle=heddle, places=places, endpoint_names=EndpointNames(heddle))
