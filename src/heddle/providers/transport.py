"""Carry one request to an endpoint and say truthfully how far it got.

This module is the only place that opens a connection to a provider. It sends once, follows no redirect, reads no proxy
or credentials from the environment, bounds every phase and every body, and tells three things apart that decide
whether somebody pays twice: no byte of the request left, bytes may have left, a whole answer came. It refuses to
repeat a request or to judge an answer; the adapters do the judging. Before it in the walk: an adapter of this room.
After it: the adapter's table of faults.
"""

import asyncio
import contextlib
import dataclasses
import enum
import io
import types
from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib import parse

import aiohttp

from heddle.providers import dispatch, sessions

CONNECTIONS_MAX: Final = 1_000
CONNECT_TIMEOUT_S: Final = 5.0
UNREPEATABLE_IDLE_S: Final = 1.0
BODY_BYTES_MAX: Final = 16 * 1024**2
_WHOLE_WRITE_BYTES_MAX: Final = 1_048_576


class Cause(enum.StrEnum):
    """Name what ended an exchange before a whole answer had come."""

    ADDRESS = "address"  # the URL is none, or its name does not resolve
    INSIDE = "inside"  # it leads elsewhere than to the public internet, and somebody else chose it
    CONNECT = "connect"  # refused, unreachable or closed before the request began
    TLS = "tls"
    CONNECT_TIMEOUT = "connect_timeout"  # no connection in time, waiting for a free place in the pool included
    TIMEOUT = "timeout"
    CUT = "cut"
    MALFORMED = "malformed"  # the answer is not HTTP
    TOO_LARGE = "too_large"
    NO_TIME = "no_time"  # the time allowed was over before anything began


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Hold one HTTP request.

    ``timeout_s`` bounds everything from the wait for a connection to the last byte of the answer. ``is_repeatable``:
    whether a lost answer can be put right by sending again; when not, the call only gets a connection that was used a
    moment ago, since the other side may be closing an idle one at this very moment and nobody could tell whether the
    request was read (docs/adr/0040). ``is_public_only``: somebody else chose the address, so nothing but the public
    internet is connected to.
    """

    method: str
    url: str
    timeout_s: float
    is_repeatable: bool
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | None = None
    reply_bytes_max: int = BODY_BYTES_MAX
    is_public_only: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Hold one whole answer. Header names are lower case; of a repeated header the last one counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """Give the content type without its parameters, in lower case; empty when there is none."""
        return media_type(self.headers)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """Say that provably no byte of the request left this machine."""

    cause: Cause
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MaybeSent:
    """Say that bytes may have left and no whole answer came. ``status`` is the answer's when its head did arrive."""

    cause: Cause
    message: str
    status: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Hold an answer whose body is still arriving: iterate ``chunks`` once, inside the ``open`` it came from.

    The iteration raises ``BodyLost`` when the body is cut, late or larger than the call allows.
    """

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


Lost = NotSent | MaybeSent


class BodyLost(Exception):
    """Say that the body of an answer did not arrive whole; ``lost`` tells why."""

    def __init__(self, lost: MaybeSent) -> None:
        super().__init__(lost.message)
        self.lost = lost


async def whole(opened: Opened) -> Reply | MaybeSent:
    """Read what is left of an opened answer, at most the bytes its call allows."""
    body = bytearray()
    try:
        async for chunk in opened.chunks:
            body += chunk
    except BodyLost as error:
        return error.lost
    return Reply(status=opened.status, headers=opened.headers, body=bytes(body))


def media_type(headers: Mapping[str, str]) -> str:
    """Give the content type of lower-case headers without its parameters; empty when there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


