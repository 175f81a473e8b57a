"""Run one worker process: signals become a request to drain, the event loop is uvloop, the rest is wiring's.

SIGTERM or SIGINT asks the worker to finish what it holds; a second one ends it at once, and its leases are taken.
Before it: the supervisor or a service manager. After it: `engine.worker`.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading

from heddle import wiring
from heddle.service import leftovers, metrics_door, open_files
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
HURRIED_STATUS = 130
COLLECT_AFTER_OBJECTS = 50_000
"""New container objects, less those freed, after which the cyclic collector looks at them; CPython's default is 700.

A call in flight is some forty objects and leaves no cycle, so at the default the collector goes through the calls in
flight again and again and finds nothing: with 500 in flight it took 130 of 540 µs of CPU a call, here 9 of 340.
"""
# A loop that ends waits for the threads it was lent to, and nobody can stop a thread.
LEAVE_WITHIN_S = 2.0


def run(*, name: str | None) -> None:
    """Work until asked to stop, under a name for people. Django must be set up."""
    shown = name or f"{socket.gethostname()}-{os.getpid()}"
    leaving = threading.Timer(LEAVE_WITHIN_S, _leave)
    leaving.daemon = True
    try:
        if sys.platform == "win32":
            asyncio.run(_work(shown, leaving))
            return
        import uvloop

        uvloop.run(_work(shown, leaving))
    finally:
        leaving.cancel()


async def _work(name: str, leaving: threading.Timer) -> None:
    stop = asyncio.Event()
    prepare(stop, name=name)
    removing = asyncio.create_task(leftovers.keep_removing(wiring.blobs()))
    try:
        with metrics_door.opened(wiring.house_settings()):
            await wiring.run_worker(stop, name=name)
    finally:
        removing.cancel()
    leaving.start()


def prepare(stop: asyncio.Event, *, name: str) -> None:
    """Make this process ready to be a worker: collector, open files, signals that set ``stop``."""
    spare_collector()
    _make_room(name)
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, _on_signal, stop)


def _leave() -> None:
    """End the process though a thread that a step has started goes on: everything is written and given back."""
    logging.shutdown()
    os._exit(0)


def _make_room(name: str) -> None:
    count = open_files.needed(wiring.house_settings())
    allowed = open_files.allow(count)
    if allowed is not None and allowed < count:
        recorder.event(events.WORKER_SHORT_OF_FILES, worker=name, count=count, bound=allowed)


def spare_collector() -> None:
    """Let the collector leave alone what lives as long as the process, and look rarely at what comes and goes.

    Cycles are still freed, at most ``COLLECT_AFTER_OBJECTS`` objects late. A second call freezes what was made since.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, *gc.get_threshold()[1:])


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(HURRIED_STATUS)
    stop.set()
