"""Write and read the wire form of Replicate's HTTP API.

Pure: bytes and records in, bytes and records out. It accepts fields it does not know and refuses a prediction whose own
do not make sense. Sources: replicate 1.0.7 (``prediction.py``, ``file.py``),
https://replicate.com/docs/topics/predictions/lifecycle, …/create-a-prediction, …/rate-limits and
https://replicate.com/docs/topics/webhooks, read 2026-11-29. Before it: the adapter with a request. After it: the
transport, and on the way back the adapter.
"""

import dataclasses
import datetime as dt
import enum
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from heddle.core import identity
from heddle.providers import fetching, json_wire

ID_CHARACTERS_MAX: Final = 64
URL_CHARACTERS_MAX: Final = 2_048
HANDLE_CHARACTERS_MAX: Final = 5_000
CANCEL_AFTER_MIN_S: Final = 5  # the shortest that the API takes
WAIT_MAX_S: Final = 60  # "wait=n", n from 1 to 60
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
# The two forms that the page on rate limits has shown; nothing else is read from the sentence.
_RESETS_IN: Final = re.compile(
    r"Request was throttled\. "
    r"(?:Your rate limit resets in ~(?P<resets>[0-9]{1,5})s|"
    r"Expected available in (?P<expected>[0-9]{1,5}) seconds?)\.\Z"
)
# https://replicate.com/docs/reference/error-codes: "returned in the format E#### (for example, E1001)".
_CODE: Final = re.compile(r"\b(E[0-9]{4})\b")


class Status(enum.StrEnum):
    """Name the states a prediction shows."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"  # its deadline came before it was started


OPEN: Final = frozenset({Status.STARTING, Status.PROCESSING})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """Name a prediction by its id and by the addresses that the answer gave for asking after it and cancelling it."""

    id: str
    get_url: str
    cancel_url: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Hold what a prediction's representation tells us. ``predict_time_s``: how long it ran, None when not told.

    ``is_past_deadline``: it ended at or after the deadline that came with it.
    """

    handle: Handle
    status: Status
    model: str
    output: identity.JsonValue
    error: str
    predict_time_s: float | None
    is_removed: bool
    is_past_deadline: bool


def submission(*, given: Mapping[str, identity.JsonValue], version: str | None, webhook: str | None) -> bytes:
    """Write the body that creates a prediction; only its end is told to the webhook."""
    body: dict[str, Any] = {"input": given}
    if version is not None:
        body["version"] = version
    if webhook is not None:
        body["webhook"] = webhook
        body["webhook_events_filter"] = ["completed"]
    return json.dumps(body, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def read_prediction(body: bytes, *, home: str) -> Prediction:
    """Read a prediction. home: the address its own addresses follow from where it gives none. Raises AnswerRefused."""
    value = json_wire.read_object(body)
    handle = _handle_of(value, home=home)
    try:
        status = Status(json_wire.read_text(value, "status"))
    except ValueError:
        shown = str(value.get("status"))[:80]
        raise json_wire.AnswerRefused(f"the prediction {handle.id} has the unknown status {shown!r}") from None
    completed, deadline = (_instant(value, key) for key in ("completed_at", "deadline"))
    return Prediction(
        handle=handle,
        status=status,
        model=json_wire.read_text(value, "model")[:200],
        output=value.get("output"),
        error=_sentence(value.get("error")),
        predict_time_s=json_wire.read_seconds(json_wire.read_part(value, "metrics"), "predict_time"),
        is_removed=value.get("data_removed") is True,
        is_past_deadline=completed is not None and deadline is not None and completed >= deadline,
    )


def told_handle(body: bytes, *, home: str) -> str | None:
    """Read which prediction a webhook tells of, as a handle; None when it names none of this endpoint's."""
    try:
        return write_handle(_handle_of(json_wire.read_object(body), home=home))
    except json_wire.AnswerRefused:
        return None


def write_handle(handle: Handle) -> str:
    """Write a handle as it is kept with the attempt."""
    return json.dumps({"id": handle.id, "get": handle.get_url, "cancel": handle.cancel_url}, separators=(",", ":"))


def read_handle(text: str, *, home: str) -> Handle:
    """Read a kept handle. Raises AnswerRefused when it is none or leads to another origin than ``home``."""
    if len(text) > HANDLE_CHARACTERS_MAX:
        raise json_wire.AnswerRefused("the handle is too long to be one")
    value = json_wire.read_object(text)
    return _checked(
        Handle(
            id=json_wire.read_text(value, "id"),
            get_url=json_wire.read_text(value, "get"),
            cancel_url=json_wire.read_text(value, "cancel"),
        ),
        home=home,
    )


def read_upload_url(body: bytes) -> str:
    """Read the address of an uploaded file. Raises AnswerRefused."""
    url = json_wire.read_text(json_wire.read_part(json_wire.read_object(body), "urls"), "get")
    if fetching.origin(url) is None or len(url) > URL_CHARACTERS_MAX:
        raise json_wire.AnswerRefused("the upload has no address in `urls.get`")
    return url


def resets_in_s(body: bytes) -> float | None:
    """Read when a 429's body says the limit resets, in its two documented forms; None for any other body."""
    try:
        detail = json_wire.read_text(json_wire.read_object(body), "detail")
    except json_wire.AnswerRefused:
        return None
    match = _RESETS_IN.match(detail)
    return None if match is None else float(match["resets"] or match["expected"])


def error_code(sentence: str) -> str:
    """Read the documented code (``E1001``) of a failed prediction's error; empty when there is none."""
    match = _CODE.search(sentence)
    return "" if match is None else match[1]


def multipart(*, field: str, filename: str, media_type: str, data: bytes, boundary: str) -> bytes:
    """Write one file as multipart/form-data (RFC 7578)."""
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n"
    )
    return b"".join((head.encode("ascii"), data, f"\r\n--{boundary}--\r\n".encode("ascii")))


def _handle_of(value: json_wire.JsonObject, *, home: str) -> Handle:
    job_id, urls = json_wire.read_text(value, "id"), json_wire.read_part(value, "urls")
    at_home = f"{home}/v1/predictions/{job_id}"
    handle = Handle(
        id=job_id,
        get_url=json_wire.read_text(urls, "get") or at_home,
        cancel_url=json_wire.read_text(urls, "cancel") or f"{at_home}/cancel",
    )
    return _checked(handle, home=home)


def _checked(handle: Handle, *, home: str) -> Handle:
    """Refuse ids that are none and addresses that would take our credential elsewhere."""
    if not _ID.match(handle.id):
        raise json_wire.AnswerRefused(f"a prediction has the id {handle.id[:80]!r}")
    for url in (handle.get_url, handle.cancel_url):
        if len(url) > URL_CHARACTERS_MAX or not fetching.is_same_origin(url, home):
            raise json_wire.AnswerRefused(
                f"the prediction {handle.id} has an address of another origin than the endpoint"
            )
    return handle


def _sentence(value: identity.JsonValue) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _instant(value: json_wire.JsonObject, key: str) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(json_wire.read_text(value, key))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)
