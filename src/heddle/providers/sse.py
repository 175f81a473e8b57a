"""Read Server-Sent Events as they arrive, within bounds.

One reader for every adapter whose provider streams: it turns pieces of a body, cut anywhere, into events (WHATWG HTML,
section 9.2, "Server-sent events", read 2026-11-29). It refuses events and streams beyond its bounds, keeps no more than
one event in memory, and judges no content: whether a stream that has ended is complete is for the adapter to say, which
knows its provider's terminal event. Before it: ``transport.Opened.chunks``. After it: an adapter that gathers the
answer.
"""

import dataclasses
import re
from collections.abc import AsyncIterator
from typing import Final

EVENT_BYTES_MAX: Final = 16 * 1024**2  # an image in base64 comes as one event
EVENTS_MAX: Final = 1_000_000
_LINE_END: Final = re.compile(rb"[\r\n]")
_MARK: Final = b"\xef\xbb\xbf"


class StreamRefused(ValueError):
    """Say which bound a stream of events has passed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Hold one event: ``name`` is ``message`` when the stream gives none, ``id`` the last one seen, empty for none."""

    name: str
    data: str
    id: str = ""


class Parser:
    """Turn bytes into events. ``feed`` may be given pieces of any size; what is left at the end of a stream without a
    blank line after it is no event (the same section: "must be discarded").
    """

    def __init__(self, *, event_bytes_max: int = EVENT_BYTES_MAX, events_max: int = EVENTS_MAX) -> None:
        assert event_bytes_max > 0
        assert events_max > 0
        self._event_bytes_max = event_bytes_max
        self._events_left = events_max
        self._pending = bytearray()
        self._searched = 0
        self._is_after_return = False
        self._is_first_line = True
        self._name = ""
        self._data: list[str] = []
        self._size_bytes = 0
        self._id = ""

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next piece and give the events that it completes, in order. Raises StreamRefused."""
        if self._is_after_return and chunk:
            chunk = chunk.removeprefix(b"\n")  # the second half of a line end that was cut in two
            self._is_after_return = False
        self._pending += chunk
        found: list[Event] = []
        start = 0
        while (end := self._line_end(start)) is not None:
            line = bytes(self._pending[start:end])
            start = self._after(end)
            event = self._take(line)
            if event is not None:
                found.append(event)
        del self._pending[:start]
        self._searched = len(self._pending)
        self._require_room(len(self._pending))
        return found

    def _line_end(self, start: int) -> int | None:
        """Find the next line end without looking twice at bytes that have none."""
        match = _LINE_END.search(self._pending, max(start, self._searched))
        return None if match is None else match.start()

    def _after(self, end: int) -> int:
        if self._pending[end] == 0x0D:
            if end + 1 == len(self._pending):
                self._is_after_return = True
            elif self._pending[end + 1] == 0x0A:
                return end + 2
        return end + 1

    def _take(self, line: bytes) -> Event | None:
        if self._is_first_line:
            line, self._is_first_line = line.removeprefix(_MARK), False
        if not line:
            return self._dispatch()
        self._size_bytes += len(line)
        self._require_room(0)
        field, _, value = line.decode("utf-8", errors="replace").partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> Event | None:
        name, data = self._name, self._data
        self._name, self._data, self._size_bytes = "", [], 0
        if not data:
            return None
        if self._events_left == 0:
            raise StreamRefused("the stream has more events than are read of one answer")
        self._events_left -= 1
        return Event(name=name or "message", data="\n".join(data), id=self._id)

    def _require_room(self, pending_bytes: int) -> None:
        if self._size_bytes + pending_bytes > self._event_bytes_max:
            raise StreamRefused(f"an event of the stream is larger than the {self._event_bytes_max} bytes allowed")


async def events(
    chunks: AsyncIterator[bytes], *, event_bytes_max: int = EVENT_BYTES_MAX, events_max: int = EVENTS_MAX
) -> AsyncIterator[Event]:
    """Give the events of a body while it arrives.

    chunks: such as ``Opened.chunks``, whose ``BodyLost`` passes through. Ends with the body, silently: a stream without
    its provider's terminal event is the caller's to notice. Raises StreamRefused.
    """
    parser = Parser(event_bytes_max=event_bytes_max, events_max=events_max)
    async for chunk in chunks:
        for event in parser.feed(chunk):
            yield event
