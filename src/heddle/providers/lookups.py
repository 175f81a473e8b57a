"""Look up names that strangers chose, in threads of their own.

The system's resolver blocks a thread until it has an answer, and a name server that never answers holds it for half a
minute. The threads of the loop, a few, also write artifacts and look up the providers' names: whoever owns a silent
name server would stop those. So strangers' names get threads that nothing else waits for, and as many as there are
places. Decides nothing about an address: that is ``sessions``. Before it: a session to the public internet.
"""

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import abc

PLACES_MAX: Final = 64
"""Names that are looked up at a time; a thread that waits costs some 100 kB."""
PLACE_WAIT_S: Final = 10.0

_Info = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]
_Infos = Sequence[_Info]


class Lookups(abc.AbstractResolver):
    """Resolve names for the sessions of one loop."""

    def __init__(self, *, places: int = PLACES_MAX) -> None:
        self._places = asyncio.Semaphore(places)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[abc.ResolveResult]:
        """Give the addresses of a name. Raises OSError when it has none, or when no place came free in time."""
        try:
            async with asyncio.timeout(PLACE_WAIT_S):
                await self._places.acquire()
        except TimeoutError as error:
            raise OSError(errno.EAGAIN, "too many names are being looked up") from error
        loop = asyncio.get_running_loop()
        found: asyncio.Future[_Infos] = loop.create_future()

        def end(outcome: _Infos | Exception) -> None:
            # The place is free when the thread is over, and not when nobody waits for it any more.
            self._places.release()
            if found.done():
                return
            if isinstance(outcome, Exception):
                found.set_exception(outcome)
            else:
                found.set_result(outcome)

        def look() -> None:
            outcome = _looked_up(host, port, family)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(end, outcome)

        # A daemon: the end of the process does not wait for a name server.
        threading.Thread(target=look, name="heddle-lookup", daemon=True).start()
        return [_result(host, info) for info in await found]

    async def close(self) -> None:
        """Let go of nothing: the threads end by themselves."""


def _looked_up(host: str, port: int, family: socket.AddressFamily) -> _Infos | Exception:
    try:
        return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except Exception as error:  # noqa: BLE001 - handed to whoever waits: a name that has no address or is none
        return error


def _result(host: str, info: _Info) -> abc.ResolveResult:
    family, _, protocol, _, place = info
    return abc.ResolveResult(
        hostname=host,
        host=str(place[0]),
        port=int(place[1]),
        family=family,
        proto=protocol,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