class Transport:
    """Keep the connections of one worker process, for all its endpoints.

    The sessions are made inside the running loop at the first call. Each adapter holds the transport while it lives;
    the last one to release it closes the connections. ``unrepeatable_idle_s``: how long a connection may have been idle
    to carry a call that may not be repeated; 0: such a call gets a connection of its own.
    """

    def __init__(
        self,
        *,
        connections_max: int = CONNECTIONS_MAX,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        unrepeatable_idle_s: float = UNREPEATABLE_IDLE_S,
    ) -> None:
        assert connections_max > 0
        assert connect_timeout_s > 0
        assert unrepeatable_idle_s >= 0
        self._connections_max = connections_max
        self._connect_timeout_s = connect_timeout_s
        self._unrepeatable_idle_s = unrepeatable_idle_s
        self._sessions: dict[sessions.Kind, aiohttp.ClientSession] = {}
        self._holders = 0

    def hold(self) -> "Transport":
        """Count one more holder and give the transport."""
        self._holders += 1
        return self

    async def release(self) -> None:
        """Count one holder less; the last one closes the connections."""
        self._holders = max(0, self._holders - 1)
        if self._holders == 0:
            await self.close()

    async def close(self) -> None:
        """Close all connections. A later call opens new ones."""
        opened, self._sessions = self._sessions, {}
        for session in opened.values():
            await session.close()

    async def exchange(self, call: Call) -> Reply | Lost:
        """Send once and read the whole answer.

        Never raises for what the outside does. Cancelling closes the connection.
        """
        async with self.open(call) as opened:
            return await whole(opened) if isinstance(opened, Opened) else opened

    def open(self, call: Call) -> contextlib.AbstractAsyncContextManager[Opened | Lost]:
        """Send once and hand over the answer while its body streams; the connection is let go at the end."""
        return _Opening(self, call)

    async def probe(self, url: str, *, timeout_s: float) -> str | None:
        """Open and close a connection, sending nothing; tell what is in the way, None when nothing is."""
        parts = parse.urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(parts.hostname, port, ssl=parts.scheme == "https")
        except TimeoutError:
            return f"{parts.hostname}:{port} did not take a connection within {timeout_s:g} s"
        except OSError as error:
            return f"{parts.hostname}:{port} took no connection: {error}"
        writer.close()
        with contextlib.suppress(OSError):  # the connection was made, which is all that was asked
            await writer.wait_closed()
        return None

    async def request(self, call: Call) -> aiohttp.ClientResponse | Lost:
        """Send once and give the client's answer, body unread, which the caller closes. For ``open`` alone."""
        if call.timeout_s <= 0:  # the client would read 0 as "no limit"
            return NotSent(cause=Cause.NO_TIME, message="the time allowed was over before the request began")
        if call.is_public_only and not sessions.is_web(call.url):
            return NotSent(cause=Cause.ADDRESS, message=f"{_place(call)} is no http or https address")
        kind = (
            sessions.Kind.PUBLIC
            if call.is_public_only
            else sessions.Kind.REPEATABLE
            if call.is_repeatable
            else sessions.Kind.UNREPEATABLE
        )
        progress = dispatch.Progress()
        token = dispatch.progress.set(progress)
        try:
            return await self._sent(kind, call)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause, message = _cause_of(error, call), _sentence(error, call)
            if progress.is_dispatched:
                return MaybeSent(cause=cause, message=message)
            return NotSent(cause=_before_dispatch(cause), message=message)
        finally:
            dispatch.progress.reset(token)

    async def _sent(self, kind: sessions.Kind, call: Call) -> aiohttp.ClientResponse:
        """Send over a kept connection or a new one; over another where a kept one turns out to be closed."""
        until_s = asyncio.get_running_loop().time() + call.timeout_s
        left_s = call.timeout_s
        while True:
            try:
                return await self._session(kind).request(
                    call.method,
                    call.url,
                    headers=call.headers,
                    data=_body(call.body),
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=left_s, connect=min(self._connect_timeout_s, left_s)),
                    middlewares=dispatch.middlewares(call.method),
                )
            except dispatch.Stale:  # it is thrown away, so that there are ever fewer of them
                left_s = until_s - asyncio.get_running_loop().time()
                if left_s <= 0:
                    raise

    def _session(self, kind: sessions.Kind) -> aiohttp.ClientSession:
        session = self._sessions.get(kind)
        if session is None:
            session = self._sessions[kind] = sessions.make(
                kind,
                connections_max=self._connections_max,
                unrepeatable_idle_s=self._unrepeatable_idle_s,
                request_class=dispatch.Request,
            )
        return session


