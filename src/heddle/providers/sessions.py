"""Make the client sessions that calls are sent with: kept, for one call, or to the public internet only.

Decides where a socket may lead and how long it is kept; sends nothing. Before it: ``transport``. After it: aiohttp.
"""

import enum
import errno
import socket
from typing import Any, Final
from urllib import parse

import aiohttp

from heddle.core import addresses
from heddle.providers import lookups

KEEPALIVE_S: Final = 4.0  # below the 5 s after which uvicorn and Node close idle connections, so that we close first


class Kind(enum.Enum):
    """Name the kinds of connections: for calls that may be repeated, for those that may not, and for one call to the
    public internet.
    """

    REPEATABLE = enum.auto()
    UNREPEATABLE = enum.auto()
    PUBLIC = enum.auto()


def make(
    kind: Kind, *, connections_max: int, unrepeatable_idle_s: float, request_class: type[aiohttp.ClientRequest]
) -> aiohttp.ClientSession:
    """Make a session inside the running loop. It follows nothing from the environment and keeps no cookies.

    ``unrepeatable_idle_s``: how long a connection may have been idle to carry a call that may not be repeated; with 0
    it carries one.
    """
    given: dict[str, Any] = {"force_close": True}
    match kind:
        case Kind.REPEATABLE:
            given = {"keepalive_timeout": KEEPALIVE_S}
        case Kind.UNREPEATABLE if unrepeatable_idle_s > 0:
            given = {"keepalive_timeout": min(KEEPALIVE_S, unrepeatable_idle_s)}
        case Kind.PUBLIC:
            given |= {"socket_factory": _public_socket, "resolver": lookups.Lookups()}
        case Kind.UNREPEATABLE:
            pass
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections_max, **given),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity", "User-Agent": "heddle"},
        trust_env=False,
        request_class=request_class,
    )


def is_web(url: str) -> bool:
    """Tell whether a stranger's URL is http or https with a host and a port; the client trips over others."""
    try:
        parts = parse.urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _public_socket(info: tuple[Any, ...]) -> socket.socket:
    """Make the socket for one resolved address, unless it is inside: asked at the last moment, also of addresses
    written as numbers, which no resolver sees.
    """
    family, kind, protocol, _, place = info
    if not addresses.is_public(str(place[0])):
        raise PermissionError(errno.EACCES, "the address is not one of the public internet")
    return socket.socket(family=family, type=kind, proto=protocol)
