"""Read bodies: capped before they are parsed, checked for depth before they are walked, parsed at the edge once.

Malformed JSON is ``400``; JSON of the wrong form is ``422`` and names the field. Nothing here knows what a request
means.
"""

import json
from typing import Any, NoReturn, TypeVar

import django.http
import pydantic

from heddle import client
from heddle.api import problems
from heddle.client import values

_Form = TypeVar("_Form", bound=pydantic.BaseModel)
CHUNK_BYTES = 65_536


def read(request: django.http.HttpRequest, *, bytes_max: int) -> bytes:
    """Give the whole body of at most ``bytes_max``.

    Raises Refusal ``too_large`` without reading further, ``truncated``.
    """
    length = content_length(request)
    if length is not None and length > bytes_max:
        raise problems.Refusal("too_large", f"The body has {length} bytes; at most {bytes_max} are read.")
    if length is None and "Transfer-Encoding" in request.headers:
        # WSGI shows a body of no announced length as empty; taking it for an empty one would be a lie.
        raise problems.Refusal("length_required", "The body has no announced length; send a Content-Length.")
    body = request.read(bytes_max + 1)
    if len(body) > bytes_max:
        raise problems.Refusal("too_large", f"The body has more than {bytes_max} bytes.")
    if length is not None and len(body) < length:
        raise problems.Refusal("truncated", f"The body ended after {len(body)} of {length} bytes.")
    return body


def content_length(request: django.http.HttpRequest) -> int | None:
    """Give the announced length of the body, None when none is announced."""
    text = request.META.get("CONTENT_LENGTH") or ""
    return int(text) if text.isascii() and text.isdigit() else None


def read_json(request: django.http.HttpRequest, *, bytes_max: int) -> Any:
    """Give the parsed body, None when it is empty.

    Raises Refusal ``malformed_json``, ``invalid_input`` for what is nested too deep.
    """
    media_type = (request.content_type or "").lower()
    # Forms are what `curl -d` names anything; every other type that is not JSON is a mistake worth telling.
    if media_type not in ("", "application/json", "application/x-www-form-urlencoded") and not media_type.endswith(
        "+json"
    ):
        raise problems.Refusal("media_type_refused", f"The body is {media_type[:100]}; send application/json.")
    body = read(request, bytes_max=bytes_max)
    return parse(body) if body.strip() else None


def parse(body: bytes) -> Any:
    """Parse JSON strictly: UTF-8, no NaN, no Infinity, nested no deeper than can be kept."""
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
    except RecursionError as error:
        message = f"is nested more than {values.NESTING_MAX} deep; flatten it, or upload it as an artifact"
        raise problems.invalid([client.Problem(field=_deep_field(body), message=message)]) from error
    except UnicodeDecodeError as error:
        raise problems.Refusal("malformed_json", f"The body is not UTF-8 at byte {error.start}.") from error
    except ValueError as error:
        raise problems.Refusal("malformed_json", f"The body is not JSON: {error}"[:300]) from error
    return value


def read_form(request: django.http.HttpRequest, form: type[_Form], *, bytes_max: int) -> _Form:
    """Give the body as a record. Raises Refusal naming every field at fault."""
    return as_form(read_json(request, bytes_max=bytes_max), form)


def check_query(request: django.http.HttpRequest, form: type[pydantic.BaseModel]) -> None:
    """Refuse parameters that a query does not have, by name.

    The framework hands over only those that it knows; a misspelt filter would silently show everything.
    """
    known = [field.alias or name for name, field in form.model_fields.items()]
    unknown = sorted(set(request.GET) - set(known))
    if unknown:
        message = f"is not a parameter of this path; it takes {', '.join(known)}"
        raise problems.invalid([client.Problem(field=name[:100], message=message) for name in unknown])


def refuse_query(request: django.http.HttpRequest, form: type[pydantic.BaseModel]) -> None:
    """Refuse parameters in the address that belong into the body: unread, ``dry_run`` there would do the thing."""
    misplaced = sorted(set(request.GET) & set(form.model_fields))
    if misplaced:
        message = "belongs into the body, not into the address; nothing was done"
        raise problems.invalid([client.Problem(field=name, message=message) for name in misplaced])


def as_form(value: Any, form: type[_Form], *, prefix: str = "") -> _Form:
    """Give a parsed value as a record. Raises Refusal naming every field at fault, their paths under ``prefix``."""
    if not isinstance(value, dict):
        raise problems.invalid([client.Problem(field=prefix or "body", message="must be a JSON object")])
    try:
        return form.model_validate(value)
    except pydantic.ValidationError as error:
        raise problems.from_pydantic(error, prefix=prefix) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _deep_field(body: bytes) -> str:
    """Name the member of the outermost object under which brackets pile up: the last key seen at depth one."""
    depth, start, field, is_text, is_escaped, last_text = 0, 0, "body", False, False, ""
    for index, byte in enumerate(body):
        if is_text:
            if is_escaped:
                is_escaped = False
            elif byte == 0x5C:
                is_escaped = True
            elif byte == 0x22:
                is_text, last_text = False, body[start:index].decode(errors="replace")
        elif byte == 0x22:
            is_text, start = True, index + 1
        elif byte in b"[{":
            depth += 1
            if depth > values.NESTING_MAX:
                break
        elif byte in b"]}":
            depth -= 1
        elif byte == 0x3A and depth == 1:
            field = last_text
    return field[: values.PATH_CHARACTERS_MAX]
