"""Answer a POST after 50 ms, at `/slow` after 2 s, with a small JSON, at a small and known cost, in its own process.

It stands for a model service: its latency is fixed and nothing is computed. `running` starts it, on any free port of
the loopback interface; `python -m bench.model_server` is the process.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import typing
from collections.abc import Iterator

DELAY_S = 0.05
SLOW_DELAY_S = 2.0
SLOW = b"POST /slow"
PEAK = b"GET /peak"
CONNECTIONS_MAX = 4_096
HEAD_BYTES_MAX = 65_536
BODY = json.dumps({"status": "done", "image": "sha256:" + "5" * 64, "score": 0.93}).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
ANSWER = HEAD % len(BODY) + BODY
STOP_TIMEOUT_S = 10.0


class _InFlight:
    """Count the requests that wait for their answer, and the most there were since somebody asked (`GET /peak`)."""

    now = 0
    peak = 0


class _Connection(asyncio.Protocol):
    """Serve one connection: requests with a Content-Length, answered in the order in which they came."""

    def __init__(self, counted: _InFlight) -> None:
        self._counted = counted
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no asyncio class.
        self._transport = typing.cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            head, found, rest = self._received.partition(b"\r\n\r\n")
            if not found:
                break
            size_bytes = _content_length(head)
            if len(rest) < size_bytes:
                break
            self._received = rest[size_bytes:]
            self._begin(head)
        if len(self._received) > HEAD_BYTES_MAX and self._transport is not None:
            self._transport.close()

    def _begin(self, head: bytes) -> None:
        counted = self._counted
        if head.startswith(PEAK):
            if self._transport is not None:
                body = b"%d" % counted.peak
                self._transport.write(HEAD % len(body) + body)
            counted.peak = counted.now
            return
        counted.now += 1
        counted.peak = max(counted.peak, counted.now)
        delay_s = SLOW_DELAY_S if head.startswith(SLOW) else DELAY_S
        asyncio.get_running_loop().call_later(delay_s, self._answer)

    def _answer(self) -> None:
        self._counted.now -= 1
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(ANSWER)


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    counted = _InFlight()
    server = await loop.create_server(lambda: _Connection(counted), "127.0.0.1", 0, backlog=CONNECTIONS_MAX)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Run the server and give its address; end it afterwards."""
    process = subprocess.Popen([sys.executable, "-m", "bench.model_server"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait(timeout=STOP_TIMEOUT_S)


def main() -> None:
    """Serve until ended."""
    import uvloop

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve())


if __name__ == "__main__":
    main()
