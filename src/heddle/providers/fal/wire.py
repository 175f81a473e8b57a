"""Write and read the wire form of fal's queue: submissions, handles, states and results.

Pure: values in, values out. A handle keeps the addresses that fal gave for a job, so that nothing about a job is ever
derived from settings that may have changed since; one that leads to another origin than the endpoint's is refused.
Sources: fal_client 1.0.3; fal.ai/docs/documentation/model-apis/inference/queue, read 2026-11-29. Before it: the adapter
with a request. After it: the transport, and on the way back the adapter.
"""

import dataclasses
import enum
import json
import re
from collections.abc import Mapping
from typing import Final
from urllib import parse

from heddle.core import identity
from heddle.providers import fetching, json_wire

# fal's File and Image (fal.ai/docs, "toolkit") and its models' VideoFile and AudioFile: an object that holds a link and
# nothing but what describes it.
FILE_KEYS: Final = frozenset(
    {
        *("url", "content_type", "file_name", "file_size", "file_data", "width", "height"),
        *("fps", "num_frames", "duration", "channels", "sample_rate", "bitrate"),
    }
)
NAMESPACES: Final = frozenset({"workflows", "comfy"})  # these stand before owner and app in an address
_ID: Final = re.compile(r"[A-Za-z0-9_\-]{1,200}\Z")
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]*(?:/[A-Za-z0-9][A-Za-z0-9._\-]*)+\Z")
_TEXT_CHARACTERS_MAX: Final = 300


class AnswerRefused(ValueError):
    """Say why an answer or a handle is not one of fal's queue."""


class JobState(enum.StrEnum):
    """Name the states that the queue shows."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Hold where a job is asked after, fetched and cancelled."""

    request_id: str
    status_url: str
    response_url: str
    cancel_url: str

    def as_handle(self) -> str:
        """Give the text by which the job is found again in another process."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"), sort_keys=True)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Hold what the queue tells of a job. ``queue_position`` is None when it does not say."""

    state: JobState
    queue_position: int | None
    error: str
    error_type: str


def is_model(name: str) -> bool:
    """Tell whether a text is a model of fal's: owner and app, and perhaps a path."""
    return _MODEL.match(name) is not None


def submit_path(model: str, *, callback_url: str | None) -> str:
    """Give the path of a submission."""
    query = f"?{parse.urlencode({'fal_webhook': callback_url})}" if callback_url is not None else ""
    return f"/{parse.quote(model)}{query}"


def derived_job(request_id: str, *, base_url: str, model: str) -> Job:
    """Give the addresses that a job has by fal's rule, for one of which only the id is known.

    Owner and app count, a longer path does not. Raises AnswerRefused for what is no id.
    """
    if not _ID.match(request_id):
        raise AnswerRefused(f"{request_id[:80]!r} is no request id")
    parts = model.split("/")
    app = "/".join(parts[:3] if parts[0] in NAMESPACES else parts[:2])
    url = f"{base_url}/{parse.quote(app)}/requests/{request_id}"
    return Job(request_id=request_id, status_url=f"{url}/status", response_url=url, cancel_url=f"{url}/cancel")


def read_submitted(body: bytes, *, base_url: str, model: str) -> Job:
    """Read what a submission was answered with.

    The addresses are fal's; where one is missing or leads elsewhere the job is kept under those that follow from its
    id, since it is accepted and paid all the same. Raises AnswerRefused when there is no id.
    """
    value = _object(body)
    request_id = value.get("request_id")
    derived = derived_job(request_id if isinstance(request_id, str) else "", base_url=base_url, model=model)
    given = {key: value.get(key) for key in ("status_url", "response_url", "cancel_url")}
    own = {key: url for key, url in given.items() if isinstance(url, str) and _is_usable(url, base_url=base_url)}
    return dataclasses.replace(derived, **own) if len(own) == len(given) else derived


def read_handle(handle: str, *, base_url: str, model: str) -> Job:
    """Read a handle: one of ``as_handle``, or the bare id that a callback named. Raises AnswerRefused."""
    if not handle.startswith("{"):
        return derived_job(handle, base_url=base_url, model=model)
    value = _object(handle.encode())
    fields = {field.name: value.get(field.name) for field in dataclasses.fields(Job)}
    texts = {name: text for name, text in fields.items() if isinstance(text, str)}
    if len(texts) != len(fields):
        raise AnswerRefused("the handle lacks an address")
    job = Job(**texts)
    for url in (job.status_url, job.response_url, job.cancel_url):
        if not _is_usable(url, base_url=base_url):
            raise AnswerRefused("the handle leads to another host than the endpoint's url")
    return job


def read_status(body: bytes) -> Status:
    """Read a job's state. Raises AnswerRefused."""
    value = _object(body)
    state, position = value.get("status"), value.get("queue_position")
    if state not in set(JobState):
        raise AnswerRefused(f"it has the unknown status {str(state)[:80]!r}")
    return Status(
        state=JobState(state),
        queue_position=position if type(position) is int and position >= 0 else None,
        error=_text(value.get("error")),
        error_type=_text(value.get("error_type")),
    )


def read_error_type(headers: Mapping[str, str], body: bytes) -> str:
    """Read the machine's word for a failure: from the header, else from the body; empty when there is none."""
    if named := headers.get("x-fal-error-type", "")[:_TEXT_CHARACTERS_MAX]:
        return named
    try:
        return _text(_object(body).get("error_type"))
    except AnswerRefused:
        return ""


def read_callback_id(body: bytes) -> str | None:
    """Read which job a callback tells of; None when it names none."""
    try:
        request_id = _object(body).get("request_id")
    except AnswerRefused:
        return None
    return request_id if isinstance(request_id, str) and _ID.match(request_id) else None


def is_file(value: identity.JsonValue) -> bool:
    """Tell whether a JSON value is a file of fal's."""
    if not isinstance(value, dict) or not value.keys() <= FILE_KEYS:
        return False
    url = value.get("url")
    return isinstance(url, str) and url.startswith(("https://", "http://", "data:"))


def files_in(value: identity.JsonValue) -> list[str]:
    """List the links of all files in a result, each once, in order."""
    if is_file(value):
        return [value["url"]]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return list(dict.fromkeys(link for item in items for link in files_in(item)))


def with_files(value: identity.JsonValue, kept: Mapping[str, identity.JsonValue]) -> identity.JsonValue:
    """Give a result with each file replaced by what is kept of it."""
    if is_file(value):
        return kept[value["url"]]
    if isinstance(value, dict):
        return {key: with_files(item, kept) for key, item in value.items()}
    if isinstance(value, list):
        return [with_files(item, kept) for item in value]
    return value


def _is_usable(url: str, *, base_url: str) -> bool:
    return len(url) <= fetching.LINK_CHARACTERS_MAX and url.isprintable() and fetching.is_same_origin(url, base_url)


def _object(body: bytes) -> dict[str, identity.JsonValue]:
    try:
        value = json_wire.parse_json(body)
    except json_wire.WireRefused as error:
        raise AnswerRefused(f"it {error}") from None
    if not isinstance(value, dict):
        raise AnswerRefused("it is no JSON object")
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    return (value if isinstance(value, str) else json.dumps(value))[:_TEXT_CHARACTERS_MAX]
