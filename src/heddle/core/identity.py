"""One form for equal values: canonical JSON, fingerprints of requests, digests of calls.

White space, key order and ``1.0`` against ``1`` make no difference to a fingerprint; Unicode is normalised to NFC.
Canonical form after RFC 8785 where Python allows it cheaply; it is only ever compared with itself.
"""

import hashlib
import json
import math
import unicodedata
from typing import Any

JsonValue = Any  # None, bool, int, float, str, list or dict of the same; parsed at the edge


class NotJson(ValueError):
    """Say that a value cannot be stored, and where in it the trouble is."""


def _plain(value: Any, path: str, depth: int) -> JsonValue:
    if depth > 64:
        raise NotJson(f"{path or 'the value'} is nested more than 64 deep; flatten it or pass an artifact")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotJson(f"{path or 'the value'} is {value!r}, which JSON cannot carry")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise NotJson(f"{path or 'the value'} has the key {key!r}; keys are strings")
        plain = {
            _text(key, path): _plain(item, f"{path}.{key}" if path else key, depth + 1) for key, item in value.items()
        }
        if len(plain) < len(value):
            raise NotJson(f"{path or 'the value'} has two keys that are the same text in Unicode's form NFC")
        return plain
    raise NotJson(
        f"{path or 'the value'} is a {type(value).__name__}, which cannot be stored; return JSON or an artifact"
    )


def _text(value: str, path: str) -> str:
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NotJson(f"{path or 'the value'} holds half of a surrogate pair; send valid Unicode") from error
    return unicodedata.normalize("NFC", value)


def canonical(value: JsonValue) -> str:
    """Write a value in the one form that equal values share. Raises NotJson naming the path."""
    return json.dumps(_plain(value, "", 0), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: JsonValue) -> str:
    """Give 64 hex digits that are equal for equal values. Raises NotJson naming the path."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def digest(*, kind: str, name: str, arguments: JsonValue) -> str:
    """Give the 16 hex digits by which a replayed call is recognised as the journalled one."""
    return hashlib.sha256(f"{kind}\x1f{name}\x1f{canonical(arguments)}".encode()).hexdigest()[:16]
