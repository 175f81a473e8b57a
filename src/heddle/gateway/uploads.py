"""Read a multipart body (RFC 7578) part by part, and stop as soon as it is more than may be sent.

Bounded are the whole, each file, each text, and how many of both; nothing is held beyond a bound, and an announced
length that is too large is refused before a byte is read. Nothing is kept or believed here. Before it: a handler that
takes files. After it: ``files``, which keeps them.
"""

import asyncio
import dataclasses

from aiohttp import BodyPartReader, MultipartReader, http_exceptions, web

from heddle.config import settings
from heddle.gateway import refusals

FORM = "multipart/form-data"
PARTS_MAX = 128
CHUNK_BYTES = 65_536
NAME_CHARACTERS_MAX = 200


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Hold one part. ``media_type``: what its sender says of it, None when nothing or nothing in particular."""

    name: str
    is_file: bool
    media_type: str | None
    content: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Hold what a body may be at most. ``within_s``: the time it may take to arrive."""

    whole_bytes_max: int
    file_bytes_max: int
    text_bytes_max: int
    files_max: int
    within_s: float


def bounds(limits: settings.Settings, *, text_bytes_max: int, files_max: int) -> Bounds:
    """Give the bounds of the settings."""
    return Bounds(
        whole_bytes_max=limits.gateway_request_bytes_max,
        file_bytes_max=limits.artifact_bytes_max,
        text_bytes_max=text_bytes_max,
        files_max=files_max,
        within_s=limits.gateway_wait_s,
    )


async def parts(request: web.Request, *, within: Bounds, field: str) -> list[Part]:
    """Read every part, in order. Raises Refusal; ``field`` is what one that is about the whole body names."""
    if request.content_type != FORM:
        raise refusals.invalid(f"send the file as the part `{field}` of a {FORM} body", field=field)
    _check_whole(request.content_length or 0, within=within, field=field)
    try:
        async with asyncio.timeout(within.within_s):
            return await _parts(request, within=within, field=field)
    except TimeoutError as error:
        raise refusals.late(within_s=within.within_s, field=field) from error
    except (ValueError, RuntimeError, http_exceptions.BadHttpMessage, web.RequestPayloadError) as error:
        raise refusals.invalid(f"the body is no multipart body: {error}"[:300], field=field) from error


async def _parts(request: web.Request, *, within: Bounds, field: str) -> list[Part]:
    found: list[Part] = []
    async for reader in MultipartReader(request.headers, request.content):
        _check_whole(request.content.total_bytes, within=within, field=field)
        if not isinstance(reader, BodyPartReader):
            raise refusals.invalid("a part of the body has parts itself", field=field)
        if not reader.name or len(reader.name) > NAME_CHARACTERS_MAX:
            raise refusals.invalid(f"a part of the body has no name, or one over {NAME_CHARACTERS_MAX}", field=field)
        name, is_file = reader.name, reader.filename is not None
        if len(found) >= PARTS_MAX:
            raise refusals.invalid(f"the body has more than {PARTS_MAX} parts", field=field)
        if is_file and sum(part.is_file for part in found) >= within.files_max:
            raise refusals.invalid(f"the body has more than {within.files_max} files", field=bare(name))
        content = await _content(request, reader, within=within, is_file=is_file)
        found.append(Part(name=name, is_file=is_file, media_type=_claimed(reader), content=content))
    return found


async def _content(request: web.Request, reader: BodyPartReader, *, within: Bounds, is_file: bool) -> bytes:
    """Read one part, its transfer encoding undone."""
    name = bare(reader.name or "")
    bytes_max = within.file_bytes_max if is_file else within.text_bytes_max
    pieces: list[bytes] = []
    size_bytes = 0
    while not reader.at_eof():
        piece = await reader.read_chunk(CHUNK_BYTES)
        size_bytes += len(piece)
        if size_bytes > bytes_max:
            raise refusals.too_large(f"{name} has more than {bytes_max} bytes", field=name)
        _check_whole(request.content.total_bytes, within=within, field=name)
        pieces.append(piece)
    return b"".join([bytes(piece) async for piece in reader.decode_iter(b"".join(pieces))])


def _check_whole(size_bytes: int, *, within: Bounds, field: str) -> None:
    if size_bytes > within.whole_bytes_max:
        raise refusals.too_large(f"the body has more than {within.whole_bytes_max} bytes", field=field)


def bare(name: str) -> str:
    """Give the name of a field without the brackets that say it is a list."""
    return name.removesuffix("[]")


def _claimed(reader: BodyPartReader) -> str | None:
    media_type = reader.headers.get("Content-Type", "").partition(";")[0].strip()
    return media_type or None