def _body(body: bytes | None) -> bytes | io.BytesIO | None:
    """Hand a large body over as a file, which the client writes in pieces instead of at once."""
    return io.BytesIO(body) if body is not None and len(body) > _WHOLE_WRITE_BYTES_MAX else body


class _Opening:
    """Send one request at the beginning of an ``async with`` block, and let its connection go at the end."""

    __slots__ = ("_call", "_response", "_transport")

    def __init__(self, transport: Transport, call: Call) -> None:
        self._transport = transport
        self._call = call
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Opened | Lost:
        response = await self._transport.request(self._call)
        if not isinstance(response, aiohttp.ClientResponse):
            return response
        self._response = response
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Opened(status=response.status, headers=headers, chunks=_Chunks(response, self._call))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: types.TracebackType | None
    ) -> None:
        if self._response is not None:
            self._response.close()


class _Chunks:
    """Give a body as it arrives, at most the client's buffer at a time, and stop at the bytes its call allows."""

    __slots__ = ("_call", "_response", "_size_bytes")

    def __init__(self, response: aiohttp.ClientResponse, call: Call) -> None:
        self._response = response
        self._call = call
        self._size_bytes = 0

    def __aiter__(self) -> "_Chunks":
        return self

    async def __anext__(self) -> bytes:
        call, status = self._call, self._response.status
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            lost = MaybeSent(cause=_cause(error), message=_sentence(error, call), status=status)
            raise BodyLost(lost) from error
        if not chunk:
            raise StopAsyncIteration
        self._size_bytes += len(chunk)
        if self._size_bytes > call.reply_bytes_max:
            message = f"the answer of {_place(call)} is larger than the {call.reply_bytes_max} bytes allowed"
            raise BodyLost(MaybeSent(cause=Cause.TOO_LARGE, message=message, status=status))
        return chunk


# In the order of the search: a class stands before the classes it inherits from.
_CAUSES: Final[tuple[tuple[type[BaseException], Cause], ...]] = (
    (aiohttp.InvalidURL, Cause.ADDRESS),
    (aiohttp.NonHttpUrlClientError, Cause.ADDRESS),
    (aiohttp.ClientConnectorDNSError, Cause.ADDRESS),
    (aiohttp.ClientSSLError, Cause.TLS),
    (aiohttp.ServerFingerprintMismatch, Cause.TLS),
    (aiohttp.ClientConnectorError, Cause.CONNECT),
    (aiohttp.ConnectionTimeoutError, Cause.CONNECT_TIMEOUT),
    (TimeoutError, Cause.TIMEOUT),
    (aiohttp.ClientResponseError, Cause.MALFORMED),
    (aiohttp.ClientPayloadError, Cause.CUT),
    (aiohttp.ClientConnectionError, Cause.CUT),
    (OSError, Cause.CUT),
    (ValueError, Cause.ADDRESS),  # a header or an address that cannot be written
)


def _cause(error: BaseException) -> Cause:
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.CUT)


def _cause_of(error: BaseException, call: Call) -> Cause:
    """Name the cause of a failure to open a connection; ``sessions`` refuses addresses inside as not permitted."""
    if call.is_public_only and isinstance(getattr(error, "os_error", None), PermissionError):
        return Cause.INSIDE
    return _cause(error)


def _before_dispatch(cause: Cause) -> Cause:
    """Name causes as they look before the request began: a connection cut then was never made use of."""
    return {Cause.CUT: Cause.CONNECT, Cause.TIMEOUT: Cause.CONNECT_TIMEOUT}.get(cause, cause)


def _sentence(error: BaseException, call: Call) -> str:
    if isinstance(error, TimeoutError):
        return f"{_place(call)} did not answer within {call.timeout_s:.3g} s"
    return f"{_place(call)}: {type(error).__name__}: {str(error)[:200]}"


def _place(call: Call) -> str:
    """Name a call without its query and user information, which may hold secrets."""
    try:
        parts = parse.urlsplit(call.url)
        return f"{call.method} {parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        return f"{call.method} of an address that is none"
