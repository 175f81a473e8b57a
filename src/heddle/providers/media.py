"""Put media into a provider's JSON and take media out of it, at any depth.

Two walks over a JSON value: artifacts become whatever the provider reads (a data URL, the address of an upload, a block
of base64), and texts that stand for media become artifacts. This module refuses inputs and answers with more media than
one call may have, and texts that are no base64; it follows no link and sends nothing. Before it: an adapter with a
request or an answer in hand. After it: the transport, or ``settle.Completed``.
"""

import base64
import binascii
import dataclasses
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from heddle.core import artifact, identity
from heddle.ports import provider
from heddle.providers import json_wire

MEDIA_MAX: Final = 64  # in one input or one output; each costs a read or a request
DATA_URL: Final = re.compile(r"data:([a-z0-9.+/\-]+)?(?:;[a-z0-9=\-]+)*;base64,", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Hold a body ready to send."""

    media_type: str
    body: bytes


class MediaRefused(ValueError):
    """Say why the media of a value cannot be sent or taken, naming the field."""


def has_artifact(value: identity.JsonValue) -> bool:
    """Tell whether an artifact is anywhere inside a JSON value."""
    if isinstance(value, dict):
        return artifact.is_artifact(value) or any(map(has_artifact, value.values()))
    return isinstance(value, list) and any(map(has_artifact, value))


async def write_out(
    value: identity.JsonValue, *, reader: provider.ArtifactReader, as_data_url: bool
) -> identity.JsonValue:
    """Replace every artifact in a JSON value by its bytes in base64, ``as_data_url`` as a data URL."""
    if artifact.is_artifact(value):
        reference = artifact.Artifact.from_json(value)
        text = base64.b64encode(await reader.read(reference)).decode("ascii")
        return f"data:{reference.media_type};base64,{text}" if as_data_url else text
    if isinstance(value, dict):
        return {key: await write_out(item, reader=reader, as_data_url=as_data_url) for key, item in value.items()}
    if isinstance(value, list):
        return [await write_out(item, reader=reader, as_data_url=as_data_url) for item in value]
    return value


def artifacts_in(value: identity.JsonValue) -> list[artifact.Artifact]:
    """List the artifacts anywhere inside a JSON value, in order."""
    return list(_artifacts_in(value))


def decode_medium(value: identity.JsonValue) -> tuple[bytes, str | None]:
    """Decode base64 or a base64 data URL to bytes and the media type it claims. Raises WireRefused."""
    if not isinstance(value, str):
        raise json_wire.WireRefused("is no base64 text")
    match = DATA_URL.match(value)
    try:
        data = base64.b64decode(value[match.end() :] if match else value, validate=True)
    except (binascii.Error, ValueError):
        raise json_wire.WireRefused("is no base64 text") from None
    return data, (match[1].lower() if match and match[1] else None)


async def sent(
    value: identity.JsonValue,
    *,
    write: Callable[[artifact.Artifact, str], Awaitable[identity.JsonValue]],
    place: str = "input",
) -> identity.JsonValue:
    """Replace every artifact in a value by what ``write`` makes of it.

    place: what messages call the value; ``write`` gets each artifact with the place it stands at, such as
    ``input.images[0]``. Raises MediaRefused when there are more than 64, or what ``write`` raises.
    """
    _require_few(sum(1 for _ in _artifacts_in(value)), place)
    return await _sent(value, write, place)


async def _sent(
    value: identity.JsonValue,
    write: Callable[[artifact.Artifact, str], Awaitable[identity.JsonValue]],
    place: str,
) -> identity.JsonValue:
    if artifact.is_artifact(value):
        return await write(artifact.Artifact.from_json(value), place)
    if isinstance(value, dict):
        return {key: await _sent(item, write, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [await _sent(item, write, f"{place}[{index}]") for index, item in enumerate(value)]
    return value


async def taken(
    value: identity.JsonValue,
    *,
    is_medium: Callable[[str], bool],
    read: Callable[[str], Awaitable[identity.JsonValue]],
    place: str = "output",
) -> identity.JsonValue:
    """Replace every text in a value that stands for a medium by what ``read`` makes of it.

    Raises MediaRefused when there are more than 64, or what ``read`` raises.
    """
    _require_few(sum(1 for text in _texts_in(value) if is_medium(text)), place)
    return await _taken(value, is_medium, read)


async def _taken(
    value: identity.JsonValue,
    is_medium: Callable[[str], bool],
    read: Callable[[str], Awaitable[identity.JsonValue]],
) -> identity.JsonValue:
    if isinstance(value, str):
        return await read(value) if is_medium(value) else value
    if isinstance(value, dict):
        return {key: await _taken(item, is_medium, read) for key, item in value.items()}
    if isinstance(value, list):
        return [await _taken(item, is_medium, read) for item in value]
    return value


def data_url(media_type: str, data: bytes) -> str:
    """Write bytes as a data URL (RFC 2397) in base64."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def is_data_url(text: str) -> bool:
    """Tell whether a text begins as a data URL in base64 does."""
    head = text[:128].lower()
    return head.startswith("data:") and ";base64," in head


def images_in(value: identity.JsonValue) -> int:
    """Count the images among the artifacts of a value."""
    return sum(1 for found in _artifacts_in(value) if found.media_type.startswith("image/"))


def _require_few(count: int, place: str) -> None:
    if count > MEDIA_MAX:
        raise MediaRefused(f"{place} has {count} media; one call has at most {MEDIA_MAX}")


def _artifacts_in(value: identity.JsonValue) -> Iterator[artifact.Artifact]:
    if artifact.is_artifact(value):
        yield artifact.Artifact.from_json(value)
        return
    for item in _items(value):
        yield from _artifacts_in(item)


def _texts_in(value: identity.JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in _items(value):
        yield from _texts_in(item)


def _items(value: identity.JsonValue) -> list[identity.JsonValue]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
