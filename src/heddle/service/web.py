"""Serve HTTP: granian with threads, one process, on the address of the settings.

WSGI and not ASGI, since each request is a few database calls, and hopping between threads for each cost a factor of
three at the door (2,140 requests/s against 550 to 760 on 2 cores). Waits and streams hold a thread, at most half of
them; the rest keep answering. Before it: the supervisor or a service manager. After it: `heddle.service.wsgi`.
"""

import granian
from granian import constants
from granian.log import LogLevels

from heddle.config import settings

TARGET = "heddle.service.wsgi:application"
BACKLOG = 1_024
DRAIN_S = 10


def serve(limits: settings.Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was begun, for at most 10 s."""
    server = granian.Granian(
        TARGET,
        address=limits.web_host,
        port=limits.web_port,
        interface=constants.Interfaces.WSGI,
        workers=1,
        blocking_threads=limits.web_threads,
        backlog=BACKLOG,
        # More than can be answered at once waits in the socket, not in the interpreter.
        backpressure=limits.web_threads * 4,
        websockets=False,
        workers_kill_timeout=DRAIN_S,
        log_enabled=True,
        # Its warnings are advice about thread counts; a worker that died is an error.
        log_level=LogLevels.error,
        process_name=None,
    )
    server.serve()
