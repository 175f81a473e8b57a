"""Show a twin's job as a Cog container shows a prediction, whole or as events, and make what its model makes.

The model answers a prompt with tokens, which it can stream, and an image with an image, which it cannot. Pure. Before
it: ``twin`` with a job. After it: an answer or a webhook's body. Sources: replicate/cog ``docs/http.md`` and coglet
0.23.1, read 2026-11-29.
"""

import base64
import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from heddle.core import identity
from heddle.twins.kit import jobs, media

_WORDS: Final = ("Onions", "bloom", "in", "the", "quiet", "kitchen", "while", "steam", "drifts", "over", "marble")
_LOG: Final = "done\n"
_FAILURE: Final = "RuntimeError: the model raised an exception"


class Event(enum.StrEnum):
    """Name what a webhook may be told of."""

    START = "start"
    OUTPUT = "output"
    LOGS = "logs"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told(jobs.Job):
    """A job at one of its events."""

    event: Event


def is_streaming(given: Mapping[str, identity.JsonValue]) -> bool:
    """Tell whether the model can stream its answer to an input."""
    return "image" not in given


def shown(job: jobs.Job) -> dict[str, identity.JsonValue]:
    """Show a prediction."""
    value: dict[str, identity.JsonValue] = {"id": prediction_id(job), "status": status_of(job), "logs": ""}
    if job.status is jobs.Status.SUCCEEDED:
        value |= {"output": output_of(job), "logs": _LOG}
    elif isinstance(job, Told) and job.event is Event.OUTPUT:
        value["output"] = output_of(job)
    if job.status is jobs.Status.FAILED:
        value["error"] = _FAILURE
    value["metrics"] = {} if job.over_at_s is None else {"predict_time": round(job.over_at_s - job.paid.at_s, 6)}
    return value


def events(job: jobs.Job) -> list[bytes]:
    """Give the events of a prediction that is over, in their wire form."""
    begun = event("start", {"id": prediction_id(job), "status": "processing"})
    if job.status is not jobs.Status.SUCCEEDED:
        return [begun, event("completed", shown(job))]
    output = output_of(job)
    chunks = output if isinstance(output, list) else [output]
    made = [event("output", {"chunk": chunk, "index": index}) for index, chunk in enumerate(chunks)]
    return [begun, *made, event("log", {"data": _LOG, "source": "stdout"}), event("completed", shown(job))]


def event(name: str, data: identity.JsonValue) -> bytes:
    """Write one event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def output_of(job: jobs.Job) -> identity.JsonValue:
    """Make the output of a prediction: tokens for a prompt, a data URL for an image."""
    given = job.paid.data["input"]
    seed = json.dumps(given, sort_keys=True)
    if not is_streaming(given):
        return f"data:image/png;base64,{base64.b64encode(media.png(seed)).decode()}"
    digest = hashlib.sha256(seed.encode()).digest()
    words = [_WORDS[byte % len(_WORDS)] for byte in digest[:6]]
    return [words[0], *(f" {word}" for word in words[1:])]


def prediction_id(job: jobs.Job) -> str:
    """Give the id that the client chose, or got."""
    return str(job.paid.data["id"])


def status_of(job: jobs.Job) -> str:
    """Name a job's state in Cog's words."""
    words = {jobs.Status.QUEUED: "starting", jobs.Status.RUNNING: "processing", jobs.Status.CANCELLED: "canceled"}
    return words.get(job.status, job.status.value)
