"""Run one gateway: its worker, what carries calls between the two, and the HTTP server; and an orderly end of all.

Leaving, it first takes no new connection, then gives open requests their time, then drains the worker: an answer that
was paid for reaches the one who waits for it. Before it: ``service.gateway``. After it: ``application``.
"""

import asyncio
import contextlib

from aiohttp import web

from heddle import wiring
from heddle.engine import calls, worker
from heddle.engine import parts as parts_module
from heddle.gateway import application
from heddle.gateway import house as house_module
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events

BACKLOG = 1_024
KEEPALIVE_S = 75.0
START_S = 60.0


async def run(stop: asyncio.Event, *, name: str) -> None:
    """Serve until ``stop``. Raises what makes serving impossible at the start."""
    parts = wiring.gateway_parts(name=name)
    limits = parts.settings
    await serve(stop, parts, host=limits.gateway_host, port=limits.gateway_port)


async def serve(
    stop: asyncio.Event,
    parts: parts_module.Parts,
    *,
    host: str,
    port: int,
    listening: "asyncio.Future[int] | None" = None,
) -> None:
    """Serve from the parts of a worker. ``listening``: told the port when requests are taken."""
    carried = parts.listening = calls.Calls(parts)
    parts.doorbell.watch_ends(carried.heard_end)
    threads = wiring.door_threads()
    made = house_module.House(
        heddle=wiring.gateway_client(parts.settings, is_routed=lambda name: is_routed(parts, name)),
        parts=parts,
        calls=carried,
        threads=threads,
        limits=parts.settings,
        port=port,
    )
    made.is_empty.set()
    leave = asyncio.Event()
    working = asyncio.create_task(worker.Worker(parts).run(leave))
    carrying = asyncio.create_task(carried.run())
    try:
        await _until_alive(parts, working, stop)
        if not stop.is_set():
            await _serve_http(stop, made, working, host=host, port=port, listening=listening)
    finally:
        leave.set()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)
        await asyncio.to_thread(threads.close)


def is_routed(parts: parts_module.Parts, model: str) -> bool:
    """Tell whether a model has an endpoint, as this worker knows them."""
    return any(model in endpoint.row.models for endpoint in parts.endpoints.values())


async def _until_alive(parts: parts_module.Parts, working: "asyncio.Task[None]", stop: asyncio.Event) -> None:
    """Wait until the worker has its place; it says itself what keeps it from one."""
    waits = [asyncio.create_task(parts.is_alive.wait()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait({*waits, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for each in waits:
            each.cancel()


async def _serve_http(
    stop: asyncio.Event,
    made: house_module.House,
    working: "asyncio.Task[None]",
    *,
    host: str,
    port: int,
    listening: "asyncio.Future[int] | None",
) -> None:
    runner = web.AppRunner(
        application.make(made),
        # A caller who goes away is noticed at once: their run is then left to itself, or cancelled.
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    try:
        # The port is kept from a second gateway by whoever has taken it for this one (``service.ports``).
        site = web.TCPSite(runner, host, port, backlog=BACKLOG, reuse_port=True)
        await site.start()
        bound = made.port = runner.addresses[0][1]
        recorder.event(events.GATEWAY_LISTENING, address=f"{host}:{bound}", worker=made.parts.name)
        if listening is not None:
            listening.set_result(bound)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await site.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(made.limits.drain_s):
                await made.is_empty.wait()
    finally:
        await runner.cleanup()
