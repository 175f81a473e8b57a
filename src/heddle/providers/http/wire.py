"""Write and read the wire form of the ``http`` adapter: body templates, artifacts inside JSON, JSON pointers, prices.

Pure but for reading artifacts through the reader it is handed. It refuses what has no place in the configured form and
never coerces. Before it: the adapter with a request. After it: the transport, and on the way back the adapter with an
outcome to make.
"""

import base64
import binascii
import dataclasses
import decimal
import json
import re
from collections.abc import Mapping
from typing import Final

from heddle.core import artifact, identity
from heddle.ports import provider
from heddle.providers import templates

_DEPTH_MAX: Final = 64
_DATA_URL: Final = re.compile(r"data:([a-z0-9.+/\-]+)?(?:;[a-z0-9=\-]+)*;base64,", re.IGNORECASE)
NANO: Final = 1_000_000_000


class WireRefused(ValueError):
    """Say why a request cannot be written or an answer not be read in the configured form."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Hold a body ready to send."""

    media_type: str
    body: bytes


_PLAIN: Final = ("model", "idempotency_key", "attempt_id")


def template_trouble(template: identity.JsonValue, *, path: str = "body") -> str | None:
    """Tell which placeholder of a body template is none, None when all are."""
    return templates.trouble(template, path=path, names=("input",), plain=_PLAIN)


def render(
    template: identity.JsonValue, request: provider.ProviderRequest, given: identity.JsonValue
) -> identity.JsonValue:
    """Fill a body template; ``given`` is the request's input with its artifacts written out.

    A string that is exactly a placeholder becomes the value it names. One that ends in ``?}`` and names nothing is
    left out of its object or list. Raises WireRefused when another one names nothing.
    """
    values = {"input": given, **{name: getattr(request, name) for name in _PLAIN}}
    try:
        return templates.fill(template, values)
    except templates.TemplateUnfilled as error:
        raise WireRefused(f"{error}, which the endpoint's body asks for") from error


def has_artifact(value: identity.JsonValue) -> bool:
    """Tell whether an artifact is anywhere inside a JSON value."""
    if isinstance(value, dict):
        return artifact.is_artifact(value) or any(map(has_artifact, value.values()))
    return isinstance(value, list) and any(map(has_artifact, value))


async def write_out(
    value: identity.JsonValue, *, reader: provider.ArtifactReader, as_data_url: bool
) -> identity.JsonValue:
    """Replace every artifact in a JSON value by its bytes in base64, ``as_data_url`` as a data URL."""
    if artifact.is_artifact(value):
        reference = artifact.Artifact.from_json(value)
        text = base64.b64encode(await reader.read(reference)).decode("ascii")
        return f"data:{reference.media_type};base64,{text}" if as_data_url else text
    if isinstance(value, dict):
        return {key: await write_out(item, reader=reader, as_data_url=as_data_url) for key, item in value.items()}
    if isinstance(value, list):
        return [await write_out(item, reader=reader, as_data_url=as_data_url) for item in value]
    return value


def artifacts_in(value: identity.JsonValue) -> list[artifact.Artifact]:
    """List the artifacts anywhere inside a JSON value, in order."""
    if artifact.is_artifact(value):
        return [artifact.Artifact.from_json(value)]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for item in items for found in artifacts_in(item)]


def parse_json(body: bytes) -> identity.JsonValue:
    """Parse a JSON text strictly: UTF-8, no NaN, no nesting beyond 64. Raises WireRefused."""
    try:
        value = _STRICT.decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireRefused(f"is not JSON: {str(error)[:120]}") from None
    # No deeper than it has opening brackets, which are counted a hundred times faster than the value is walked.
    if body.count(b"{") + body.count(b"[") > _DEPTH_MAX and _is_deeper(value, _DEPTH_MAX):
        raise WireRefused(f"is JSON nested more than {_DEPTH_MAX} deep")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Made once: making one costs as much as its use on a small body.
_STRICT: Final = json.JSONDecoder(parse_constant=_refuse_constant)
_ENCODER: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False)


def write_json(value: identity.JsonValue) -> bytes:
    """Write a JSON text in UTF-8. Raises ValueError for what JSON cannot carry."""
    return _ENCODER.encode(value).encode()


def _is_deeper(value: identity.JsonValue, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)


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


def decode_medium(value: identity.JsonValue) -> tuple[bytes, str | None]:
    """Decode base64 or a base64 data URL to bytes and the media type it claims. Raises WireRefused."""
    if not isinstance(value, str):
        raise WireRefused("is no base64 text")
    match = _DATA_URL.match(value)
    try:
        data = base64.b64decode(value[match.end() :] if match else value, validate=True)
    except (binascii.Error, ValueError):
        raise WireRefused("is no base64 text") from None
    return data, (match[1].lower() if match and match[1] else None)


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


def header_trouble(name: str, value: str) -> str | None:
    """Tell why a header cannot be sent as configured, None when it can."""
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
        return "is no header name"
    if name.lower() in _OWN_HEADERS:
        return "is set by Heddle itself"
    if not value.isprintable() or not value.isascii():
        return "has a value that is not printable ASCII on one line"
    return None


_OWN_HEADERS: Final = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "accept-encoding",
        "connection",
        "expect",
        "te",
        "upgrade",
    }
)


def headers(configured: Mapping[str, str], *, secret: str | None) -> dict[str, str]:
    """Fill ``{secret}`` into the configured headers; a secret that no header names goes out as a bearer token."""
    filled = {name: value.replace("{secret}", secret or "") for name, value in configured.items()}
    if secret and not any("{secret}" in value for value in configured.values()):
        filled["Authorization"] = f"Bearer {secret}"
    return filled
