"""One form for equal values: canonical JSON, fingerprints of requests, digests of calls.

White space, key order and ``1.0`` against ``1`` make no difference to a fingerprint; Unicode is normalised to NFC.
Canonical form after RFC 8785 where Python allows it cheaply; it is only ever compared with itself.
"""

import hashlib
import math
import unicodedata
from typing import Any

from heddle.core import json_text

JsonValue = Any  # None, bool, int, float, str, list or dict of the same; parsed at the edge


class NotJson(ValueError):
    """Say that a value cannot be stored, and where in it the trouble is."""


_Place = tuple["_Place", str | int] | None
"""Where a value is: None for the whole, else the place of what holds it and the key or index in that."""
_write = json_text.writer(sort_keys=True)


def _plain(value: Any, place: _Place, depth: int) -> JsonValue:
    if depth > 64:
        raise NotJson(f"{_named(place)} is nested more than 64 deep; flatten it or pass an artifact")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value if value.isascii() else _text(value, place)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotJson(f"{_named(place)} is {value!r}, which JSON cannot carry")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, list | tuple):
        return [_plain(item, (place, index), depth + 1) for index, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise NotJson(f"{_named(place)} has the key {key!r}; keys are strings")
        plain = {_text(key, place): _plain(item, (place, key), depth + 1) for key, item in value.items()}
        if len(plain) < len(value):
            raise NotJson(f"{_named(place)} has two keys that are the same text in Unicode's form NFC")
        return plain
    raise NotJson(f"{_named(place)} is a {type(value).__name__}, which cannot be stored; return JSON or an artifact")


def _named(place: _Place) -> str:
    """Name a place as a path, ``looks[2].prompt``."""
    parts: list[str | int] = []
    while place is not None:
        place, part = place
        parts.append(part)
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in reversed(parts))
    return path.removeprefix(".") or "the value"


def _text(value: str, place: _Place) -> str:
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NotJson(f"{_named(place)} holds half of a surrogate pair; send valid Unicode") from error
    return unicodedata.normalize("NFC", value)


def canonical(value: JsonValue) -> str:
    """Write a value in the one form that equal values share. Raises NotJson naming the path."""
    return _write(_plain(value, None, 0))


def fingerprint(value: JsonValue) -> str:
    """Give 64 hex digits that are equal for equal values. Raises NotJson naming the path."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def digest(*, kind: str, name: str, arguments: JsonValue) -> str:
    """Give the 16 hex digits by which a replayed call is recognised as the journalled one."""
    return hashlib.sha256(f"{kind}\x1f{name}\x1f{canonical(arguments)}".encode()).hexdigest()[:16]
