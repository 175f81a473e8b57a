"""Write and read the wire form of ComfyUI's server.

Pure: bytes and records in, bytes and records out. It accepts fields it does not know and refuses what does not make
sense. Source: ComfyUI server.py, execution.py and comfy_execution/jobs.py, by way of WIRE.md 8.10. Before it: the
adapter with a request. After it: the transport, and on the way back the adapter.
"""

import dataclasses
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from heddle.core import identity
from heddle.providers.comfyui import faults, graph

FILES_MAX: Final = 64
SUBFOLDER: Final = "heddle"
_NAMESPACE: Final = uuid.UUID("5d7b1a0e-3c58-4b0a-9d53-6b1f3a6f6f0d")
_ATTEMPT_KEY, _DIGEST_KEY = "heddle_attempt", "heddle_request"
_TEXT_MAX: Final = 500
_NODES_NAMED_MAX: Final = 5
_SUFFIXES: Final[Mapping[str, str]] = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "audio/webm": "webm",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
}


class AnswerRefused(ValueError):
    """Say why an answer is not one of ComfyUI's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """Hold the answer to a submission: the job's id, and what is wrong with nodes that will not run, in words."""

    prompt_id: str
    node_errors: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """Hold a job in the queue: running, or with this many before it. ``digest``: of our request, None when not ours."""

    is_running: bool
    before: int
    digest: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Hold a job in the history. ``code``: empty when it succeeded, else what ``faults`` knows it by."""

    code: str
    message: str
    outputs: Mapping[str, identity.JsonValue]
    digest: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Name one file of a job as ``/view`` wants it."""

    filename: str
    subfolder: str
    type: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Hold one output: its files, or a value as it is where there are none to fetch."""

    name: str
    files: tuple[File, ...]
    is_list: bool
    value: identity.JsonValue = None


def prompt_id(attempt_id: str) -> str:
    """Give the job id of an attempt: a UUID in canonical lower case, the only form the server takes."""
    return str(uuid.uuid5(_NAMESPACE, attempt_id))


def digest(filled: identity.JsonValue) -> str:
    """Give the digest of a filled graph, by which a job is known to be of the same request."""
    text = json.dumps(filled, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def submission(*, filled: identity.JsonValue, attempt_id: str, digest: str, is_front: bool) -> bytes:
    """Write the body of ``POST /prompt``. Raises ValueError for what JSON cannot carry."""
    marks = {_ATTEMPT_KEY: attempt_id, _DIGEST_KEY: digest}
    body = {"prompt": filled, "prompt_id": prompt_id(attempt_id), "client_id": SUBFOLDER, "extra_data": marks}
    if is_front:
        body["front"] = True
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def upload_name(*, sha256: str, media_type: str) -> str:
    """Name an input file after its content, so that the same bytes are one file whoever sends them."""
    return f"{sha256}.{_SUFFIXES.get(media_type, 'bin')}"


def upload(*, name: str, media_type: str, data: bytes) -> tuple[str, bytes]:
    """Write the multipart body of ``POST /upload/image`` (RFC 7578); give its content type and itself."""
    boundary = f"heddle-{hashlib.sha256(data).hexdigest()[:40]}"
    lines = []
    for field, value in (("type", "input"), ("subfolder", SUBFOLDER), ("overwrite", "true")):
        lines.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n')
    lines.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n"
    )
    body = b"".join(("".join(lines).encode(), data, f"\r\n--{boundary}--\r\n".encode()))
    return f"multipart/form-data; boundary={boundary}", body


def read_uploaded(body: bytes) -> str:
    """Read under which name a file was stored, as a graph names it. Raises AnswerRefused."""
    value = _object(body)
    name, subfolder = value.get("name"), value.get("subfolder", "")
    if not isinstance(name, str) or not name or not isinstance(subfolder, str):
        raise AnswerRefused("it names no file")
    return f"{subfolder}/{name}" if subfolder else name


def read_submitted(body: bytes) -> Submitted:
    """Read the answer to a submission that was taken. Raises AnswerRefused."""
    value = _object(body)
    found = value.get("prompt_id")
    if not isinstance(found, str) or not 1 <= len(found) <= 100 or not found.isprintable() or "/" in found:
        raise AnswerRefused(f"it has the prompt_id {str(found)[:80]!r}")
    return Submitted(prompt_id=found, node_errors=_node_errors(value.get("node_errors")))


def read_refusal(body: bytes) -> str:
    """Read why a graph was refused, naming the nodes; empty when it does not say."""
    try:
        value = _object(body)
    except AnswerRefused:
        return ""
    error = value.get("error")
    said = [error.get("type"), error.get("message"), error.get("details")] if isinstance(error, dict) else [error]
    words = ": ".join(dict.fromkeys(str(word)[:_TEXT_MAX] for word in said if word))
    nodes = _node_errors(value.get("node_errors"))
    return "; ".join(part for part in (words, nodes) if part)


def _node_errors(value: identity.JsonValue) -> str:
    if not isinstance(value, dict):
        return ""
    named = [_node_error(node, told) for node, told in list(value.items())[:_NODES_NAMED_MAX]]
    more = len(value) - len(named)
    return "; ".join([*named, *([f"and {more} more nodes"] if more else [])])


def _node_error(node: str, told: identity.JsonValue) -> str:
    told = told if isinstance(told, dict) else {}
    errors = told.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    said = ": ".join(str(first[key])[:200] for key in ("message", "details") if first.get(key))
    return f"node {str(node)[:80]} ({str(told.get('class_type', 'unknown class'))[:80]}) {said or 'is refused'}"


def read_queued(body: bytes, *, wanted: str) -> Queued | None:
    """Find a job in the answer of ``GET /queue``; None when it is not there. Raises AnswerRefused."""
    value = _object(body)
    running, pending = value.get("queue_running"), value.get("queue_pending")
    if not isinstance(running, list) or not isinstance(pending, list):
        raise AnswerRefused("it has no lists of running and pending jobs")
    for item in running:
        if _id_of(item) == wanted:
            return Queued(is_running=True, before=0, digest=_digest_of(item))
    found = next((item for item in pending if _id_of(item) == wanted), None)
    if found is None:
        return None
    earlier = sum(_number_of(item) < _number_of(found) for item in pending)
    return Queued(is_running=False, before=len(running) + earlier, digest=_digest_of(found))


def read_ended(body: bytes, *, wanted: str) -> Ended | None:
    """Find a job in the answer of ``GET /history/{id}``; None when it is not there. Raises AnswerRefused."""
    entry = _object(body).get(wanted)
    if entry is None:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("outputs"), dict):
        raise AnswerRefused(f"the job {wanted} has no outputs")
    code, message = _failure(entry.get("status"))
    return Ended(code=code, message=message, outputs=entry["outputs"], digest=_digest_of(entry.get("prompt")))


def read_oldest_ms(body: bytes) -> int | None:
    """Read when the first job of ``GET /api/jobs`` was made; None when there is none. Raises AnswerRefused."""
    listed = _object(body).get("jobs")
    if not isinstance(listed, list):
        raise AnswerRefused("it has no list of jobs")
    made = listed[0].get("create_time") if listed and isinstance(listed[0], dict) else None
    return made if type(made) is int else None


def _failure(status: identity.JsonValue) -> tuple[str, str]:
    """Give what went wrong; two empty texts when nothing did. A server without a status keeps only what succeeded."""
    if not isinstance(status, dict) or status.get("status_str") == "success":
        return "", ""
    messages = status.get("messages")
    told = {
        message[0]: message[1]
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, list)
        and len(message) == 2
        and isinstance(message[0], str)
        and isinstance(message[1], dict)
    }
    if faults.INTERRUPTED in told:
        return faults.INTERRUPTED, "it was interrupted"
    error = told.get("execution_error", {})
    kind = str(error.get("exception_type") or "execution_error")[:100]
    node = f"node {str(error.get('node_id', '?'))[:80]} ({str(error.get('node_type', 'unknown class'))[:80]})"
    return kind, f"{node} raised {kind}: {str(error.get('exception_message', ''))[:_TEXT_MAX].strip()}"


def parts(outputs: Mapping[str, identity.JsonValue], selectors: Sequence[graph.Selector]) -> list[Part]:
    """Say what a job's outputs are made of; without selectors ``files``, all it saved. Raises AnswerRefused."""
    if not selectors:
        saved = tuple(file for node in outputs.values() for file in _files(node) if file.type == "output")
        chosen = [Part(name="files", files=saved, is_list=True)]
    else:
        chosen = [_part(outputs.get(selector.node), selector) for selector in selectors]
    count = sum(len(part.files) for part in chosen)
    if count > FILES_MAX:
        raise AnswerRefused(f"it has {count} files; at most {FILES_MAX} are taken")
    return chosen


