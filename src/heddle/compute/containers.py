"""Read how long a WebM or Ogg file lasts, from its headers alone: nothing is decoded.

The bytes are untrusted: every walk is bounded, no length leads out of the file or of its parent, and whatever does not
fit the format raises ``Unreadable`` and nothing else. It refuses to guess: a live recording whose length nobody wrote
down has none. Neighbours: ``compute.media`` calls it; ``core.policy.quality`` judges.
"""

import math
import struct
from collections.abc import Iterator
from typing import Final

ELEMENTS_MAX: Final = 10_000
STREAMS_MAX: Final = 16
"""Most streams of one Ogg file whose first pages are looked at."""
TAIL_BYTES: Final = 4 * 65_307
"""How far from its end the last page of an Ogg stream is looked for: four pages of the largest size (RFC 3533)."""
PAGES_MAX: Final = 1_000

# Element ids of RFC 9559 (Matroska), with their length markers.
_EBML, _SEGMENT, _INFO, _SCALE, _DURATION = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x2AD7B1, 0x4489
_SCALE_NS: Final = 1_000_000
_OPUS_HZ: Final = 48_000
_NO_GRANULE: Final = -1


class Unreadable(ValueError):
    """Say why a file is not what its media type says."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"unreadable: {reason}")


def webm_duration_s(content: bytes) -> float | None:
    """Give the length that the segment's Info states (RFC 9559, Duration times TimestampScale); None when none does.

    Raises Unreadable.
    """
    first = next(_elements(content, 0, len(content)), None)
    if first is None or first[0] != _EBML:
        raise Unreadable("it does not begin with an EBML header")
    # A file that was cut short states a longer segment than is there; its head may be whole all the same.
    segment = _find(content, 0, len(content), _SEGMENT, is_cut_allowed=True)
    if segment is None:
        raise Unreadable("it has no segment")
    info = _find(content, *segment, _INFO)
    if info is None:
        return None
    scale, duration = _find(content, *info, _SCALE), _find(content, *info, _DURATION)
    if duration is None:
        return None
    # A whole number has at most eight bytes (RFC 8794, 7.2).
    scale_ns = _SCALE_NS if scale is None else int.from_bytes(content[slice(*scale)][:8], "big")
    length_s = _float(content[slice(*duration)]) * scale_ns / 1e9
    if not math.isfinite(length_s) or length_s < 0:
        raise Unreadable("its length is no number of seconds")
    return length_s


def _find(content: bytes, place: int, end: int, wanted: int, *, is_cut_allowed: bool = False) -> tuple[int, int] | None:
    """Give from where to where the first element of a kind among its siblings has its content."""
    for kind, start, stop in _elements(content, place, end):
        if kind == wanted:
            if stop > end and not is_cut_allowed:
                raise Unreadable("an element leads out of its parent")
            return start, min(stop, end)
    return None


def _elements(content: bytes, place: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Walk siblings: kind, begin and end of their content. One of unknown size ends the walk: it holds the rest."""
    for _ in range(ELEMENTS_MAX):
        if place >= end:
            return
        kind, place = _number(content, place, end, longest=4, is_marked=True)
        size, place = _number(content, place, end, longest=8, is_marked=False)
        stop = end if size is None else place + size
        assert kind is not None, "an id is never unknown: its marker is part of it"
        yield kind, place, stop
        if size is None or stop > end:
            return
        place = stop
    raise Unreadable(f"it has more than {ELEMENTS_MAX} elements in a row")


def _number(content: bytes, place: int, end: int, *, longest: int, is_marked: bool) -> tuple[int | None, int]:
    """Read a number of variable length (RFC 8794, 4), with its marker or without; None for the unknown size."""
    length = 9 - content[place].bit_length() if place < end else 0
    if not 1 <= length <= longest or place + length > end:
        raise Unreadable("a number is cut short or too long")
    value = int.from_bytes(content[place : place + length], "big")
    if not is_marked:
        value &= (1 << 7 * length) - 1
        if value == (1 << 7 * length) - 1:
            return None, place + length
    return value, place + length


def _float(data: bytes) -> float:
    if len(data) not in (0, 4, 8):
        raise Unreadable("its length is no number")
    return 0.0 if not data else float(struct.unpack(">f" if len(data) == 4 else ">d", data)[0])


def ogg_duration_s(content: bytes) -> float | None:
    """Give the position at which the last page of the first sound stream ends (RFC 3533, granule position).

    Opus (RFC 7845), Vorbis, FLAC and Speex are known; None where no stream is one of them, or no page states where it
    ends. What was cut out of a longer stream is told longer than it is. Raises Unreadable.
    """
    place = 0
    for _ in range(STREAMS_MAX):
        page = _page(content, place)
        if page is None or not page.is_first:
            break
        known = _sound(page.body)
        if known is not None:
            rate_hz, skipped = known
            last = _last_granule(content, page.serial)
            return None if last is None else max(0, last - skipped) / rate_hz
        place = page.end
    if place == 0:
        raise Unreadable("it does not begin with the first page of a stream")
    return None


class _Page:
    """One page of an Ogg file."""

    __slots__ = ("body", "end", "granule", "is_first", "serial")

    def __init__(self, content: bytes, place: int, end: int, head: int) -> None:
        _, _, flags, self.granule, self.serial = struct.unpack_from("<4sBBqI", content, place)
        self.is_first = bool(flags & 2)
        self.body = content[place + head : end]
        self.end = end


def _page(content: bytes, place: int) -> _Page | None:
    """Read a page; None when there is no whole one."""
    if place + 27 > len(content) or content[place : place + 5] != b"OggS\0":
        return None
    head = 27 + content[place + 26]
    end = place + head + sum(content[place + 27 : place + head])
    return _Page(content, place, end, head) if end <= len(content) else None


def _sound(packet: bytes) -> tuple[int, int] | None:
    """Give the positions in a second of a stream of sound, and how many come before its beginning; None: no sound."""
    try:
        if packet.startswith(b"OpusHead"):
            rate_hz, skipped = _OPUS_HZ, struct.unpack_from("<H", packet, 10)[0]
        elif packet.startswith(b"\x01vorbis"):
            rate_hz, skipped = struct.unpack_from("<I", packet, 12)[0], 0
        elif packet.startswith(b"\x7fFLAC"):
            rate_hz, skipped = struct.unpack_from(">I", packet, 27)[0] >> 12, 0
        elif packet.startswith(b"Speex   "):
            rate_hz, skipped = struct.unpack_from("<I", packet, 36)[0], 0
        else:
            return None
    except struct.error:
        raise Unreadable("the header of a stream is cut short") from None
    if rate_hz == 0:
        raise Unreadable("a stream has no sample rate")
    return rate_hz, skipped


def _last_granule(content: bytes, serial: int) -> int | None:
    """Give the position at the end of the last page of a stream on which a packet ends, near the end of the file."""
    low, place = max(0, len(content) - TAIL_BYTES), len(content)
    for _ in range(PAGES_MAX):
        place = content.rfind(b"OggS", low, place)
        if place < 0:
            return None
        page = _page(content, place)
        if page is not None and page.serial == serial and page.granule != _NO_GRANULE:
            if page.granule < 0:
                raise Unreadable("a page ends before its stream begins")
            return int(page.granule)
    raise Unreadable(f"it has more than {PAGES_MAX} pages near its end")
