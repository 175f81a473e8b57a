"""Stand where the internet is: receivers of webhooks on a virtual clock, each in its own manner, and what came to them.

The courier above is the real one, so that what arrives is signed and addressed as in life; only its connections are
these. A receiver remembers when each try began and how it was answered.
"""

import asyncio
import contextlib
import dataclasses
import enum
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib import parse

from heddle.providers import transport
from heddle.testing.simulation import loop as loop_module
from tests import webhook_checks

PAUSE_S = 120.0
PAUSES = 3


class Manner(enum.Enum):
    """Name how a receiver is."""

    WELL = enum.auto()
    SICK = enum.auto()  # 500, for ever
    HANGING = enum.auto()
    PAUSING = enum.auto()  # 429 with Retry-After a few times, then well
    MOVED = enum.auto()  # 301
    GONE = enum.auto()  # 410


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """Hold one try: who came when, how it was signed, and what was answered (None: nothing)."""

    message_id: str
    began_s: float
    ended_s: float
    status: int | None
    is_signed: bool


@dataclasses.dataclass(slots=True, kw_only=True)
class Receiver:
    """Hold one receiver and its tries, in the order of their beginnings."""

    name: str
    manner: Manner
    tries: list[Try] = dataclasses.field(default_factory=list)
    pauses: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    @property
    def url(self) -> str:
        """Give its address."""
        return f"https://{self.name}.example/hooks"

    def of(self, message_id: str) -> list[Try]:
        """Give the tries of one event."""
        return [each for each in self.tries if each.message_id == message_id]


class Internet:
    """Be the connections of couriers (``providers.transport.Transport``)."""

    def __init__(
        self, receivers: list[Receiver], *, loop: loop_module.VirtualLoop, rng: random.Random, secret: str
    ) -> None:
        self.strangers: list[str] = []
        self._receivers: Mapping[str, Receiver] = {f"{each.name}.example": each for each in receivers}
        self._loop = loop
        self._rng = rng
        self._secret = secret

    def hold(self) -> "Internet":
        """Give itself."""
        return self

    async def close(self) -> None:
        """Close nothing."""

    @contextlib.asynccontextmanager
    async def open(self, call: transport.Call) -> AsyncIterator[Any]:
        """Carry one request and answer it."""
        receiver = self._receivers.get(parse.urlsplit(call.url).netloc)
        if receiver is None:
            self.strangers.append(call.url)
            yield transport.NotSent(cause=transport.Cause.ADDRESS, message="no such name")
            return
        assert call.is_public_only
        began_s = self._loop.time()
        headers = await self._answer(receiver, call)
        status = None if headers is None else int(headers.pop("status"))
        receiver.tries.append(
            Try(
                message_id=call.headers["webhook-id"],
                began_s=began_s,
                ended_s=self._loop.time(),
                status=status,
                is_signed=webhook_checks.is_signed(
                    secret=self._secret,
                    headers=call.headers,
                    body=call.body or b"",
                    now_s=loop_module.START_UNIX_S + began_s,
                ),
            )
        )
        if status is None or headers is None:
            yield transport.MaybeSent(cause=transport.Cause.TIMEOUT, message="late")
        else:
            yield transport.Opened(status=status, headers=headers, chunks=_nothing())

    async def _answer(self, receiver: Receiver, call: transport.Call) -> dict[str, str] | None:
        if receiver.manner is Manner.HANGING:
            await asyncio.sleep(call.timeout_s)
            return None
        await asyncio.sleep(0.05 + 0.25 * self._rng.random())
        match receiver.manner:
            case Manner.SICK:
                return {"status": "500"}
            case Manner.MOVED:
                return {"status": "301", "location": "https://elsewhere.example/"}
            case Manner.GONE:
                return {"status": "410"}
            case Manner.PAUSING if len(receiver.pauses) < PAUSES:
                now_s = self._loop.time()
                receiver.pauses.append((now_s, now_s + PAUSE_S))
                return {"status": "429", "retry-after": f"{PAUSE_S:g}"}
            case _:
                return {"status": "204"}


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
