"""Write request bodies and read answers in OpenAI's form, JSON and multipart.

Pure but for reading artifacts through the reader it is handed. It refuses what the adapter itself decides (model,
stream) and never coerces. Before it: an operation with a request. After it: the transport, and on the way back the
operation with an outcome to make.
"""

import base64
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Final
from urllib import parse

from heddle.core import artifact, identity
from heddle.ports import provider
from heddle.providers import json_wire, media

# The most of pictures in one request, by the guide on images and vision as of 2025; not confirmed since.
INLINE_BYTES_MAX: Final = 50 * 1000**2
_OURS: Final = frozenset({"model", "stream", "stream_options"})
_EXTENSIONS: Final[Mapping[str, str]] = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "video/mp4": "mp4",
    "application/pdf": "pdf",
}


class TooLarge(ValueError):
    """Say that what is to be sent inline is over the provider's limit."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Hold a body ready to send."""

    media_type: str
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Hold one file of a form."""

    field: str
    filename: str
    media_type: str
    data: bytes


def require_ours_absent(given: Mapping[str, identity.JsonValue]) -> None:
    """Refuse keys of the input that the endpoint decides. Raises WireRefused."""
    taken = sorted(_OURS & set(given))
    if taken:
        raise json_wire.WireRefused(f"the input has {taken[0]!r}, which the endpoint decides; leave it out")


async def json_body(
    request: provider.ProviderRequest, extra: Mapping[str, identity.JsonValue]
) -> dict[str, identity.JsonValue]:
    """Give the body of a JSON call: the input with its artifacts written out, and what the endpoint adds.

    Raises WireRefused, TooLarge, or ``blobs.BlobMissing``.
    """
    require_ours_absent(request.input)
    given: identity.JsonValue = request.input
    if media.has_artifact(given):
        require_room(media.artifacts_in(given))
        given = await _written_out(given, reader=request.artifacts, key="")
    return {**given, **extra}


def require_room(found: Iterable[artifact.Artifact]) -> None:
    """Refuse more inline bytes than the provider takes, before any is read. Raises TooLarge."""
    size_bytes = sum(each.size_bytes for each in found)
    if size_bytes > INLINE_BYTES_MAX:
        raise TooLarge(f"the input's artifacts have {size_bytes} bytes; {INLINE_BYTES_MAX} may be sent inline")


async def _written_out(value: identity.JsonValue, *, reader: provider.ArtifactReader, key: str) -> identity.JsonValue:
    """Replace artifacts by data URLs; under ``data`` (of ``input_audio``) by bare base64, as the API asks there."""
    if artifact.is_artifact(value):
        reference = artifact.Artifact.from_json(value)
        text = base64.b64encode(await reader.read(reference)).decode("ascii")
        return text if key == "data" else f"data:{reference.media_type};base64,{text}"
    if isinstance(value, dict):
        return {name: await _written_out(item, reader=reader, key=name) for name, item in value.items()}
    if isinstance(value, list):
        return [await _written_out(item, reader=reader, key=key) for item in value]
    return value


async def form_body(request: provider.ProviderRequest, *, model: str) -> Body:
    """Give the body of a multipart call: artifacts become files, everything else a field.

    Raises WireRefused, TooLarge, or ``blobs.BlobMissing``.
    """
    require_ours_absent(request.input)
    require_room(media.artifacts_in(request.input))
    fields: dict[str, str] = {"model": model}
    files: list[File] = []
    for name, value in request.input.items():
        found = media.artifacts_in(value)
        if found:
            is_list = isinstance(value, list)
            if not is_list and not artifact.is_artifact(value):
                raise json_wire.WireRefused(f"the input's {name!r} must be an artifact or a list of artifacts")
            for number, reference in enumerate(found):
                files.append(await _file(f"{name}[]" if is_list else name, number, reference, request.artifacts))
        elif value is not None:
            fields[name] = _field(name, value)
    return multipart(fields, files, mark=request.attempt_id)


async def _file(field: str, number: int, reference: artifact.Artifact, reader: provider.ArtifactReader) -> File:
    extension = _EXTENSIONS.get(reference.media_type, "bin")
    return File(
        field=field,
        filename=f"{field.removesuffix('[]')}_{number}.{extension}",
        media_type=reference.media_type,
        data=await reader.read(reference),
    )


def _field(name: str, value: identity.JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    return json_wire.write_json(value).decode()


def multipart(fields: Mapping[str, str], files: Iterable[File], *, mark: str) -> Body:
    """Write a form (RFC 7578). ``mark`` is what the boundary derives from, so that a body is the same when made again.

    Raises WireRefused for names that cannot be written.
    """
    boundary = hashlib.sha256(f"boundary of {mark}".encode()).hexdigest()
    parts: list[bytes] = []
    for name, text in fields.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{_name(name)}"\r\n\r\n'.encode())
        parts.append(text.encode() + b"\r\n")
    for file in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_name(file.field)}"; filename="{file.filename}"'
        parts.append(f"{head}\r\nContent-Type: {file.media_type}\r\n\r\n".encode())
        parts.append(file.data + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    return Body(media_type=f"multipart/form-data; boundary={boundary}", data=b"".join(parts))


def _name(name: str) -> str:
    if not name.isprintable() or '"' in name:
        raise json_wire.WireRefused(f"the input's {name[:40]!r} cannot be the name of a form field")
    return name


def error_code(body: bytes) -> str:
    """Read the code of an error: ``error.code``, else ``error.type``; empty for none. Never raises."""
    try:
        whole = json_wire.parse_json(body)
    except json_wire.WireRefused:
        return ""
    return code_of(whole.get("error") if isinstance(whole, dict) else None)


def code_of(error: identity.JsonValue) -> str:
    """Read the code of an error object; empty for none."""
    if not isinstance(error, dict):
        return ""
    found = next((error[key] for key in ("code", "type") if error.get(key) is not None), "")
    return found if isinstance(found, str) else ""


def text(value: identity.JsonValue, key: str) -> str:
    """Give a text of an object; empty when it has none there."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def quoted(name: str) -> str:
    """Write a job's id as one segment of a path."""
    return parse.quote(name, safe="")
