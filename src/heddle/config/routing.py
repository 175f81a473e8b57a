"""Read what ``heddle.toml`` says of where calls may go and which results are good enough.

Neighbours: ``deployment`` hands the values in; the law is ``core.policy.objective`` and ``core.policy.quality``.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping

from heddle.core.policy import objective, quality

REGIONS_MAX = 16
_REGION = re.compile(r"[a-z0-9][a-z0-9_\-]{0,39}\Z")
_OBJECTIVES = ", ".join(each.value for each in objective.Objective)


class RoutingRefused(ValueError):
    """Say which value is wrong and what it may be."""


def regions(value: object) -> tuple[str, ...]:
    """Read a list of regions, sorted. Raises RoutingRefused."""
    rule = f"a list of one to {REGIONS_MAX} names of a-z 0-9 _ -, each once"
    if not isinstance(value, list) or not all(isinstance(each, str) and _REGION.match(each) for each in value):
        raise RoutingRefused(f"regions is {value!r}; it must be {rule}")
    if not 1 <= len(value) <= REGIONS_MAX or len(set(value)) < len(value):
        raise RoutingRefused(f"regions is {value!r}; it must be {rule}")
    return tuple(sorted(value))


def wanted(value: object) -> objective.Objective:
    """Read an objective. Raises RoutingRefused."""
    if not isinstance(value, str) or value not in objective.Objective._value2member_map_:
        raise RoutingRefused(f"objective is {value!r}; it must be one of {_OBJECTIVES}")
    return objective.Objective(value)


def gates(value: object) -> quality.QualityOptions:
    """Read the quality gates of a model. Raises RoutingRefused naming the key."""
    if not isinstance(value, dict):
        raise RoutingRefused(f"quality is {value!r}; it must be a table")
    hints = typing.get_type_hints(quality.QualityOptions)
    names = {field.name for field in dataclasses.fields(quality.QualityOptions)}
    unknown = set(value) - names
    if unknown:
        raise RoutingRefused(f"quality has the unknown key {min(unknown)!r}; it may have {', '.join(sorted(names))}")
    for key, given in value.items():
        if not _fits(given, hints[key]):
            raise RoutingRefused(f"quality {key} is {given!r}, which is not of its type")
    try:
        return quality.QualityOptions(**value)
    except ValueError as error:
        raise RoutingRefused(f"quality {error}") from error


def gates_json(options: quality.QualityOptions) -> dict[str, object]:
    """Give the form gates are stored in."""
    return dataclasses.asdict(options)


def stored_gates(value: Mapping[str, object]) -> quality.QualityOptions:
    """Read back what ``gates_json`` gave; a key that a newer release wrote is left out."""
    names = {field.name for field in dataclasses.fields(quality.QualityOptions)}
    known: dict[str, typing.Any] = {key: given for key, given in value.items() if key in names}
    return quality.QualityOptions(**known)


def _fits(given: object, kind: object) -> bool:
    allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if isinstance(given, bool):
        return bool in allowed
    return isinstance(given, allowed) or (float in allowed and isinstance(given, int))
