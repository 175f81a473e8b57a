"""Make small media from a seed: pictures, a video file and a sound that are well formed and always the same.

Enough for a receiver that checks magic bytes, sizes and checksums; nobody is meant to look at them. Nothing here is
random: equal arguments give equal bytes.
"""

import hashlib
import io
import struct
import wave
import zlib

SIDE_MAX_PX = 2_048
MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "mp4": "video/mp4", "wav": "audio/wav"}
_SAMPLE_RATE_PER_S = 8_000


def png(seed: str, *, width_px: int = 64, height_px: int = 64) -> bytes:
    """Draw two colours that fade into each other; sides are 1 to 2048 px."""
    _require_sides(width_px, height_px)
    top, bottom = _colours(seed)
    rows = bytearray()
    for row in range(height_px):
        share = row / max(1, height_px - 1)
        pixel = bytes(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True))
        rows += b"\0" + pixel * width_px
    head = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def jpeg(seed: str, *, width_px: int = 64, height_px: int = 64) -> bytes:
    """Encode the picture of ``png`` as JPEG."""
    return _encoded(seed, "JPEG", width_px, height_px)


def webp(seed: str, *, width_px: int = 64, height_px: int = 64) -> bytes:
    """Encode the picture of ``png`` as WebP."""
    return _encoded(seed, "WEBP", width_px, height_px)


def picture(seed: str, *, form: str = "png", width_px: int = 64, height_px: int = 64) -> bytes:
    """Make a picture: form is png, jpeg or webp."""
    return {"png": png, "jpeg": jpeg, "webp": webp}[form](seed, width_px=width_px, height_px=height_px)


def mp4(seed: str, *, size_bytes: int = 4_096) -> bytes:
    """Make a file with the boxes of an MP4 (ISO/IEC 14496-12) around data that no player could show."""
    head = _box(b"ftyp", b"isom" + struct.pack(">I", 512) + b"isomiso2avc1mp41")
    head += _box(b"moov", _box(b"mvhd", bytes(100)))
    noise = b"".join(hashlib.sha256(f"{seed}/{number}".encode()).digest() for number in range(max(1, size_bytes // 32)))
    return head + _box(b"mdat", noise[:size_bytes])


def wav(seed: str, *, seconds: float = 0.25) -> bytes:
    """Make a short square wave whose pitch the seed chooses, 8 kHz, 8 bit, mono."""
    period = 20 + hashlib.sha256(seed.encode()).digest()[0] % 40
    count = int(seconds * _SAMPLE_RATE_PER_S)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(_SAMPLE_RATE_PER_S)
        sound.writeframes(bytes(96 if number % period < period // 2 else 160 for number in range(count)))
    return file.getvalue()


def _encoded(seed: str, form: str, width_px: int, height_px: int) -> bytes:
    from PIL import Image

    encoded = io.BytesIO()
    Image.open(io.BytesIO(png(seed, width_px=width_px, height_px=height_px))).save(encoded, format=form, quality=80)
    return encoded.getvalue()


def _require_sides(width_px: int, height_px: int) -> None:
    if not 1 <= width_px <= SIDE_MAX_PX or not 1 <= height_px <= SIDE_MAX_PX:
        raise ValueError(f"Sides are 1 to {SIDE_MAX_PX} px, not {width_px} x {height_px}.")


def _colours(seed: str) -> tuple[bytes, bytes]:
    digest = hashlib.sha256(seed.encode()).digest()
    return digest[:3], digest[3:6]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data) + 8) + kind + data
