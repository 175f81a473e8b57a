"""Receive webhooks on this machine, each path in its own manner, and remember every request as it came."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Mapping

from aiohttp import web


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Hold one request."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at_s: float

    @property
    def id(self) -> str:
        """Give the event's id."""
        return self.headers["webhook-id"]


class Receiver:
    """Answer by the path: a status, ``hang``, ``slow``, ``moved`` or ``pause``."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.url = ""
        self.released = asyncio.Event()
        self.statuses: dict[str, int] = {}
        self.open = self.open_most = 0
        self.location = ""

    def at(self, path: str) -> list[Received]:
        """Give what came to one path."""
        return [each for each in self.received if each.path == path]

    async def handle(self, request: web.Request) -> web.Response:
        """Remember the request and answer it."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        self.received.append(Received(path=request.path, headers=headers, body=body, at_s=time.time()))
        manner = request.path.split("/")[1]
        if manner in self.statuses:
            return web.Response(status=self.statuses[manner])
        match manner:
            case "hang":
                self.open += 1
                self.open_most = max(self.open_most, self.open)
                try:
                    await self.released.wait()
                finally:
                    self.open -= 1
            case "moved":
                raise web.HTTPMovedPermanently(f"{self.url}/elsewhere")
            case "pause":
                return web.Response(status=429, headers={"Retry-After": "120"})
        headers = {"Location": self.location} if self.location else {}
        return web.Response(status=int(manner) if manner.isdigit() else 204, headers=headers)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Serve a receiver on a free port of this machine."""
    receiver, app = Receiver(), web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    try:
        yield receiver
    finally:
        receiver.released.set()
        await runner.cleanup()
