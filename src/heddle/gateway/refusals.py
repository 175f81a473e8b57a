"""Say no in one form of our own, which each shape then writes in its own words: status, code, field, when to come back.

Every exception of the house and every fault of a run is turned into a refusal here and nowhere else. ``may_repeat`` is
what a client is told about sending the same request again: never yes where that could pay twice.
"""

import dataclasses
import json
import math
import uuid
from collections.abc import Mapping
from typing import Any

from heddle import client
from heddle.core import faults
from heddle.ports import blobs, doors, store
from heddle.ports import calls as calls_port
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events

DATABASE_RETRY_AFTER_S = 2
BUSY_RETRY_AFTER_S = 1
FULL_RETRY_AFTER_S = 1
FAULT_RETRY_AFTER_S = 5


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class Refusal(Exception):
    """Refuse a request. ``code``: stable, for programs. ``field``: what of the body is at fault, in the caller's
    terms. ``may_repeat``: whether the same request may be sent again without paying twice; None: the status says.
    """

    status: int
    code: str
    message: str
    field: str | None = None
    retry_after_s: int | None = None
    may_repeat: bool | None = None
    run_id: uuid.UUID | None = None

    def __str__(self) -> str:
        return self.message


def not_found(message: str, *, code: str = "not_found") -> Refusal:
    """Refuse what is not there, or is not the caller's."""
    return Refusal(status=404, code=code, message=message, may_repeat=False)


def invalid(message: str, *, field: str | None = None, code: str = "invalid_request") -> Refusal:
    """Refuse a request that cannot be read."""
    return Refusal(status=400, code=code, message=message, field=field, may_repeat=False)


def too_large(message: str, *, field: str | None = None) -> Refusal:
    """Refuse a body, or a part of one, that has more bytes than are taken."""
    return Refusal(status=413, code="too_large", message=message, field=field, may_repeat=False)


def late(*, within_s: float, field: str | None = None) -> Refusal:
    """Refuse a body that did not come in time."""
    message = f"The body did not arrive within {within_s:g} s; nothing was kept."
    return Refusal(status=408, code="upload_timeout", message=message, field=field, may_repeat=True)


def of_exception(error: Exception, *, has_key: bool) -> Refusal:
    """Turn any exception into a refusal; what no rule names is logged whole. ``has_key``: an idempotency key came."""
    match error:
        case Refusal():
            return error
        case client.InvalidInput():
            first = error.problems[0]
            return Refusal(
                status=422, code="invalid_input", message=str(error), field=_field(first.field), may_repeat=False
            )
        case client.QuotaExceeded():
            is_money = error.bound.is_money
            return Refusal(
                status=429,
                code="insufficient_quota" if is_money else "rate_limit_exceeded",
                message=str(error),
                retry_after_s=math.ceil(error.retry_after_s),
                may_repeat=not is_money,
            )
        case client.Overloaded():
            seconds = max(1, math.ceil(error.retry_after_s))
            return Refusal(status=429, code="overloaded", message=str(error), retry_after_s=seconds, may_repeat=True)
        case doors.IdempotencyConflict():
            message = "The Idempotency-Key came before with another request; use a new key for a new request."
            return Refusal(status=422, code="idempotency_mismatch", message=message, may_repeat=False)
        case doors.IdempotencyBusy():
            message = "The first request under this Idempotency-Key is still being admitted; send it again."
            return Refusal(
                status=409,
                code="idempotency_busy",
                message=message,
                retry_after_s=BUSY_RETRY_AFTER_S,
                may_repeat=True,
            )
        case doors.RunMissing():
            return not_found("There is no such prediction.")
        case blobs.BlobRefused():
            return of_blob(error)
        case blobs.BlobMissing():
            return not_found("There is no such file.")
        case store.StoreLost():
            return database_lost(has_key=has_key)
        case _:
            return _of_stranger(error, has_key=has_key)


def of_blob(error: blobs.BlobRefused, *, field: str | None = None) -> Refusal:
    """Say why a file was not kept. ``field``: what of the body it came as."""
    status = 413 if error.code.startswith("too_") else 422
    message = f"A file was refused: {error}"
    return Refusal(status=status, code=error.code, message=message, field=field, may_repeat=False)


def _of_stranger(error: Exception, *, has_key: bool) -> Refusal:
    if type(error).__module__.startswith("django.db"):
        return database_lost(has_key=has_key)
    recorder.event(events.REQUEST_FAILED, error=error)
    message = "The request failed for a reason that is not yours; it is in the log."
    return Refusal(status=500, code="internal", message=message, may_repeat=has_key)


def database_lost(*, has_key: bool) -> Refusal:
    """Refuse while the database is away: whether the request was kept is not known, so only a key makes it safe."""
    message = "The database cannot be reached just now, and whether the request was kept is not known."
    more = "Send it again with the same Idempotency-Key." if has_key else "See GET /v1/runs before sending it again."
    return Refusal(
        status=503,
        code="database_unavailable",
        message=f"{message} {more}",
        retry_after_s=DATABASE_RETRY_AFTER_S,
        may_repeat=has_key,
    )


def of_end(ended: calls_port.EndedCall, *, has_key: bool) -> Refusal:
    """Say how a run that did not succeed ended. A repeat under the same key is given the same end."""
    if ended.is_stuck:
        return unknown(ended.run_id)
    error: Mapping[str, Any] = ended.error or {"fault": faults.Fault.CANCELLED.value, "message": "the run was stopped"}
    kind = faults.Fault(error.get("fault", faults.Fault.UNCLASSIFIED.value))
    law = faults.FAULTS[kind]
    may_repeat = law.is_retryable and not law.may_be_billed and not has_key
    return Refusal(
        status=law.http_status,
        code=kind.value,
        message=f"{error.get('message') or law.meaning} (run {ended.run_id})",
        retry_after_s=FAULT_RETRY_AFTER_S if may_repeat else None,
        may_repeat=may_repeat,
        run_id=ended.run_id,
    )


def unknown(run_id: uuid.UUID) -> Refusal:
    """Say that the provider may have been paid and nobody knows what for."""
    message = (
        f"Whether the provider took the call is not known, and it cannot be asked; a person has to decide. "
        f"See GET /v1/runs/{run_id}."
    )
    return Refusal(status=504, code="outcome_unknown", message=message, may_repeat=False, run_id=run_id)


def still_running(run_id: uuid.UUID, *, has_key: bool) -> Refusal:
    """Say that the time to hold the request is over and the run goes on."""
    more = "Send it again with the same Idempotency-Key" if has_key else f"See GET /v1/runs/{run_id}"
    message = f"The call is still on its way. {more}; sending it anew would pay for it twice."
    return Refusal(status=504, code="in_flight", message=message, may_repeat=has_key, run_id=run_id)


def headers(refusal: Refusal) -> dict[str, str]:
    """Give the headers of a refusal, which every shape sends."""
    found: dict[str, str] = {"Cache-Control": "no-store"}
    if refusal.retry_after_s is not None:
        found["Retry-After"] = str(refusal.retry_after_s)
    if refusal.may_repeat is not None:
        found["x-should-retry"] = json.dumps(refusal.may_repeat)
    if refusal.run_id is not None:
        found["x-request-id"] = str(refusal.run_id)
    if refusal.status == 401:
        found["WWW-Authenticate"] = 'Bearer realm="heddle"'
    return found


def _field(path: str) -> str:
    """Name a field of ours as the caller knows it: what we hold as ``input`` is the body itself."""
    return path.removeprefix("input.")
