"""Choose loopback ports before the processes that listen on them start, since each must be told the others' addresses.

A port is drawn from below the range of clients' own ports, so that no outgoing connection takes it between the choice
and the server's start. Before it: `heddle up`. After it: the servers, which are started again on the same port.
"""

import contextlib
import errno
import secrets
import socket
from collections.abc import Iterator

LOWEST = 15_432
HIGHEST = 32_768
TRIES_MAX = 200


class NoFreePort(RuntimeError):
    """Say that no port could be had."""


class PortTaken(RuntimeError):
    """Say that something listens on a port already, or holds it, and what to do."""


def is_free(*, port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def held(*, port: int, host: str = "127.0.0.1") -> Iterator[None]:
    """Keep a port from others that look whether it is free, before our web server listens there and between its starts.

    The socket never listens, so it is given no connection. The web server shares ports on purpose (`SO_REUSEPORT`), and
    so would a second one that took this port for free while ours was starting: each would get half of the requests.
    A port with old connections of another program on it cannot be held (`SO_REUSEADDR` here would hold off nobody);
    then the look before must do.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with contextlib.suppress(OSError):
            holder.bind((host, port))
        yield


@contextlib.contextmanager
def taken(*, port: int, host: str, otherwise: str) -> Iterator[None]:
    """Take a port for a server that would share it, so that a second one is refused instead. ``otherwise``: what to do
    where it is taken. Raises PortTaken, one sentence with that.

    The socket is bound as one that shares with nobody, and only then lets our own server in beside it; it never
    listens. Of two that start at once the later one is refused.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as holder:
        # Connections of the server before, on their way out, are no reason to refuse.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(f"port {port} of {host} is taken: {otherwise}") from error
            raise
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield


def choose(*, host: str = "127.0.0.1") -> int:
    """Give a port that was free a moment ago. Raises NoFreePort."""
    for _ in range(TRIES_MAX):
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        with contextlib.suppress(OSError):
            if is_free(port=port, host=host):
                return port
    raise NoFreePort(
        f"No free port was found on {host} between {LOWEST} and {HIGHEST}: "
        "name one with HEDDLE_WEB_PORT or HEDDLE_GATEWAY_PORT."
    )
