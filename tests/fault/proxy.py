"""A TCP proxy that misbehaves on order, between the product and its database: our own network, with our own faults.

It runs in a thread with a loop of its own and is told what to do from the test's thread. Nothing in it grows: so many
connections, one chunk in hand for each direction. It knows one thing of PostgreSQL's protocol: a commit.
"""

import asyncio
import contextlib
import dataclasses
import random
import socket
import struct
import threading
import urllib.parse
from collections.abc import Callable, Coroutine
from typing import Any

CHUNK_BYTES = 65_536
CONNECTIONS_MAX = 400
START_S = 10.0
# The text of the statement, ended as the protocol ends it, in a simple query or a parsed one.
COMMIT = b"commit\x00"


@dataclasses.dataclass(slots=True, kw_only=True)
class Weather:
    """What the network is like. ``drip_bytes`` a chunk at most, ``latency_s`` before each; 0: as it is."""

    latency_s: float = 0.0
    drip_bytes: int = 0
    # How often a second, at most, a connection is cut just after its commit was passed on.
    cuts_per_s: float = 0.0


class Proxy:
    """Listen on a free port and pass on to one server."""

    def __init__(self, *, dsn: str, seed: int) -> None:
        address = urllib.parse.urlsplit(dsn)
        self._target = (address.hostname, address.port)
        self.seed = seed
        self._chance = random.Random(seed)
        self.weather = Weather()
        self.cuts = self.passed = self.refused = 0
        self.peak = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_cut_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(START_S), "the proxy did not start"
        user, _, _ = address.netloc.rpartition("@")
        self.dsn = address._replace(netloc=f"{user}@127.0.0.1:{self.port}").geturl()

    # What a test orders

    def black_hole(self) -> None:
        """Pass nothing on, in either direction; what is sent piles up where it is, as behind a lost link."""
        self._order(self._flowing.clear)

    def heal(self) -> None:
        """Pass everything on again, first what has piled up."""
        self.weather = Weather()
        self._order(self._flowing.set)

    def reset_all(self) -> int:
        """Reset every connection on both sides, and give how many there were."""
        return self._order(self._reset_all)

    def close(self) -> None:
        """Stop, and reset what is left."""
        self._order(self._stop.set)
        self._thread.join(timeout=START_S)
        self._loop.close()

    def _order(self, deed: Callable[[], Any]) -> Any:
        async def do() -> Any:
            return deed()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(START_S)

    # What happens in the loop

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=CONNECTIONS_MAX)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
            await self._stop.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._reset_all()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers) >= 2 * CONNECTIONS_MAX:
            self.refused += 1
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, server_writer}
        self._writers |= pair
        self.peak = max(self.peak, len(self._writers) // 2)
        try:
            async with asyncio.TaskGroup() as group:
                self._keep(group, self._pump(reader, server_writer, pair, is_upward=True))
                self._keep(group, self._pump(server_reader, writer, pair, is_upward=False))
        except* OSError:
            pass
        finally:
            for each in pair:
                each.transport.abort()
            self._writers -= pair

    def _keep(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        task = group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pair: set[asyncio.StreamWriter],
        *,
        is_upward: bool,
    ) -> None:
        while chunk := await reader.read(self.weather.drip_bytes or CHUNK_BYTES):
            if self.weather.latency_s:
                await asyncio.sleep(self.weather.latency_s * self._chance.uniform(0.5, 1.5))
            await self._flowing.wait()
            writer.write(chunk)
            await writer.drain()
            self.passed += len(chunk)
            if is_upward and COMMIT in chunk.lower() and self._may_cut():
                # The server's side is ended in order, so that what was passed on is read; the client's is torn off.
                self.cuts += 1
                writer.write_eof()
                _reset(pair - {writer})
                return
        with contextlib.suppress(OSError):
            writer.write_eof()
        # An end on one side is the end: PostgreSQL has no use for half a connection.
        raise ConnectionResetError

    def _may_cut(self) -> bool:
        if self.weather.cuts_per_s <= 0 or self._loop.time() < self._next_cut_s:
            return False
        self._next_cut_s = self._loop.time() + self._chance.uniform(0.5, 1.5) / self.weather.cuts_per_s
        return True

    def _reset_all(self) -> int:
        count = len(self._writers) // 2
        _reset(self._writers)
        return count


def _reset(writers: set[asyncio.StreamWriter]) -> None:
    """Send a reset instead of an end, as a middlebox that lost its memory does."""
    for writer in writers:
        raw = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
