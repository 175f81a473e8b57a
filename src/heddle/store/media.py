"""Tell what kind of medium bytes are, and whether a picture among them is whole and of a sane size.

Kinds are read from magic bytes, pictures from their headers and the chain of their parts: nothing is ever decoded, so
no bomb can go off, and a file that was cut short is noticed. This module refuses to guess and writes nothing. Before
it: a whole file about to be published by ``blobs``. After it: the artifact's media type, or a refusal.
"""

import dataclasses
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

PREFIX_BYTES: Final = 64  # what `sniff` needs to see

ALIASES: Final[Mapping[str, str]] = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/opus": "audio/ogg",
    "audio/vorbis": "audio/ogg",
    "application/ogg": "audio/ogg",
    "application/x-pdf": "application/pdf",
    "text/json": "application/json",
}
SNIFFED: Final = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/webp",
        "image/gif",
        "video/mp4",
        "video/webm",
        "audio/wav",
        "audio/mpeg",
        "audio/ogg",
        "application/pdf",
    }
)
UNSNIFFED: Final = frozenset({"application/json", "text/plain", "application/octet-stream"})
# What the bytes of a container leave open: whether there is film in it is written past its beginning, so a claim that
# there is only sound is believed (RFC 9559 has one header for both).
NARROWED: Final[Mapping[str, str]] = {"audio/webm": "video/webm"}
ACCEPTED: Final = SNIFFED | UNSNIFFED | frozenset(NARROWED)

# ISO base media brands of MP4 (ISO/IEC 14496-12 and -14, DASH, CMAF); HEIC, QuickTime and others are not taken.
_MP4_BRANDS: Final = frozenset(
    {b"isom", b"mp41", b"mp42", b"mp71", b"avc1", b"M4V ", b"M4VP", b"MSNV", b"dash", b"cmfc", b"f4v "}
)
_ISO_BRAND: Final = re.compile(rb"iso[2-9a-c]\Z")


# A picture of 64 MiB has some hundred thousand parts; one made of the smallest that there are would take half a minute
# of the processor to walk through.
_PARTS_MIN: Final = 1_000_000
_PART_BYTES: Final = 100


class NotWhole(ValueError):
    """Say that a picture is cut short or damaged, and where."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Hold the extent of a picture."""

    width_px: int
    height_px: int

    @property
    def pixels(self) -> int:
        """Give the number of pixels of one frame."""
        return self.width_px * self.height_px


def plain(claimed: str | None) -> str | None:
    """Give a claimed media type bare, in lower case, under its usual name; None when nothing was claimed."""
    if claimed is None:
        return None
    bare = claimed.partition(";")[0].strip().lower()
    return ALIASES.get(bare, bare) or None


def sniff(prefix: bytes) -> str | None:
    """Name the kind of medium that begins with these bytes; None when none of the known ones does.

    ``image/heic``, ``video/quicktime`` and ``video/x-matroska`` are known in order to be refused by name.
    """
    for magic, kind in _MAGIC:
        if prefix.startswith(magic):
            return kind
    if prefix[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(prefix[8:12])
    if prefix[4:8] == b"ftyp":
        return _iso_media(prefix[8:12])
    if prefix[:4] == b"\x1a\x45\xdf\xa3":
        return "video/webm" if b"webm" in prefix else "video/x-matroska"
    if prefix[:4] == b"OggS":
        return None if b"\x80theora" in prefix else "audio/ogg"
    return "audio/mpeg" if _is_mp3_frame(prefix) else None


_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
)


def _iso_media(brand: bytes) -> str:
    if brand in _MP4_BRANDS or _ISO_BRAND.match(brand):
        return "video/mp4"
    return "video/quicktime" if brand == b"qt  " else "image/heic"


def _is_mp3_frame(prefix: bytes) -> bool:
    """Recognise the header of an MPEG audio layer III frame: sync, layer, a bit rate and a sample rate that exist."""
    if len(prefix) < 4 or prefix[0] != 0xFF or prefix[1] & 0xE6 != 0xE2:
        return False
    return prefix[1] & 0x18 != 0x08 and prefix[2] >> 4 not in (0, 15) and prefix[2] & 0x0C != 0x0C


