"""Write and read the wire form of Vertex AI: predictions, operations, and media inside both.

Pure but for reading artifacts through the reader it is handed. Media go out and come back as
``{"bytesBase64Encoded": …, "mimeType": …}`` or as ``{"gcsUri": …}``. A handle is the operation's whole address, so that
nothing about a job is derived from settings that may have changed since. Sources: cloud.google.com/vertex-ai, REST
reference of projects.locations.endpoints and publishers.models, and "Veo on Vertex AI API", read 2026-11-29. Before it:
the adapter with a request. After it: the transport, and on the way back the adapter.
"""

import base64
import dataclasses
import re
from collections.abc import Mapping
from typing import Final
from urllib import parse

from heddle.core import artifact, identity
from heddle.ports import provider
from heddle.providers import json_wire

REQUEST_BYTES_MAX: Final = 20 * 1024**2
_SEGMENT: Final = r"[A-Za-z0-9][A-Za-z0-9._\-@]*"
_RESOURCE: Final = re.compile(
    rf"projects/{_SEGMENT}/locations/{_SEGMENT}/(?:endpoints/{_SEGMENT}|publishers/{_SEGMENT}/models/{_SEGMENT})\Z"
)
_OPERATION: Final = re.compile(rf"projects/{_SEGMENT}/locations/{_SEGMENT}/(?:{_SEGMENT}/)*operations/{_SEGMENT}\Z")
_OF_MODEL: Final = re.compile(rf"(projects/.+/(?:models|endpoints)/{_SEGMENT})/operations/{_SEGMENT}\Z")
_GCS: Final = re.compile(r"gs://([a-z0-9][a-z0-9._\-]{1,221}[a-z0-9])/(.{1,1024})\Z")
_NAME_CHARACTERS_MAX: Final = 1_024
_TEXT_CHARACTERS_MAX: Final = 2_000


class AnswerRefused(ValueError):
    """Say why an answer or a handle is not one of Vertex AI."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Hold what an operation shows. ``error_code``: of google.rpc.Code, None when it has not failed."""

    name: str
    is_done: bool
    error_code: int | None
    error: str
    response: identity.JsonValue


def is_resource(name: str) -> bool:
    """Tell whether a text names an endpoint, or a publisher's model."""
    return _RESOURCE.match(name) is not None


async def with_media(value: identity.JsonValue, *, reader: provider.ArtifactReader) -> identity.JsonValue:
    """Replace every artifact by its bytes and media type, as Vertex AI takes media."""
    if artifact.is_artifact(value):
        reference = artifact.Artifact.from_json(value)
        text = base64.b64encode(await reader.read(reference)).decode("ascii")
        return {"bytesBase64Encoded": text, "mimeType": reference.media_type}
    if isinstance(value, dict):
        return {key: await with_media(item, reader=reader) for key, item in value.items()}
    if isinstance(value, list):
        return [await with_media(item, reader=reader) for item in value]
    return value


def links_in(value: identity.JsonValue, *, storage_url: str) -> list[str]:
    """List the media of an answer as links, each once, in order. Raises AnswerRefused for a place that is none."""
    if link := _link(value, storage_url=storage_url):
        return [link]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return list(dict.fromkeys(each for item in items for each in links_in(item, storage_url=storage_url)))


def with_kept(
    value: identity.JsonValue, kept: Mapping[str, identity.JsonValue], *, storage_url: str
) -> identity.JsonValue:
    """Give an answer with each medium replaced by what is kept of it."""
    if link := _link(value, storage_url=storage_url):
        return kept[link]
    if isinstance(value, dict):
        return {key: with_kept(item, kept, storage_url=storage_url) for key, item in value.items()}
    if isinstance(value, list):
        return [with_kept(item, kept, storage_url=storage_url) for item in value]
    return value


def _link(value: identity.JsonValue, *, storage_url: str) -> str | None:
    """Give the link of a medium: a data URL, or an object's address in Cloud Storage's JSON API; None for no medium."""
    if not isinstance(value, dict):
        return None
    inline, place = value.get("bytesBase64Encoded"), value.get("gcsUri")
    if isinstance(inline, str) and inline:
        media_type = value.get("mimeType")
        is_type = isinstance(media_type, str) and re.fullmatch(r"[a-z0-9.+\-]+/[a-z0-9.+\-]+", media_type)
        return f"data:{media_type if is_type else ''};base64,{inline}"
    if not isinstance(place, str) or not place:
        return None
    match = _GCS.match(place)
    if match is None or not match[2].isprintable():
        raise AnswerRefused(f"has the medium {place[:120]!r}, which is not of the form gs://bucket/object")
    return f"{storage_url}/storage/v1/b/{match[1]}/o/{parse.quote(match[2], safe='')}?alt=media"


def read_operation(body: bytes) -> Operation:
    """Read an operation. Raises AnswerRefused."""
    value = _object(body)
    name, error = value.get("name"), value.get("error")
    if not isinstance(name, str) or len(name) > _NAME_CHARACTERS_MAX or not _OPERATION.match(name):
        raise AnswerRefused(f"it has the name {str(name)[:120]!r}, which is no operation's")
    code = error.get("code") if isinstance(error, dict) else None
    message = error.get("message") if isinstance(error, dict) else ""
    return Operation(
        name=name,
        is_done=value.get("done") is True,
        error_code=(code if type(code) is int else 2) if isinstance(error, dict) else None,
        error=message[:_TEXT_CHARACTERS_MAX] if isinstance(message, str) else "",
        response=value.get("response"),
    )


def read_handle(handle: str, *, base_url: str) -> str:
    """Give the operation's name. Raises AnswerRefused for a handle that leads to another origin."""
    name = handle.removeprefix(f"{base_url}/v1/")
    if name == handle or not _OPERATION.match(name):
        raise AnswerRefused("the handle leads to another place than the endpoint's url")
    return name


def owner_of(operation: str) -> str | None:
    """Give the model or endpoint that an operation is asked after through; None for one that is asked itself."""
    match = _OF_MODEL.match(operation)
    return match[1] if match else None


def read_error_code(body: bytes) -> str:
    """Read the canonical name of a refusal; empty when there is none."""
    try:
        error = _object(body).get("error")
    except AnswerRefused:
        return ""
    code = error.get("status") if isinstance(error, dict) else None
    return code[:100] if isinstance(code, str) else ""


def is_all_filtered(response: identity.JsonValue) -> bool:
    """Tell whether a finished operation has media that were filtered, and none besides."""
    if not isinstance(response, dict):
        return False
    filtered = response.get("raiMediaFilteredCount")
    return type(filtered) is int and filtered > 0 and not response.get("videos")


def _object(body: bytes) -> dict[str, identity.JsonValue]:
    try:
        value = json_wire.parse_json(body)
    except json_wire.WireRefused as error:
        raise AnswerRefused(f"it {error}") from None
    if not isinstance(value, dict):
        raise AnswerRefused("it is no JSON object")
    return value
