"""Know the twin's models: what each makes, what it costs, and how its schema looks.

Any ``owner/name`` is a model; its name tells what it makes: text (as a list of tokens), one video, or pictures. Pure:
equal predictions make equal outputs. Before it: ``twin`` with an order. After it: ``predictions`` with an output.
"""

import enum
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from heddle.core import identity
from heddle.twins.kit import calls, media, studio

PICTURES_MAX: Final = 4
NAMED: Final = re.compile(r"[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}\Z")
# The version that Replicate's own documentation uses in its examples.
_DOCUMENTED: Final = {
    "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa": "replicate/hello-world",
}
_TEXT: Final = ("llama", "gpt", "text", "hello-world", "instruct")
_VIDEO: Final = ("video", "seedance", "film")
_WORDS: Final = ("espresso", "on", "marble,", "soft", "light,", "a", "quiet", "morning", "and", "warm", "steam")
_SIDE_PX: Final = {"1:1": (64, 64), "16:9": (96, 54), "9:16": (54, 96), "4:3": (80, 60), "3:4": (60, 80)}


class Kind(enum.StrEnum):
    """Name what a model makes."""

    TEXT = "text"
    VIDEO = "video"
    PICTURES = "pictures"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of an output, as it is served."""

    media_type: str
    data: bytes


def kind_of(model: str) -> Kind:
    """Tell what a model makes by its name."""
    if any(word in model for word in _TEXT):
        return Kind.TEXT
    return Kind.VIDEO if any(word in model for word in _VIDEO) else Kind.PICTURES


def model_of_version(version: str) -> str:
    """Name the model that a version belongs to: the twin has one for every version that it does not know."""
    return _DOCUMENTED.get(version, f"twin/{version[:12]}")


def version_of(model: str) -> str:
    """Give the id of a model's only version."""
    return hashlib.sha256(model.encode()).hexdigest()


def check(model: str, given: Mapping[str, identity.JsonValue]) -> None:
    """Refuse an input that is not the model's, as Replicate does before anything runs. Raises Refused."""
    wanted = "text" if model.endswith("hello-world") else "prompt"
    if wanted not in given and not any(isinstance(value, str) for value in given.values()):
        raise calls.Refused(422, "invalid_input", f"- input: {wanted} is required\n", field=wanted)
    count = given.get("num_outputs", 1)
    if not isinstance(count, int) or not 1 <= count <= PICTURES_MAX:
        message = f"- input.num_outputs: Must be from 1 to {PICTURES_MAX}\n"
        raise calls.Refused(422, "invalid_input", message, field="num_outputs")


def price_nano_usd(model: str, given: Mapping[str, identity.JsonValue]) -> int:
    """Price a prediction: pictures by the piece, anything else at a flat rate."""
    if kind_of(model) is Kind.PICTURES:
        return 3_000_000 * _count(given)
    return 1_000_000 if kind_of(model) is Kind.TEXT else 150_000_000


def names_of(model: str, given: Mapping[str, identity.JsonValue], *, is_scenic: bool) -> list[str]:
    """Name the files of a prediction; none for a model of texts. is_scenic: it is one picture to be looked at."""
    match kind_of(model):
        case Kind.TEXT:
            return []
        case Kind.VIDEO:
            return ["out.mp4"]
        case Kind.PICTURES:
            form = scene_of(given).output_format if is_scenic else _form(given)
            suffix = "jpg" if form == "jpeg" else form
            return [f"out-{number}.{suffix}" for number in range(1 if is_scenic else _count(given))]


def file_of(seed: str, model: str, given: Mapping[str, identity.JsonValue], *, number: int) -> File:
    """Make one file of a prediction, which is nothing to look at. seed: names the prediction."""
    if kind_of(model) is Kind.VIDEO:
        return File(media_type="video/mp4", data=media.mp4(seed))
    form = _form(given)
    width_px, height_px = _SIDE_PX.get(str(given.get("aspect_ratio", "1:1")), (64, 64))
    data = media.picture(f"{seed}/{number}", form=form, width_px=width_px, height_px=height_px)
    return File(media_type=media.MEDIA_TYPES[form], data=data)


def scene_of(given: Mapping[str, identity.JsonValue]) -> studio.Picture:
    """Give the picture to be looked at that an input asks for, of the sides that it names."""
    form = "png" if _form(given) == "png" else "jpeg"
    sides = [side if isinstance(side := given.get(name), int) else 512 for name in ("width", "height")]
    return studio.scene(given, output_format=form, width_px=sides[0], height_px=sides[1])


def tokens_of(seed: str, model: str, given: Mapping[str, identity.JsonValue]) -> list[str]:
    """Write the text of a prediction, token by token."""
    if model.endswith("hello-world"):
        return ["hello ", str(given.get("text", ""))]
    digest = hashlib.sha256(seed.encode()).digest()
    words = [_WORDS[byte % len(_WORDS)] for byte in digest[:12]]
    return [words[0].capitalize(), *(f" {word}" for word in words[1:])]


def schema_of(model: str) -> dict[str, identity.JsonValue]:
    """Describe a model's input and output as Cog does."""
    output: dict[str, identity.JsonValue]
    match kind_of(model):
        case Kind.TEXT:
            output = {"type": "array", "items": {"type": "string"}, "x-cog-array-type": "iterator"}
        case Kind.VIDEO:
            output = {"type": "string", "format": "uri"}
        case Kind.PICTURES:
            output = {"type": "array", "items": {"type": "string", "format": "uri"}}
    given = {"type": "object", "properties": {"prompt": {"type": "string"}, "num_outputs": {"type": "integer"}}}
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.1.0"},
        "components": {"schemas": {"Input": given, "Output": {"title": "Output", **output}}},
    }


def _form(given: Mapping[str, identity.JsonValue]) -> str:
    form = {"jpg": "jpeg"}.get(str(given.get("output_format", "webp")), str(given.get("output_format", "webp")))
    return form if form in ("png", "jpeg", "webp") else "webp"


def _count(given: Mapping[str, identity.JsonValue]) -> int:
    count = given.get("num_outputs", 1)
    return count if isinstance(count, int) else 1
