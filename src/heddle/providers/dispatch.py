"""Write a request once, over a connection that is open, and note the moment before its first byte may leave.

The client that does the writing repeats requests by itself, writes to kept connections that the other side has closed,
and does not tell how far it came. This module keeps it from the first two and asks it the third; ``transport`` draws
the conclusions.
"""

import asyncio
import contextvars
import dataclasses
import select
import weakref
from typing import Final

import aiohttp

_REPEATED_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # aiohttp/client.py
_used: Final[weakref.WeakSet[asyncio.BaseProtocol]] = weakref.WeakSet()
"""Connections that a request was written to before. A new one is not looked at: TLS tickets may be waiting there."""


@dataclasses.dataclass(slots=True)
class Progress:
    """Note how far one request got; written by ``Request``."""

    is_dispatched: bool = False


progress: Final[contextvars.ContextVar[Progress]] = contextvars.ContextVar("heddle_request_progress")


class Stale(aiohttp.ClientConnectionError):
    """Say that a kept connection was found closed before anything was written to it."""


class Request(aiohttp.ClientRequest):
    """Note the moment before the first byte of a request may be written.

    A trace hook tells the same for 25 µs a call more (bench/README.md), since the client then makes every signal of
    every request.
    """

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Write the request to a connection that is there.

        Raises Stale for a kept one that the other side has closed, which the loop may not have come to notice yet.
        """
        protocol = conn.protocol
        assert protocol is not None, "a connection is lent with its protocol"
        if protocol not in _used:
            _used.add(protocol)
        elif _is_readable(conn):
            raise Stale("the kept connection was closed by the other side")
        progress.get().is_dispatched = True
        return await super().send(conn)


def _is_readable(connection: aiohttp.connector.Connection) -> bool:
    """Tell whether something waits to be read though nothing was asked: the end of a connection, or an error."""
    place = None if connection.transport is None else connection.transport.get_extra_info("socket")
    if place is None:
        return True
    looker = select.poll()
    looker.register(place.fileno(), select.POLLIN)
    return bool(looker.poll(0))


def middlewares(method: str) -> tuple[aiohttp.ClientMiddlewareType, ...]:
    """Give what keeps the client from repeating a request of a method.

    aiohttp sends some a second time when a kept connection breaks, without an option against it (client.py,
    ``retry_persistent_connection``). The engine is the one layer that repeats, so the second try gets the first one's
    error.
    """
    return (_once(),) if method in _REPEATED_METHODS else ()


def _once() -> aiohttp.ClientMiddlewareType:
    first_error: BaseException | None = None

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        nonlocal first_error
        if first_error is not None:
            raise first_error
        try:
            return await handler(request)
        except BaseException as error:
            first_error = error
            raise

    return middleware
