"""Measure pictures, videos and sounds in a child of the compute pool: what quality gates are judged by.

Untrusted bytes are opened here and nowhere else in a worker. A picture of more pixels than allowed is told as a problem
before it is decoded; the perceptual hash (a difference hash of 9 by 8 grey tones) and the share of the commonest tone
are taken from a small copy. The length of ISO media (MP4, MOV) is read from its movie header, that of WAVE from its
own, that of WebM and Ogg by ``containers``, that of moving pictures from their frames. Neighbours: ``engine.quality``
calls it by name; ``core.policy.quality`` judges.
"""

import io
import json
import struct
import wave
from typing import Any

from PIL import Image, ImageSequence, UnidentifiedImageError

from heddle.compute import containers
from heddle.core import artifact
from heddle.core.policy import quality
from heddle.program import artifacts
from heddle.program.errors import FaultRaised

SAMPLE_SIDE = 64
"""Side in pixels of the copy by which blankness is told."""
TONES = 32
"""Steps of grey that count as different tones."""
FRAMES_MAX = 3_000
BOXES_MAX = 10_000
_WEBM = frozenset({"video/webm", "audio/webm"})
_OGG = frozenset({"audio/ogg", "video/ogg", "application/ogg"})
_ISO_MEDIA = frozenset({"video/mp4", "video/quicktime", "audio/mp4"})


def measure(tenant: str, media_json: str, pixels_max: int) -> str:
    """Measure artifacts of a tenant and give JSON, one object each. Raises nothing for what is wrong with a medium."""
    found: list[quality.Measured] = []
    with artifacts.working_for(tenant):
        for each in json.loads(media_json):
            reference = artifact.Artifact.from_json(each)
            try:
                content = artifacts.read_artifact(reference)
            except FaultRaised as error:
                found.append(quality.Measured(media_type=reference.media_type, problem=error.fault.message))
                continue
            found.append(measured(content, media_type=reference.media_type, pixels_max=pixels_max))
    return json.dumps([_json(each) for each in found])


def _json(each: quality.Measured) -> dict[str, Any]:
    return {name: getattr(each, name) for name in quality.Measured.__dataclass_fields__}


def measured(content: bytes, *, media_type: str, pixels_max: int) -> quality.Measured:
    """Measure one medium. pixels_max: the most that are decoded of one picture."""
    if media_type.startswith("image/"):
        return _picture(content, media_type=media_type, pixels_max=pixels_max)
    try:
        if media_type in _ISO_MEDIA:
            return quality.Measured(media_type=media_type, duration_s=_iso_duration_s(content))
        if media_type in ("audio/wav", "audio/x-wav", "audio/wave"):
            with wave.open(io.BytesIO(content)) as sound:
                return quality.Measured(media_type=media_type, duration_s=sound.getnframes() / sound.getframerate())
        if media_type in _WEBM:
            return quality.Measured(media_type=media_type, duration_s=containers.webm_duration_s(content))
        if media_type in _OGG:
            return quality.Measured(media_type=media_type, duration_s=containers.ogg_duration_s(content))
    except containers.Unreadable as error:
        return quality.Measured(media_type=media_type, problem=str(error))
    except (struct.error, wave.Error, EOFError, ZeroDivisionError, ValueError) as error:
        return quality.Measured(media_type=media_type, problem=f"{type(error).__name__}: {error}"[:500])
    return quality.Measured(media_type=media_type)


def _picture(content: bytes, *, media_type: str, pixels_max: int) -> quality.Measured:
    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            if width * height > pixels_max:
                problem = f"{width} by {height} pixels are more than {pixels_max:,}"
                return quality.Measured(media_type=media_type, problem=problem, width=width, height=height)
            duration_s = _frames_s(picture)
            picture.seek(0)
            picture.load()
            return quality.Measured(
                media_type=media_type,
                width=width,
                height=height,
                duration_s=duration_s,
                blank=blank_share(picture),
                fingerprint=fingerprint(picture),
            )
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        return quality.Measured(media_type=media_type, problem=f"{type(error).__name__}: {error}"[:500])


def _grey(picture: Image.Image) -> Image.Image:
    """Give the picture in grey as it is seen on white: transparent pixels have no tone of their own."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        ground = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(ground, seen).convert("L")
    return picture.convert("L")


def blank_share(picture: Image.Image) -> float:
    """Give the share of a picture, 0 to 1, that is of its commonest tone, neighbouring tones taken together."""
    small = _grey(picture).resize((SAMPLE_SIDE, SAMPLE_SIDE), Image.Resampling.BOX)
    step = 256 // TONES
    counts = small.histogram()
    # A tone that lies on the border of two steps counts with both: windows of two steps, moved by one.
    tones = [sum(counts[place : place + step]) for place in range(0, 256, step)]
    together = [first + second for first, second in zip(tones, [*tones[1:], 0], strict=True)]
    return max(together) / (SAMPLE_SIDE * SAMPLE_SIDE)


def fingerprint(picture: Image.Image) -> int:
    """Give the difference hash of a picture, 64 bits: is each of 9 by 8 tones darker than the next in its row."""
    small = _grey(picture).resize((9, 8), Image.Resampling.LANCZOS)
    tones = small.tobytes()
    bits = 0
    for row in range(8):
        for column in range(8):
            bits = bits << 1 | int(tones[9 * row + column] < tones[9 * row + column + 1])
    return bits


def _frames_s(picture: Image.Image) -> float | None:
    """Give how long a moving picture lasts; None for a still one."""
    if getattr(picture, "n_frames", 1) < 2:
        return None
    milliseconds = 0.0
    for number, frame in enumerate(ImageSequence.Iterator(picture)):
        if number >= FRAMES_MAX:
            break
        milliseconds += float(frame.info.get("duration", 0))
    return milliseconds / 1000


def _iso_duration_s(content: bytes) -> float | None:
    """Give the length that the movie header states (ISO/IEC 14496-12, 8.2.2); None when there is none."""
    header = _box(content, (b"moov", b"mvhd"))
    if header is None:
        return None
    if header[0] == 1:
        scale, length = struct.unpack_from(">IQ", header, 20)
    else:
        scale, length = struct.unpack_from(">II", header, 12)
    return float(length / scale)


def _box(content: bytes, path: tuple[bytes, ...]) -> bytes | None:
    """Find a box inside boxes; lengths that lead out of their parent end the search."""
    place, end = 0, len(content)
    for name in path:
        for _ in range(BOXES_MAX):
            if place + 8 > end:
                return None
            size, kind = struct.unpack_from(">I4s", content, place)
            head = 8
            if size == 1:
                (size,), head = struct.unpack_from(">Q", content, place + 8), 16
            size = end - place if size == 0 else size
            if size < head or place + size > end:
                return None
            if kind == name:
                place, end = place + head, place + size
                break
            place += size
        else:
            return None
    return content[place:end]
