"""Write Python values in the one stored form, and read it back.

The stored form is JSON in which calls, artifacts and user keys that begin with ``$`` are marked (``core.plan``).
Python types with an obvious JSON form are written in it; everything else is refused with its place named, never turned
into text. Nothing here validates against a declared type: that is ``types``. Neighbours: calls are encoded when they
are made, outputs when they arrive.
"""

import dataclasses
import datetime
import decimal
import enum
import functools
import math
import uuid
from typing import Any

import pydantic

from heddle.core import artifact, identity, json_text, plan
from heddle.program import call

DEPTH_MAX = 64
INLINE_BYTES_MAX = 65_536
_stored = json_text.writer()


class Held:
    """Carry an artifact through pydantic, which would otherwise take the record apart."""

    __slots__ = ("artifact",)

    def __init__(self, held: artifact.Artifact) -> None:
        self.artifact = held


@functools.lru_cache(maxsize=1024)
def _field_names(record: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(record))


def _at(path: str) -> str:
    return path or "the value"


def encode(
    value: object, *, path: str = "", edges: set[int] | None = None, owner: object = None, depth: int = 0
) -> identity.JsonValue:
    """Write a value in the stored form.

    ``edges`` collects the ordinals of the calls found; None means that calls are not allowed here. ``owner`` is the
    activation they must belong to. Raises identity.NotJson naming the place.
    """
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return value
    if kind is float:
        return _finite(value, path)
    if kind is call.Call:
        return _edge(value, path, edges, owner)  # type: ignore[arg-type]
    if kind is artifact.Artifact:
        return value.as_json()  # type: ignore[attr-defined]
    if depth >= DEPTH_MAX:
        raise identity.NotJson(f"{_at(path)} is nested more than {DEPTH_MAX} deep; flatten it or pass an artifact")
    if kind is list or kind is tuple:
        assert isinstance(value, list | tuple)
        return [
            encode(item, path=f"{path}[{index}]", edges=edges, owner=owner, depth=depth + 1)
            for index, item in enumerate(value)
        ]
    if isinstance(value, dict):
        return {
            _key(key, path): encode(
                item, path=f"{path}.{key}" if path else str(key), edges=edges, owner=owner, depth=depth + 1
            )
            for key, item in value.items()
        }
    return _encode_rare(value, path=path, edges=edges, owner=owner, depth=depth)


def _encode_rare(value: object, *, path: str, edges: set[int] | None, owner: object, depth: int) -> identity.JsonValue:
    match value:
        case Held():
            return value.artifact.as_json()
        case enum.Enum():
            plain: object = value.value
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float():
            return _finite(float(value), path)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case uuid.UUID() | decimal.Decimal() | pydantic.AnyUrl():
            return str(value)
        case list() | tuple():
            plain = list(value)
        case pydantic.BaseModel():
            plain = value.model_dump(by_alias=True, warnings=False)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            plain = {name: getattr(value, name) for name in _field_names(type(value))}
        case _:
            raise identity.NotJson(
                f"{_at(path)} is a {type(value).__name__}, which cannot be stored; "
                "pass JSON values, a dataclass, a pydantic model or an artifact"
            )
    return encode(plain, path=path, edges=edges, owner=owner, depth=depth + 1)


def _finite(value: object, path: str) -> float:
    assert isinstance(value, float)
    if not math.isfinite(value):
        raise identity.NotJson(f"{_at(path)} is {value!r}, which JSON cannot carry")
    return value


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise identity.NotJson(f"{_at(path)} has the key {key!r}; keys are strings")
    return plan.escape(str.__str__(key))


def _edge(found: call.Call[Any], path: str, edges: set[int] | None, owner: object) -> dict[str, Any]:
    if edges is None:
        raise identity.NotJson(f"{_at(path)} is {found!r}; only a workflow may pass a call on")
    if call.owner_of(found) is not owner:
        raise identity.NotJson(f"{_at(path)} is {found!r} of another run; pass its result instead")
    edges.add(call.ordinal_of(found))
    return call.edge(found)


def decode(value: identity.JsonValue) -> Any:
    """Read the stored form: user keys as they were, artifacts as artifacts. Nothing that can change is shared."""
    if isinstance(value, dict):
        if artifact.MARK in value:
            return artifact.Artifact.from_json(value)
        return {plan.unescape(key): decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def take(found: call.Call[Any], output: identity.JsonValue) -> Any:
    """Give the Python value a call stands for, out of its encoded output. Raises plan.ProjectionMissing."""
    decoded = call.decode_of(found)(output)
    path = call.path_of(found)
    if not path:
        return decoded
    part = plan.project(output, list(path))
    for key in path:
        try:
            decoded = _part(decoded, key)
        except (AttributeError, LookupError, TypeError):
            # The author's type names the field otherwise than its JSON does (an alias). Edges see the JSON.
            return decode(part)
    return decoded


def _part(value: Any, key: str | int) -> Any:
    if dataclasses.is_dataclass(value) or isinstance(value, pydantic.BaseModel):
        return getattr(value, str(key))
    return value[key]


def size_bytes(encoded: identity.JsonValue) -> int:
    """Give the size of an encoded value as it is stored, in bytes of UTF-8."""
    text = _stored(encoded)
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def oversize(encoded: identity.JsonValue, *, place: str, bytes_max: int = INLINE_BYTES_MAX) -> str | None:
    """Give the sentence that refuses a value over ``bytes_max``, naming its innermost part over it, or None."""
    if encoded is None or isinstance(encoded, bool | float) or (isinstance(encoded, int) and encoded.bit_length() < 64):
        return None
    size = size_bytes(encoded)
    if size <= bytes_max:
        return None
    for _ in range(DEPTH_MAX):
        if isinstance(encoded, dict):
            parts = [(f"{place}.{key}", item) for key, item in encoded.items()]
        elif isinstance(encoded, list):
            parts = [(f"{place}[{index}]", item) for index, item in enumerate(encoded)]
        else:
            break
        large = [(name, item) for name, item in parts if size_bytes(item) > bytes_max]
        if not large:
            break
        place, encoded = large[0]
        size = size_bytes(encoded)
    return f"{place} is {size:,} bytes; inline a value may be {bytes_max:,}: store it as an artifact and pass that"
