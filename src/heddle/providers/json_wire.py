"""Read and write JSON at the border: strict text, fields of an answer, JSON pointers, dollars and counts.

Strict means UTF-8, no NaN and no nesting beyond 64. Nothing is coerced: a field that is absent or of another type is a
default or None where the reader says so, and else refused. This module knows no provider and judges no answer. Before
it: an adapter with a value to send, a whole body or one event of a stream. After it: the transport, or the adapter's
own record.
"""

import decimal
import json
from collections.abc import Mapping
from typing import Final

from heddle.core import identity

DEPTH_MAX: Final = 64
COUNT_MAX: Final = 10**11  # what is above is a lie or a mistake, and counts as not told
NANO: Final = 1_000_000_000
_YEAR_S: Final = 31_536_000.0
JsonObject = dict[str, identity.JsonValue]


class WireRefused(ValueError):
    """Say why a request cannot be written or an answer not be read, in words that follow the name of what it is."""


class AnswerRefused(ValueError):
    """Say why an answer is not of the form it must have, in a sentence of its own."""


def parse_json(body: bytes | str) -> identity.JsonValue:
    """Parse a JSON text strictly. Raises WireRefused."""
    try:
        text = body if isinstance(body, str) else body.decode("utf-8")
        value = _STRICT.decode(text)
    except (ValueError, RecursionError) as error:
        raise WireRefused(f"is not JSON: {str(error)[:120]}") from None
    # No deeper than it has opening brackets, which are counted a hundred times faster than the value is walked.
    if text.count("{") + text.count("[") > DEPTH_MAX and _is_deeper(value, DEPTH_MAX):
        raise WireRefused(f"is JSON nested more than {DEPTH_MAX} deep")
    return value


def read_object(body: bytes | str) -> JsonObject:
    """Parse a body as one JSON object. Raises AnswerRefused."""
    try:
        value = parse_json(body)
    except WireRefused as error:
        raise AnswerRefused(f"it {error}") from None
    if not isinstance(value, dict):
        raise AnswerRefused("it is no JSON object")
    return value


def write_json(value: identity.JsonValue) -> bytes:
    """Write a JSON text in UTF-8. Raises ValueError for what JSON cannot carry."""
    return _ENCODER.encode(value).encode()


def read_part(value: Mapping[str, identity.JsonValue], key: str) -> JsonObject:
    """Give the object at a key; an empty one when there is none."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def read_text(value: Mapping[str, identity.JsonValue], key: str) -> str:
    """Give the text at a key; empty when there is none."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def read_count(value: Mapping[str, identity.JsonValue], key: str) -> int | None:
    """Give the whole number at a key; None when there is none or it is out of 0 to 100,000,000,000."""
    found = value.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= COUNT_MAX else None


def read_seconds(value: Mapping[str, identity.JsonValue], key: str) -> float | None:
    """Give the number of seconds at a key; None when there is none or it is out of 0 to a year."""
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= _YEAR_S:
        return None
    return float(found)


def pointer_trouble(pointer: str) -> str | None:
    """Tell why a text is no JSON pointer (RFC 6901), None when it is one."""
    if pointer and not pointer.startswith("/"):
        return f"is {pointer!r}; a JSON pointer is empty or begins with /"
    return None


def follow(value: identity.JsonValue, pointer: str) -> identity.JsonValue:
    """Give what a JSON pointer (RFC 6901) points at. Raises WireRefused naming the part that is missing."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise WireRefused(f"has nothing at {pointer!r}: no {name!r}")
    return value


def replaced(value: identity.JsonValue, pointer: str, new: identity.JsonValue) -> identity.JsonValue:
    """Give a copy of a JSON value with what the pointer points at replaced. The pointer must lead somewhere."""
    if not pointer:
        return new
    head, _, rest = pointer[1:].partition("/")
    name = head.replace("~1", "/").replace("~0", "~")
    rest = f"/{rest}" if "/" in pointer[1:] else ""
    if isinstance(value, dict):
        return {key: replaced(item, rest, new) if key == name else item for key, item in value.items()}
    assert isinstance(value, list)
    return [replaced(item, rest, new) if index == int(name) else item for index, item in enumerate(value)]


def cost_nano_usd(value: identity.JsonValue, pointer: str) -> int | None:
    """Read dollars at a pointer as nano-dollars, half up; None when absent, negative or no number."""
    try:
        found = follow(value, pointer)
        if isinstance(found, bool) or not isinstance(found, int | float | str):
            return None
        nano = (decimal.Decimal(str(found)) * NANO).to_integral_value(decimal.ROUND_HALF_UP)
    except (WireRefused, decimal.InvalidOperation):
        return None
    return int(nano) if 0 <= nano < decimal.Decimal(2**63) else None


def count(value: identity.JsonValue, pointer: str | None) -> int | None:
    """Read a count of what was used at a pointer; None without one, when absent, negative or no whole number."""
    if pointer is None:
        return None
    try:
        found = follow(value, pointer)
    except WireRefused:
        return None
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Made once: making one costs as much as its use on a small body.
_STRICT: Final = json.JSONDecoder(parse_constant=_refuse_constant)
_ENCODER: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False)


def _is_deeper(value: identity.JsonValue, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)
