"""Write and read the wire form of a Cog container's HTTP API.

Pure: bytes and records in, bytes and records out. It accepts fields it does not know. Sources: replicate/cog
``docs/http.md`` and coglet 0.21 ``transport/http/routes.rs``, read 2026-11-29. Before it: the adapter with a request.
After it: the transport, and on the way back the adapter.
"""

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Final
from urllib import parse

from heddle.core import identity
from heddle.providers import fetching, json_wire

HANDLE_CHARACTERS_MAX: Final = 4_096
URL_CHARACTERS_MAX: Final = 2_048
ERROR_CHARACTERS_MAX: Final = 4_000


class Mode(enum.StrEnum):
    """Name how a prediction's result is waited for."""

    WAIT = "wait"  # the request is held until the result is there; closing it cancels the prediction
    STREAM = "stream"  # the same as a stream of events: models with @streaming
    ASYNC = "async"  # it is started, and a stream of its events is attached to afterwards: models with @streaming


class Status(enum.StrEnum):
    """Name the states a prediction shows."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


OPEN: Final = frozenset({Status.STARTING, Status.PROCESSING})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Hold what a prediction's representation tells us."""

    status: Status
    output: identity.JsonValue
    error: str


def submission(given: Mapping[str, identity.JsonValue]) -> bytes:
    """Write the body of ``PUT /predictions/{id}``; the same for every repetition of an attempt."""
    return json.dumps({"input": given}, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def headers(mode: Mode, *, is_attaching: bool) -> dict[str, str]:
    """Write the headers that say how the result is waited for. is_attaching: the prediction was started before."""
    written = {"Content-Type": "application/json"}
    if mode is Mode.ASYNC and not is_attaching:
        return {**written, "Prefer": "respond-async"}
    if mode is Mode.WAIT:
        return written
    return {**written, "Accept": "text/event-stream"}


def read_prediction(value: json_wire.JsonObject, *, url: str) -> Prediction:
    """Read the prediction that was put at an address. Raises AnswerRefused, also when it names another one."""
    named = json_wire.read_text(value, "id")
    if named and named != parse.unquote(url.rpartition("/")[2]):
        raise json_wire.AnswerRefused(f"it is of another prediction, {named[:80]!r}")
    try:
        status = Status(json_wire.read_text(value, "status"))
    except ValueError:
        raise json_wire.AnswerRefused(f"it has the unknown status {str(value.get('status'))[:80]!r}") from None
    error = value.get("error")
    said = error if isinstance(error, str) else "" if error is None else json.dumps(error)
    return Prediction(status=status, output=value.get("output"), error=said[:ERROR_CHARACTERS_MAX])


def error_code(body: bytes) -> str:
    """Read the ``status`` that an error's body carries, which tells Cog's own answers from a gateway's."""
    try:
        return json_wire.read_text(json_wire.read_object(body), "status")
    except json_wire.AnswerRefused:
        return ""


def prediction_url(base_url: str, prediction_id: str) -> str:
    """Give the address of a prediction."""
    return f"{base_url}/predictions/{parse.quote(prediction_id, safe='')}"


def write_handle(url: str) -> str:
    """Write a handle: the address under which the prediction was started."""
    return json.dumps({"url": url}, separators=(",", ":"))


def read_handle(text: str, *, home: str) -> str:
    """Read the address of a kept handle. Raises AnswerRefused when it is none or of another origin than ``home``."""
    if len(text) > HANDLE_CHARACTERS_MAX:
        raise json_wire.AnswerRefused("the handle is too long to be one")
    url = json_wire.read_text(json_wire.read_object(text), "url")
    if len(url) > URL_CHARACTERS_MAX or not fetching.is_same_origin(url, home):
        raise json_wire.AnswerRefused("the handle leads to another origin than the endpoint")
    return url
