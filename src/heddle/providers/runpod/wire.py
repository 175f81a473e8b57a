"""Write and read the wire form of a RunPod serverless endpoint.

Pure: values in, values out. Sources: docs.runpod.io/serverless/endpoints/send-requests and operation-reference (the
repository runpod/docs), and runpod-python, runpod/endpoint/runner.py, read 2026-11-29. Before it: the adapter with a
request. After it: the transport, and on the way back the adapter.
"""

import dataclasses
import enum
import json
import math
import re
from typing import Final

from heddle.core import identity
from heddle.providers import json_wire

RUN_BYTES_MAX: Final = 10_000_000  # /run: "maximum payload size of 10 MB"
EXECUTION_LEAST_S: Final = 5.001  # "must be > 5000 ms"
LIFE_LEAST_S: Final = 10.0
LIFE_MOST_S: Final = 604_800.0
RESULT_KEPT_S: Final = 1_800.0  # /run keeps a result for 30 minutes
_ID: Final = re.compile(r"[A-Za-z0-9_\-]{1,200}\Z")
_TEXT_CHARACTERS_MAX: Final = 2_000


class AnswerRefused(ValueError):
    """Say why an answer is not one of a RunPod endpoint."""


class JobState(enum.StrEnum):
    """Name the states a job shows. RUNNING is the documentation's word, IN_PROGRESS the API's."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Hold what a job shows. ``executed_s``: how long the work took, None when it does not say."""

    id: str
    state: JobState
    output: identity.JsonValue
    error: str
    executed_s: float | None


def submission(
    given: identity.JsonValue, *, callback_url: str | None, allowed_s: float, is_low_priority: bool
) -> bytes:
    """Write the body of ``/run``.

    allowed_s: how long the job may run. A job lives longer than that by the time its result is kept, since RunPod
    forgets a job at the end of its life even if it has just ended. Raises WireRefused when the body is too large.
    """
    execution_s = min(max(allowed_s, EXECUTION_LEAST_S), LIFE_MOST_S - RESULT_KEPT_S)
    life_s = max(LIFE_LEAST_S, execution_s + RESULT_KEPT_S)
    body: dict[str, identity.JsonValue] = {
        "input": given,
        "policy": {
            "executionTimeout": math.ceil(execution_s * 1_000),
            "lowPriority": is_low_priority,
            "ttl": math.ceil(life_s * 1_000),
        },
    }
    if callback_url is not None:
        body["webhook"] = callback_url
    written = json_wire.write_json(body)
    if len(written) > RUN_BYTES_MAX:
        raise json_wire.WireRefused(f"the request has {len(written)} bytes, RunPod takes {RUN_BYTES_MAX}")
    return written


def is_id(text: str) -> bool:
    """Tell whether a text can be a job's id."""
    return _ID.match(text) is not None


def read_job(body: bytes) -> Job:
    """Read a job. Raises AnswerRefused."""
    value = _object(body)
    job_id, state, took = value.get("id"), value.get("status"), value.get("executionTime")
    if not isinstance(job_id, str) or not is_id(job_id):
        raise AnswerRefused(f"it has the id {str(job_id)[:80]!r}")
    if state not in set(JobState):
        raise AnswerRefused(f"the job {job_id} has the unknown status {str(state)[:80]!r}")
    return Job(
        id=job_id,
        state=JobState(state),
        output=value.get("output"),
        error=_text(value.get("error")),
        executed_s=took / 1_000 if isinstance(took, int | float) and type(took) is not bool and took >= 0 else None,
    )


def read_callback_id(body: bytes) -> str | None:
    """Read which job a callback tells of; None when it names none."""
    try:
        return read_job(body).id
    except AnswerRefused:
        return None


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
