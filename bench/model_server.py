"""Answer every POST after 50 ms with a small JSON, at a small and known cost, in a process of its own.

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
CONNECTIONS_MAX = 4_096
HEAD_BYTES_MAX = 65_536
BODY = json.dumps({"status": "done", "image": "sha256:" + "5" * 64, "score": 0.93}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
STOP_TIMEOUT_S = 10.0


class _Connection(asyncio.Protocol):
    """Serve one connection: requests with a Content-Length, answered in the order in which they came."""

    def __init__(self) -> None:
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
            asyncio.get_running_loop().call_later(DELAY_S, self._answer)
        if len(self._received) > HEAD_BYTES_MAX and self._transport is not None:
            self._transport.close()

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(ANSWER)


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=CONNECTIONS_MAX)
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
