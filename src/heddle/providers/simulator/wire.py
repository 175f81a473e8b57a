"""Write and read the wire form of the simulated provider's job API, as its twin's README.md describes it.

Pure: bytes and records in, bytes and records out. It accepts fields it does not know and refuses a job whose own do not
make sense. Before it: the adapter with a request. After it: the transport, and on the way back the adapter.
"""

import dataclasses
import decimal
import enum
import json
from collections.abc import Mapping
from typing import Any, Final

from heddle.core import identity

_NANO: Final = 1_000_000_000
_ID_CHARACTERS_MAX: Final = 200


class AnswerRefused(ValueError):
    """Say why an answer is not one of the job API."""


class JobState(enum.StrEnum):
    """Name the states a job shows."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Hold what a job's representation tells us. ``price_nano_usd`` is what it costs, None when it does not say."""

    id: str
    state: JobState
    price_nano_usd: int | None
    seed: int | None
    error_code: str
    error_message: str


def submission(
    *, model: str, given: Mapping[str, identity.JsonValue], webhook: str | None, client_job_id: str | None
) -> bytes:
    """Write the body of ``POST /v1/jobs``; equal arguments give equal bytes, as a re-send under one key needs."""
    body: dict[str, Any] = {"model": model, "input": given}
    if webhook is not None:
        body["webhook"] = webhook
    if client_job_id is not None:
        body["client_job_id"] = client_job_id
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def read_job(body: bytes) -> Job:
    """Read a job. Raises AnswerRefused."""
    return _job(_object(body))


def told_job(body: bytes) -> str | None:
    """Read which job a callback tells of; None when it names none."""
    try:
        return _job(_object(body).get("data")).id
    except AnswerRefused:
        return None


def read_jobs(body: bytes) -> list[Job]:
    """Read a list of jobs, oldest first. Raises AnswerRefused."""
    items = _object(body).get("items")
    if not isinstance(items, list):
        raise AnswerRefused("it has no list of `items`")
    return [_job(item) for item in items]


def read_error_code(body: bytes) -> str:
    """Read the code of a refusal; empty when there is none."""
    try:
        error = _object(body).get("error")
    except AnswerRefused:
        return ""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise AnswerRefused(f"it is not JSON: {str(error)[:120]}") from None
    if not isinstance(value, dict):
        raise AnswerRefused("it is no JSON object")
    return value


def _job(value: object) -> Job:
    if not isinstance(value, dict):
        raise AnswerRefused("a job is no object")
    job_id, state = value.get("id"), value.get("status")
    if not isinstance(job_id, str) or not 1 <= len(job_id) <= _ID_CHARACTERS_MAX or not job_id.isprintable():
        raise AnswerRefused(f"a job has the id {str(job_id)[:80]!r}")
    if state not in set(JobState):
        raise AnswerRefused(f"the job {job_id} has the unknown status {str(state)[:80]!r}")
    result, error = value.get("result"), value.get("error")
    result = result if isinstance(result, dict) else {}
    error = error if isinstance(error, dict) else {}
    return Job(
        id=job_id,
        state=JobState(state),
        price_nano_usd=_nano_usd(result.get("cost_usd", value.get("price_usd"))),
        seed=result["seed"] if type(result.get("seed")) is int else None,
        error_code=str(error.get("code", ""))[:80],
        error_message=str(error.get("message", ""))[:300],
    )


def _nano_usd(text: object) -> int | None:
    if not isinstance(text, str):
        return None
    try:
        nano = decimal.Decimal(text) * _NANO
    except decimal.InvalidOperation:
        return None
    is_whole = nano.is_finite() and nano == nano.to_integral_value()
    return int(nano) if is_whole and 0 <= nano < 2**63 else None