def picture_size(media_type: str, data: memoryview) -> Size | None:
    """Give the extent of a picture after making sure that it is whole; None for other media.

    data: the whole file, such as a memory map of it. Raises NotWhole.
    """
    reader = {
        "image/png": _png_size,
        "image/jpeg": _jpeg_size,
        "image/gif": _gif_size,
        "image/webp": _webp_size,
    }.get(media_type)
    if reader is None:
        return None
    try:
        size = reader(data)
    except (struct.error, IndexError):
        raise NotWhole("the picture ends in the middle of a header") from None
    if size.pixels == 0:
        raise NotWhole("the picture has no pixels")
    return size


def _png_size(data: memoryview) -> Size:
    """Walk the chunks to IEND, checking each one's length and CRC (W3C PNG, section 5)."""
    offset, size = 8, None
    for _ in _parts_of(data):
        length, kind = struct.unpack_from(">I4s", data, offset)
        end = offset + 8 + length
        (crc,) = struct.unpack_from(">I", data, end)
        if zlib.crc32(data[offset + 4 : end]) != crc:
            raise NotWhole(f"the PNG is damaged in the chunk at byte {offset}")
        if kind == b"IHDR":
            width_px, height_px = struct.unpack_from(">II", data, offset + 8)
            size = Size(width_px=width_px, height_px=height_px)
        if size is None:
            raise NotWhole("the PNG does not begin with its header")
        if kind == b"IEND":
            return size
        offset = end + 4
    raise _crumbled()


_JPEG_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _jpeg_size(data: memoryview) -> Size:
    """Walk the segments, and the scans between them, to the end marker (ITU-T T.81, annex B)."""
    offset, size, has_scan = 2, None, False
    for _ in _parts_of(data):
        match = _JPEG_NEXT_MARKER.search(data, offset)
        if match is None:
            raise NotWhole("the JPEG is cut off: it has no end marker")
        offset, marker = match.end(), data[match.end() - 1]
        if marker == 0xD9:
            break
        if marker in (0x01, 0xD8):
            continue
        (length,) = struct.unpack_from(">H", data, offset)
        if marker in _JPEG_FRAMES:
            height_px, width_px = struct.unpack_from(">HH", data, offset + 3)
            size = Size(width_px=width_px, height_px=height_px)
        has_scan = has_scan or marker == 0xDA
        offset += length
    else:
        raise _crumbled()
    if size is None or not has_scan:
        raise NotWhole("the JPEG has no picture in it")
    return size


def _gif_size(data: memoryview) -> Size:
    """Walk the blocks to the trailer (GIF89a specification, appendix A)."""
    width_px, height_px, flags = struct.unpack_from("<HHB", data, 6)
    offset = 13 + _gif_table_bytes(flags)
    has_frame = False
    parts = iter(_parts_of(data))
    while data[offset] != 0x3B:
        _take_part(parts)
        if data[offset] == 0x21:
            offset += 2
        elif data[offset] == 0x2C:
            offset += 10 + _gif_table_bytes(data[offset + 9]) + 1
            has_frame = True
        else:
            raise NotWhole(f"the GIF is damaged at byte {offset}")
        while data[offset]:
            offset += 1 + data[offset]
            _take_part(parts)
        offset += 1
    if not has_frame:
        raise NotWhole("the GIF has no picture in it")
    return Size(width_px=width_px, height_px=height_px)


def _parts_of(data: memoryview) -> range:
    """Count as many parts as are walked through of a file of this size."""
    return range(_PARTS_MIN + len(data) // _PART_BYTES)


def _take_part(parts: Iterator[int]) -> None:
    if next(parts, None) is None:
        raise _crumbled()


def _crumbled() -> NotWhole:
    return NotWhole("the picture is made of more parts than any program would write")


def _gif_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _webp_size(data: memoryview) -> Size:
    """Compare the container's stated length with the file's and read the first chunk (RFC 9649)."""
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    if riff_bytes + 8 > len(data):
        raise NotWhole(f"the WebP is cut off: {riff_bytes + 8} bytes are stated, {len(data)} are there")
    kind = bytes(data[12:16])
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Size(width_px=width & 0x3FFF, height_px=height & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Size(width_px=(bits & 0x3FFF) + 1, height_px=(bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        low = [int.from_bytes(data[start : start + 3], "little") for start in (24, 27)]
        if len(data) < 30:
            raise NotWhole("the WebP ends in the middle of its header")
        return Size(width_px=low[0] + 1, height_px=low[1] + 1)
    raise NotWhole("the WebP begins with no picture")
