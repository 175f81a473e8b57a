"""Run one worker process: signals become a request to drain, the event loop is uvloop, the rest is wiring's.

SIGTERM or SIGINT asks the worker to finish what it holds; a second one ends it at once, and its leases run out. Before
it: the supervisor or a service manager. After it: `engine.worker`.
"""

import asyncio
import os
import signal
import socket
import sys

from heddle import wiring

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
HURRIED_STATUS = 130


def run(*, name: str | None) -> None:
    """Work until asked to stop, under a name for people. Django must be set up."""
    shown = name or f"{socket.gethostname()}-{os.getpid()}"
    if sys.platform == "win32":
        asyncio.run(_work(shown))
        return
    import uvloop

    uvloop.run(_work(shown))


async def _work(name: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, _on_signal, stop)
    await wiring.run_worker(stop, name=name)


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(HURRIED_STATUS)
    stop.set()
