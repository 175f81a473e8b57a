"""Tell the clients of a ComfyUI server what becomes of their jobs, over its WebSocket.

A client is known by the id that it submits jobs under: news of a job go to it alone, the length of the queue to all.
What one that does not read has missed is not kept beyond 1,000 letters. Previews in bytes are not sent. Source:
Comfy-Org/ComfyUI server.py, execution.py and main.py, read 2026-11-29. Before it: ``queue`` with what happened,
``twin`` with a request. After it: the client.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
from aiohttp import web

from heddle.core import identity

LETTERS_MAX: Final = 1_000
FLAGS: Final[Mapping[str, identity.JsonValue]] = {"supports_preview_metadata": True, "max_upload_size": 104_857_600}

Data = Mapping[str, identity.JsonValue]


class News:
    """The open sockets of one server, by the client's id. remaining: counts the jobs that are not over."""

    def __init__(self, *, remaining: Callable[[], int]) -> None:
        self._remaining = remaining
        self._letters: dict[str, asyncio.Queue[str]] = {}
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._count = 0

    def tell(self, kind: str, data: Data, *, client_id: object) -> None:
        """Tell one client; nobody when it has no socket open."""
        letters = self._letters.get(client_id) if isinstance(client_id, str) else None
        if letters is not None:
            _post(letters, kind, data)

    def tell_status(self) -> None:
        """Tell everybody how long the queue is."""
        for letters in self._letters.values():
            _post(letters, "status", self._status())

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until either side closes it."""
        self._count += 1
        client_id = request.query.get("clientId") or f"client-{self._count}"
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        letters = self._letters[client_id] = asyncio.Queue(maxsize=LETTERS_MAX)
        self._sockets[client_id] = socket
        _post(letters, "status", {**self._status(), "sid": client_id})
        sending = asyncio.create_task(_send(socket, letters), name=f"twin-comfyui-news-{client_id}")
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT and _kind(message.data) == "feature_flags":
                    _post(letters, "feature_flags", FLAGS)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if self._letters.get(client_id) is letters:
                del self._letters[client_id], self._sockets[client_id]
        return socket

    async def close(self) -> None:
        """Close every socket."""
        for socket in list(self._sockets.values()):
            await socket.close()

    def _status(self) -> dict[str, identity.JsonValue]:
        return {"status": {"exec_info": {"queue_remaining": self._remaining()}}}


def _post(letters: asyncio.Queue[str], kind: str, data: Data) -> None:
    with contextlib.suppress(asyncio.QueueFull):
        letters.put_nowait(json.dumps({"type": kind, "data": dict(data)}))


async def _send(socket: web.WebSocketResponse, letters: asyncio.Queue[str]) -> None:
    while True:
        await socket.send_str(await letters.get())


def _kind(text: str) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value.get("type") if isinstance(value, dict) else None