def _part(node: identity.JsonValue, selector: graph.Selector) -> Part:
    if selector.key is None:
        found = tuple(_files(node))
        if not selector.is_list and len(found) != 1:
            raise AnswerRefused(f"node {selector.node} has {len(found)} files for {selector.name!r}, not one")
        return Part(name=selector.name, files=found, is_list=selector.is_list)
    if not isinstance(node, dict) or selector.key not in node:
        raise AnswerRefused(f"node {selector.node} has no {selector.key!r} for {selector.name!r}")
    value = node[selector.key]
    found = tuple(_files({selector.key: value}))
    return Part(name=selector.name, files=found, is_list=True, value=None if found else value)


def _files(node: identity.JsonValue) -> list[File]:
    """List the files among a node's outputs, whatever they are called: images, gifs, audio, video, 3d."""
    if not isinstance(node, dict):
        return []
    items = [item for value in node.values() if isinstance(value, list) for item in value if isinstance(item, dict)]
    return [_file(item) for item in items if "filename" in item]


def _file(item: Mapping[str, identity.JsonValue]) -> File:
    filename, subfolder, kind = item["filename"], item.get("subfolder", ""), item.get("type", "output")
    if (
        not all(isinstance(text, str) and len(text) <= _TEXT_MAX for text in (filename, subfolder, kind))
        or not filename
    ):
        raise AnswerRefused(f"it names the file {str(filename)[:80]!r}")
    return File(filename=filename, subfolder=subfolder, type=kind)


def _id_of(item: identity.JsonValue) -> str | None:
    return item[1] if isinstance(item, list) and len(item) > 1 and isinstance(item[1], str) else None


def _number_of(item: identity.JsonValue) -> float:
    number = item[0] if isinstance(item, list) and item else 0
    return number if isinstance(number, int | float) else 0


def _digest_of(item: identity.JsonValue) -> str | None:
    """Read our mark from a job as queue and history hold it: [number, id, graph, extra data, outputs]."""
    marks = item[3] if isinstance(item, list) and len(item) > 3 else None
    found = marks.get(_DIGEST_KEY) if isinstance(marks, dict) else None
    return found if isinstance(found, str) else None


def _object(body: bytes) -> dict[str, identity.JsonValue]:
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise AnswerRefused(f"it is not JSON: {str(error)[:120]}") from None
    if not isinstance(value, dict):
        raise AnswerRefused("it is no JSON object")
    return value
