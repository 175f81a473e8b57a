"""An HTTP server that answers as a script says, byte for byte, and remembers what it was asked.

It speaks raw sockets, so that it can also do what no HTTP server would: cut a connection before or inside an answer,
answer with garbage, or never answer.
"""

import asyncio
import dataclasses
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Self

HOST = "127.0.0.1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One request as it arrived; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to write, in pieces; whether to cut the connection hard afterwards; whether to wait for ever before it."""

    pieces: tuple[bytes, ...] = ()
    is_cut: bool = False
    is_silent: bool = False


def reply(
    status: int, body: bytes, *, media_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> Answer:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {media_type}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return Answer(pieces=("\r\n".join(lines).encode() + b"\r\n\r\n" + body,))


def json_reply(status: int, value: Any, *, headers: Mapping[str, str] | None = None) -> Answer:
    return reply(status, json.dumps(value).encode(), headers=headers)


def cut() -> Answer:
    """Read the request and cut the connection."""
    return Answer(is_cut=True)


def cut_inside(status: int, body: bytes, *, media_type: str = "application/json") -> Answer:
    """Send the head and half of the body, then cut the connection."""
    whole = reply(status, body, media_type=media_type).pieces[0]
    return Answer(pieces=(whole[: len(whole) - max(1, len(body) // 2)],), is_cut=True)


def silence() -> Answer:
    return Answer(is_silent=True)


def garbage() -> Answer:
    return Answer(pieces=(b"220 mail.example ESMTP ready\r\n",), is_cut=True)


class ScriptedServer:
    """Answers the n-th request with the n-th answer, and every further one with the last."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.connections = 0
        self.left = asyncio.Event()
        self._asked = asyncio.Condition()
        self._answers: list[Answer] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""

    def script(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests.clear()

    async def wait_for_requests(self, count: int) -> None:
        """Wait until so many requests have been read; gives up after 20 s."""
        async with asyncio.timeout(20), self._asked:
            await self._asked.wait_for(lambda: len(self.requests) >= count)

    def shut(self) -> None:
        """End all connections from this side at once, before the loop of both sides has its next turn."""
        for writer in self._writers:
            writer.get_extra_info("socket").shutdown(socket.SHUT_WR)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.url = f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._writers.add(writer)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await _read(reader)
        async with self._asked:
            self.requests.append(request)
            self._asked.notify_all()
        answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
        if answer.is_silent:
            await reader.read(1)
            self.left.set()
            return False
        for piece in answer.pieces:
            writer.write(piece)
            await writer.drain()
        if answer.is_cut:
            writer.transport.abort() if not answer.pieces else writer.close()
        return not answer.is_cut


async def _read(reader: asyncio.StreamReader) -> Recorded:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Recorded(method=method, path=path, headers=headers, body=body)


def paths(requests: Sequence[Recorded]) -> list[tuple[str, str]]:
    return [(request.method, request.path) for request in requests]
