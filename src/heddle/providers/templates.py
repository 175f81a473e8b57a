"""Fill JSON templates: a text that is exactly a placeholder such as ``{input.prompt}`` becomes the value it names.

Pure. A template is plain JSON; nothing is computed, joined or coerced, so what goes out is what was given. Before it:
an endpoint's options. After it: the adapters that write bodies by template, and ``shaping``.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final

from heddle.core import identity
from heddle.ports import provider
from heddle.providers import json_wire

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)(?:\.([A-Za-z0-9_.\-]+))?(\?)?\}\Z")
ABSENT: Final = object()
_PLAIN: Final = ("model", "idempotency_key", "attempt_id")


class TemplateUnfilled(ValueError):
    """Say which placeholder names nothing."""


def trouble(
    template: identity.JsonValue, *, path: str, names: Collection[str], plain: Collection[str] = ()
) -> str | None:
    """Tell which placeholder of a template is none, None when all are.

    names: what may be named, with parts after a dot. plain: what may be named as a whole only.
    """
    if isinstance(template, str):
        match = _PLACEHOLDER.match(template)
        if match is None or match[1] in names:
            return None
        if match[1] not in plain:
            return f"{path} has the unknown placeholder {template!r}"
        is_wrong = match[2] or match[3]
        return f"{path} has the placeholder {template!r}; only {', '.join(names)} has parts" if is_wrong else None
    if isinstance(template, dict):
        items = [(f"{path}.{key}", value) for key, value in template.items()]
    elif isinstance(template, list):
        items = [(f"{path}[{index}]", value) for index, value in enumerate(template)]
    else:
        return None
    found = (trouble(value, path=place, names=names, plain=plain) for place, value in items)
    return next((each for each in found if each), None)


def body_trouble(template: identity.JsonValue, *, path: str = "body") -> str | None:
    """Tell which placeholder of a body template is none, None when all are."""
    return trouble(template, path=path, names=("input",), plain=_PLAIN)


def body(
    template: identity.JsonValue, request: provider.ProviderRequest, given: identity.JsonValue
) -> identity.JsonValue:
    """Fill a body template; ``given`` is the request's input with its artifacts written out.

    A string that is exactly a placeholder becomes the value it names. One that ends in ``?}`` and names nothing is
    left out of its object or list. Raises WireRefused when another one names nothing.
    """
    values = {"input": given, **{name: getattr(request, name) for name in _PLAIN}}
    try:
        return fill(template, values)
    except TemplateUnfilled as error:
        raise json_wire.WireRefused(f"{error}, which the endpoint's body asks for") from error


def fill(template: identity.JsonValue, values: Mapping[str, identity.JsonValue]) -> identity.JsonValue:
    """Fill a template.

    A placeholder that ends in ``?}`` and names nothing is left out of its object or list. Parts are keys of objects and
    places in lists. Raises TemplateUnfilled when another one names nothing.
    """
    filled = _fill(template, values)
    if filled is ABSENT:
        raise TemplateUnfilled(f"there is nothing for {template!r}")
    return filled


def _fill(template: identity.JsonValue, values: Mapping[str, identity.JsonValue]) -> identity.JsonValue:
    if isinstance(template, dict):
        filled = {key: _fill(value, values) for key, value in template.items()}
        return {key: value for key, value in filled.items() if value is not ABSENT}
    if isinstance(template, list):
        return [value for item in template if (value := _fill(item, values)) is not ABSENT]
    match = _PLACEHOLDER.match(template) if isinstance(template, str) else None
    if match is None:
        return template
    found = values[match[1]]
    for part in match[2].split(".") if match[2] else ():
        found = _part(found, part)
    if found is ABSENT and not match[3]:
        raise TemplateUnfilled(f"the {match[1]} has no {match[2]!r}")
    return found


def _part(value: identity.JsonValue, part: str) -> identity.JsonValue:
    if isinstance(value, dict):
        return value.get(part, ABSENT)
    if isinstance(value, list) and part.isascii() and part.isdigit() and len(part) < 10 and int(part) < len(value):
        return value[int(part)]
    return ABSENT
