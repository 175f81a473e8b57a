"""Run one gateway process: signals become a request to leave, the event loop is uvloop, the rest is the gateway's.

SIGTERM or SIGINT lets open requests end and then drains the worker; a second one ends the process at once. Before it:
the supervisor or a service manager. After it: ``heddle.gateway``.
"""

import asyncio
import os
import socket
import sys

from heddle import wiring
from heddle.gateway import serve
from heddle.service import metrics_door, worker


def run(*, name: str | None) -> None:
    """Serve until asked to stop, under a name for people. Django must be set up."""
    shown = name or f"gateway-{socket.gethostname()}-{os.getpid()}"
    if sys.platform == "win32":
        asyncio.run(_serve(shown))
        return
    import uvloop

    uvloop.run(_serve(shown))


async def _serve(name: str) -> None:
    stop = asyncio.Event()
    worker.prepare(stop, name=name)
    with metrics_door.opened(wiring.house_settings()):
        await serve.run(stop, name=name)
