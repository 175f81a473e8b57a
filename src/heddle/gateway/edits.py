"""Read what OpenAI's clients send to have pictures edited: a form with files, which become artifacts of the tenant.

What is wrong with a request is told before anything of it is kept. What kind a file is, is read from its bytes and
never from what its sender says. Before it: ``openai_door``. After it: ``mapping``, with texts as texts, a few of them
as numbers, and pictures as artifacts.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from heddle.client import media
from heddle.core import artifact
from heddle.gateway import files, refusals, uploads
from heddle.gateway import house as house_module
from heddle.ports import blobs, records
from heddle.store import media as stored_media

IMAGE = "image"
PICTURE_FIELDS = (IMAGE, "mask", "markup")
"""Fields that are pictures in OpenAI's form (openai 3.57.0, ``types/image_edit_params.py``)."""
WHOLE_NUMBERS = frozenset(
    {"n", "output_compression", "partial_images", "frame_count", "frame_duration_ms", "seed", "width", "height"}
)
"""Texts of a form that models take as whole numbers; OpenAI's, and what other models' are usually called."""
KINDS = media.PICTURES & stored_media.SNIFFED
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}\Z")
_FLAGS = {"true": True, "false": False}


async def sent(house: house_module.House, request: web.Request) -> tuple[dict[str, Any], dict[str, list[uploads.Part]]]:
    """Read the form: its texts by name, and its files by name. Raises Refusal."""
    limits = house.limits
    within = uploads.bounds(limits, text_bytes_max=limits.gateway_inline_bytes_max, files_max=files.FILES_MAX)
    parts = await uploads.parts(request, within=within, field=IMAGE)
    pictures: dict[str, list[uploads.Part]] = {}
    for part in parts:
        if part.is_file:
            pictures.setdefault(uploads.bare(part.name), []).append(part)
    return _texts([part for part in parts if not part.is_file]), pictures


def check(given: Mapping[str, Any], pictures: Mapping[str, Sequence[uploads.Part]]) -> None:
    """Refuse what no model could edit: no picture, a file that is none, an answer in pieces. Raises Refusal."""
    if given.get("stream"):
        raise refusals.invalid("edited pictures are not streamed; leave stream out", field="stream")
    if IMAGE not in pictures and IMAGE not in given:
        more = "; a mask needs the picture it belongs to" if {"mask"} & {*pictures, *given} else ""
        raise refusals.invalid(f"send the picture to edit as the file {IMAGE}, several as {IMAGE}[]{more}", field=IMAGE)
    for name, parts in pictures.items():
        for part in parts:
            if name in given:
                raise refusals.invalid(f"{name} came as a file and as a text", field=name)
            _check_kind(stored_media.sniff(part.content[: stored_media.PREFIX_BYTES]), field=name)


async def kept(
    house: house_module.House,
    tenant: records.Tenant,
    given: Mapping[str, Any],
    pictures: Mapping[str, Sequence[uploads.Part]],
) -> dict[str, Any]:
    """Keep the files, and give all fields with them as artifacts: one by itself, a list where a list was sent.

    A picture that was uploaded before may be named by its id or its link. Raises Refusal.
    """
    taken, _ = await files.taken_in(house, tenant, dict(given))
    assert isinstance(taken, dict)
    for name in PICTURE_FIELDS:
        for each in _as_list(taken.get(name, [])):
            if not isinstance(each, artifact.Artifact):
                raise refusals.invalid(f"{name} must be a file, or the id or link of one of yours", field=name)
            _check_kind(each.media_type, field=name)
    for name, parts in pictures.items():
        references = [await _kept(house, tenant, part, field=name) for part in parts]
        is_list = len(parts) > 1 or parts[0].name != name
        taken[name] = references if is_list else references[0]
    return taken


async def _kept(
    house: house_module.House, tenant: records.Tenant, part: uploads.Part, *, field: str
) -> artifact.Artifact:
    try:
        return await files.stored(house, tenant, part.content, media_type=None)
    except blobs.BlobRefused as error:
        raise refusals.of_blob(error, field=field) from error


def _check_kind(media_type: str | None, *, field: str) -> None:
    if media_type not in KINDS:
        found = media_type or "no picture of a known kind"
        message = f"{field} must be a picture ({', '.join(sorted(KINDS))}); the bytes are {found}"
        raise refusals.invalid(message, field=field, code="unsupported_file_mimetype")


def _texts(parts: Sequence[uploads.Part]) -> dict[str, Any]:
    """Give the texts of a form by name; what is named with brackets is a list. Raises Refusal."""
    found: dict[str, Any] = {}
    for part in parts:
        name = uploads.bare(part.name)
        value = _value(name, part.content)
        if part.name != name:
            found.setdefault(name, [])
        if isinstance(found.get(name), list):
            found[name].append(value)
        elif name in found:
            raise refusals.invalid(f"{name} came twice", field=name)
        else:
            found[name] = value
    return found


def _value(name: str, content: bytes) -> Any:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise refusals.invalid(f"{name} is no UTF-8 text; send a file with its name", field=name) from error
    if name == "stream":
        if text not in _FLAGS:
            raise refusals.invalid("stream must be true or false", field=name)
        return _FLAGS[text]
    if name not in WHOLE_NUMBERS:
        return text
    if _WHOLE_NUMBER.match(text) is None:
        raise refusals.invalid(f"{name} must be a whole number", field=name)
    return int(text)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
