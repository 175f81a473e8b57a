"""Look through JSON values that came from outside, before anything is made of them.

Decides whether a value can be stored and replayed, and where in it the trouble is: depth, texts the database cannot
hold, numbers JSON cannot carry, sizes. It refuses to know what a value means; the workflow's own types decide that
next. Nothing here recurses, so depth cannot hurt it.
"""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from heddle.core import artifact, identity

NESTING_MAX = 48
"""Deepest value taken at the doors; ``core.identity`` stops at 64, and a journal wraps a value a few levels deeper."""
PROBLEMS_MAX = 20
"""Most problems reported at once; a caller mends the first few before reading the rest."""
ARTIFACTS_MAX = 1_000
"""Most references to artifacts in one value; each is looked up."""
PATH_CHARACTERS_MAX = 200

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Say what is wrong with one field, and what to do. ``field`` is a path such as ``input.scenes[2]``."""

    field: str
    message: str


def problems(value: identity.JsonValue, *, field: str) -> list[Problem]:
    """List what keeps a value from being stored, at most ``PROBLEMS_MAX`` of it."""
    found: list[Problem] = []
    for path, item, depth in _walk(value, field):
        message = _trouble(item, depth)
        if message is not None:
            found.append(Problem(field=path[:PATH_CHARACTERS_MAX], message=message))
            if len(found) >= PROBLEMS_MAX:
                break
    return found


def is_storable_text(text: str) -> bool:
    """Tell whether the database can hold a text: no NUL, no half of a surrogate pair."""
    return _UNSTORABLE.search(text) is None


def size_bytes(value: identity.JsonValue) -> int:
    """Give the size of a value as compact JSON in UTF-8. The value has no ``problems``."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def references(value: identity.JsonValue, *, field: str) -> list[tuple[str, artifact.Artifact]]:
    """List the artifacts inside an encoded value with their paths, in order of appearance."""
    return [
        (path, artifact.Artifact.from_json(item))
        for path, item, _ in _walk(value, field)
        if isinstance(item, dict) and artifact.is_artifact(item)
    ]


def with_artifacts(
    value: identity.JsonValue, replace: Callable[[artifact.Artifact], artifact.Artifact]
) -> identity.JsonValue:
    """Give the value with every artifact replaced. The value is at most ``NESTING_MAX`` deep."""
    if isinstance(value, dict):
        if artifact.is_artifact(value):
            return replace(artifact.Artifact.from_json(value)).as_json()
        return {key: with_artifacts(item, replace) for key, item in value.items()}
    if isinstance(value, list):
        return [with_artifacts(item, replace) for item in value]
    return value


def with_marks(value: dict[str, Any]) -> dict[str, Any]:
    """Give a caller's value with artifact records in their marked form; everything else stays as it is."""
    return {key: _marked(item, 0) for key, item in value.items()}


def _marked(value: Any, depth: int) -> Any:
    if isinstance(value, artifact.Artifact):
        return value.as_json()
    if depth > NESTING_MAX:
        return value  # `problems` refuses it next.
    if isinstance(value, dict):
        return {key: _marked(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(item, depth + 1) for item in value]
    return value


def _walk(value: identity.JsonValue, field: str) -> Iterator[tuple[str, Any, int]]:
    """Yield path, value and depth of everything inside, parents first; what is too deep is yielded, not entered."""
    stack: list[tuple[str, Any, int]] = [(field, value, 0)]
    while stack:
        path, item, depth = stack.pop()
        yield path, item, depth
        if depth > NESTING_MAX:
            continue
        if isinstance(item, dict):
            stack.extend((f"{path}.{key}", inner, depth + 1) for key, inner in reversed(item.items()))
        elif isinstance(item, list | tuple):
            stack.extend((f"{path}[{index}]", inner, depth + 1) for index, inner in reversed(list(enumerate(item))))


def _trouble(item: Any, depth: int) -> str | None:
    if depth > NESTING_MAX:
        return f"is nested more than {NESTING_MAX} deep; flatten it, or upload it and pass the artifact's id"
    if item is None or isinstance(item, bool | int | list | tuple):
        return None
    if isinstance(item, str):
        return None if is_storable_text(item) else _TEXT
    if isinstance(item, float):
        return None if math.isfinite(item) else "is not a finite number; JSON cannot carry it"
    if isinstance(item, dict):
        for key in item:
            if not isinstance(key, str):
                return f"has a key of type {type(key).__name__}; keys are strings"
            if not is_storable_text(key):
                return f"has a key that {_TEXT}"
        return None
    return f"is a {type(item).__name__}, which JSON cannot carry; pass JSON values or an artifact"


_TEXT = "holds a NUL or half of a surrogate pair, which cannot be stored; send valid Unicode without U+0000"
