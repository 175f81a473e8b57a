"""Read a provider's JSON answer strictly: one object, UTF-8, no NaN, bounded depth.

Adapters read their own fields from the object; what is absent or of another type is a default here and a judgement
there. This module raises one error and knows no provider. Before it: an adapter with a whole body or one event of a
stream. After it: the adapter's own record.
"""

import json
from collections.abc import Mapping
from typing import Final

from heddle.core import identity

DEPTH_MAX: Final = 64
COUNT_MAX: Final = 10**11  # what is above is a lie or a mistake, and counts as not told
JsonObject = dict[str, identity.JsonValue]


class AnswerRefused(ValueError):
    """Say why an answer is not of the form it must have."""


def read_object(body: bytes | str) -> JsonObject:
    """Parse a body as one JSON object. Raises AnswerRefused."""
    try:
        value = _DECODER.decode(body if isinstance(body, str) else body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise AnswerRefused(f"it is not JSON: {str(error)[:120]}") from None
    if not isinstance(value, dict):
        raise AnswerRefused("it is no JSON object")
    if _is_deeper(value, DEPTH_MAX):
        raise AnswerRefused(f"it is nested more than {DEPTH_MAX} deep")
    return value


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


_YEAR_S: Final = 31_536_000.0


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def _is_deeper(value: identity.JsonValue, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)
