"""Write a twin's answer to its client, whole or spoiled in the way a fault asks for.

An answer is a value until here, so that each fault can be laid over every answer of every vendor: never written,
written byte by byte, cut at any byte of head or body, replaced by a page, or drowned in filler. Before it: a vendor's
route, which has taken payment. After it: the client.
"""

import asyncio
import contextlib
import http
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from heddle.core import identity
from heddle.twins.kit import faults

HANG_MAX_S = 3_600.0
HANG_LOOK_S = 0.05
HUGE_BYTES = 1024**3
_FILLER_BYTES = 256 * 1024
_PAGE = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. More than one piece is a stream, sent with ``pause_s`` between two pieces."""

    status: int
    pieces: tuple[bytes, ...]
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_s: float = 0.0

    @property
    def body(self) -> bytes:
        """Give the whole body."""
        return b"".join(self.pieces)


def json_answer(status: int, value: identity.JsonValue, *, headers: Mapping[str, str] | None = None) -> Answer:
    """Make an answer of a JSON value."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status=status, pieces=(body,), headers=headers or {})


def stream(events: list[bytes], *, headers: Mapping[str, str] | None = None, pause_s: float = 0.0) -> Answer:
    """Make an answer of Server-Sent Events, each already in its wire form."""
    return Answer(
        status=200,
        pieces=tuple(events),
        media_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-cache", **(headers or {})},
        pause_s=pause_s,
    )


async def write(
    request: web.Request, answer: Answer, *, fault: faults.RequestFault | None, plan: faults.Plan
) -> web.StreamResponse:
    """Write an answer, spoiled by a fault of those that come after acceptance; a lie is in the answer already."""
    match fault:
        case faults.RequestFault.HANG:
            await _hang(request)
            return web.Response(status=504)
        case faults.RequestFault.CUT:
            return _cut(request, answer, at_bytes=plan.cut_at_bytes)
        case faults.RequestFault.DRIP:
            dripped = Answer(
                status=answer.status,
                pieces=tuple(bytes([byte]) for byte in answer.body),
                media_type=answer.media_type,
                headers=answer.headers,
                pause_s=plan.drip_s,
            )
            return await _streamed(request, dripped)
        case faults.RequestFault.WRONG_TYPE:
            return web.Response(status=200, body=_PAGE, headers={"Content-Type": "text/html; charset=utf-8"})
        case faults.RequestFault.HUGE:
            return await _drown(request, answer)
        case _:
            return await _streamed(request, answer) if len(answer.pieces) > 1 else _plain(answer)


def _plain(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=_headers(answer))


async def _streamed(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_headers(answer))
    # A client may have what it wants before the end of the stream, and go: no error of the twin.
    with contextlib.suppress(ConnectionResetError):
        await response.prepare(request)
        for piece in answer.pieces:
            await response.write(piece)
            if answer.pause_s > 0:
                await asyncio.sleep(answer.pause_s)
        await response.write_eof()
    return response


async def _hang(request: web.Request) -> None:
    """Wait until the client has gone, for an hour at most."""
    for _ in range(int(HANG_MAX_S / HANG_LOOK_S)):
        if request.transport is None or request.transport.is_closing():
            return
        await asyncio.sleep(HANG_LOOK_S)


def _cut(request: web.Request, answer: Answer, *, at_bytes: int) -> web.StreamResponse:
    """Write the first bytes of the answer as they would stand on the wire, then close the connection."""
    if request.transport is not None:
        if at_bytes:
            request.transport.write(raw(answer)[:at_bytes])
            request.transport.close()
        else:
            request.transport.abort()
    return web.Response(status=answer.status)


async def _drown(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_headers(answer))
    await response.prepare(request)
    await response.write(b'{"filler":"')
    filler = b"x" * _FILLER_BYTES
    for _ in range(HUGE_BYTES // _FILLER_BYTES):
        await response.write(filler)  # raises once the client has gone
    await response.write_eof(b'"}')
    return response


def raw(answer: Answer) -> bytes:
    """Give an answer as HTTP/1.1 writes it: a stream in chunks, anything else with its length."""
    is_stream = len(answer.pieces) > 1
    headers = _headers(answer)
    headers |= {"Transfer-Encoding": "chunked"} if is_stream else {"Content-Length": str(len(answer.body))}
    reason = http.HTTPStatus(answer.status).phrase
    lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    if not is_stream:
        return head + answer.body
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in answer.pieces if piece) + b"0\r\n\r\n"


def _headers(answer: Answer) -> dict[str, str]:
    return {"Content-Type": answer.media_type, **answer.headers}
