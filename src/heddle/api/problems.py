"""Turn every refusal into one form, ``application/problem+json`` (RFC 9457): code, fields at fault, what to do.

One table names every code with its status. Exceptions of the house are converted here and nowhere else, so that an
error means the same at every path. What no rule names is a bug of ours: it is logged whole and answered ``500`` without
its text.
"""

import dataclasses
import json
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import django.core.exceptions
import django.db
import django.http
import ninja.errors
import pydantic

from heddle import client
from heddle.ports import blobs, doors, operators, provider
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
DATABASE_RETRY_AFTER_S = 2
BUSY_RETRY_AFTER_S = 1
FIELDS_MAX = 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """State one kind of refusal: status, title and what the caller can do."""

    status: int
    title: str
    remedy: str


def _kind(status: int, title: str, remedy: str) -> Kind:
    return Kind(status=status, title=title, remedy=remedy)


KINDS: dict[str, Kind] = {
    "malformed_json": _kind(400, "The body is not JSON", "Send one JSON object in UTF-8."),
    "malformed_request": _kind(400, "The request cannot be read", "Mend what the detail names and send it again."),
    "idempotency_key_required": _kind(
        400, "An Idempotency-Key is required", "Send an Idempotency-Key of your own making."
    ),
    "idempotency_key_not_allowed": _kind(
        400, "The header does not belong here", "Give each item its own idempotency_key."
    ),
    "truncated": _kind(400, "The body ended early", "Send the whole body again."),
    "key_refused": _kind(401, "The key is missing or not valid", "Send `Authorization: Bearer hd_…` with a valid key."),
    "token_refused": _kind(
        401, "The callback is not believed", "Call back the address that was given with the job, signed."
    ),
    "scope_missing": _kind(403, "The key may not do this", "Use a key with the scope that the detail names."),
    "not_found": _kind(
        404, "There is no such thing", "Check the id and whose key it is; foreign ids look like unknown ones."
    ),
    "method_not_allowed": _kind(405, "The method does not fit the path", "Use one of the methods in the Allow header."),
    "idempotency_busy": _kind(409, "The first request is still being admitted", "Send it again in a moment."),
    "run_terminal": _kind(409, "The run is over", "Start a new run."),
    "signals_full": _kind(
        409, "The run has too many signals that it has not taken", "Send it again when the run has taken some of them."
    ),
    "run_not_retryable": _kind(409, "The run cannot be retried", "Only failed and expired runs can be retried."),
    "change_refused": _kind(409, "The change cannot be made", "Do what the detail says."),
    "length_required": _kind(411, "The length is missing", "Send a Content-Length."),
    "too_large": _kind(413, "The body is too large", "Send less, or upload large values as artifacts."),
    "media_type_refused": _kind(415, "The media type is not taken", "Send a type that is, and name it rightly."),
    "invalid_input": _kind(422, "The request is not valid", "Mend the fields listed in errors and send it again."),
    "unknown_workflow": _kind(422, "There is no such workflow", "See GET /v1/workflows for what is loaded."),
    "idempotency_mismatch": _kind(
        422, "The key was used for another request", "Use a new Idempotency-Key for a new request."
    ),
    "too_many_pixels": _kind(422, "The picture has too many pixels", "Send a smaller picture."),
    "empty": _kind(422, "The body is empty", "Send the bytes of the artifact."),
    "quota_exceeded": _kind(
        429, "The tenant has used up its quota", "Send it again after Retry-After, or ask the operator for more."
    ),
    "budget_spent": _kind(
        429, "The tenant has spent its budget", "Send it again after Retry-After, or ask the operator for more."
    ),
    "internal": _kind(500, "Something went wrong here", "Try again; if it stays, tell the operator the time and path."),
    "database_unavailable": _kind(
        503,
        "The database cannot be reached",
        "Try again after Retry-After, with the same Idempotency-Key: whether it was kept is not known.",
    ),
    "overloaded": _kind(
        503,
        "There is more work than can be done in time",
        "Send it again after Retry-After; work of a lower class is refused first.",
    ),
    "busy": _kind(503, "Too many requests wait here already", "Try again after Retry-After, or ask without waiting."),
}


class Refusal(Exception):
    """Refuse a request with one of the kinds. ``errors`` are the fields at fault."""

    def __init__(
        self, code: str, detail: str, *, errors: Sequence[client.Problem] = (), retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail)
        assert code in KINDS, f"{code} is not in the table"
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s


def body(refusal: Refusal) -> dict[str, Any]:
    """Give the members of the problem."""
    kind = KINDS[refusal.code]
    members: dict[str, Any] = {
        "type": f"urn:heddle:problem:{refusal.code}",
        "title": kind.title,
        "status": kind.status,
        "code": refusal.code,
        "detail": refusal.detail,
        "remedy": kind.remedy,
    }
    if refusal.errors:
        members["errors"] = [{"field": each.field, "message": each.message} for each in refusal.errors[:FIELDS_MAX]]
    if refusal.retry_after_s is not None:
        members["retry_after_s"] = refusal.retry_after_s
    return members


def answer(refusal: Refusal) -> django.http.HttpResponse:
    """Give the HTTP answer of a refusal."""
    response = django.http.HttpResponse(
        json.dumps(body(refusal), ensure_ascii=True), status=KINDS[refusal.code].status, content_type=CONTENT_TYPE
    )
    response["Cache-Control"] = "no-store"
    if refusal.retry_after_s is not None:
        response["Retry-After"] = str(refusal.retry_after_s)
    if refusal.code == "key_refused":
        response["WWW-Authenticate"] = 'Bearer realm="heddle"'
    return response


def refusal_of(error: Exception) -> Refusal:
    """Convert any exception; what no rule names is logged whole and becomes ``internal``."""
    if isinstance(error, Refusal):
        return error
    for kind, convert in _RULES:
        if isinstance(error, kind):
            return convert(error)
    recorder.event(events.REQUEST_FAILED, error=error)
    return Refusal("internal", "The request failed for a reason that is not yours; it is in the log.")


def invalid(errors: Sequence[client.Problem], *, code: str = "invalid_input") -> Refusal:
    """Refuse with the fields at fault; the detail names the first."""
    first = errors[0]
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    return Refusal(code, f"{first.field} {first.message}{more}", errors=errors)


def from_pydantic(error: pydantic.ValidationError, *, prefix: str = "") -> Refusal:
    """Name the fields of a body that does not have its declared form."""
    return invalid(
        [_problem(each["loc"], each["type"], each["msg"], prefix) for each in error.errors(include_url=False)]
    )


def _problem(location: Sequence[str | int], kind: str, message: str, prefix: str = "") -> client.Problem:
    path = prefix
    for part in location:
        path = f"{path}[{part}]" if isinstance(part, int) else f"{path}.{part}" if path else str(part)
    match kind:
        case "extra_forbidden":
            message = "is not a field of this request; remove it or mend its name"
        case "missing":
            message = "is required"
        case _:
            message = message.removeprefix("Value error, ")
            message = message[:1].lower() + message[1:]
    return client.Problem(field=path[:200] or "body", message=message)


def _from_ninja(error: ninja.errors.ValidationError) -> Refusal:
    """Name query and path parameters; a location begins with where it was and our argument's name."""
    return invalid([_problem(each["loc"][2:] or each["loc"][1:], each["type"], each["msg"]) for each in error.errors])


def _from_blob(error: blobs.BlobRefused) -> Refusal:
    code = error.code if error.code in KINDS else "invalid_input"
    return Refusal(code, str(error), errors=[client.Problem(field="body", message=str(error))])


def _from_database(error: Exception) -> Refusal:
    logger.warning("the database cannot be reached: %s", error)
    return Refusal(
        "database_unavailable", "The database cannot be reached just now.", retry_after_s=DATABASE_RETRY_AFTER_S
    )


def _from_quota(error: client.QuotaExceeded) -> Refusal:
    code = "budget_spent" if error.bound.is_money else "quota_exceeded"
    return Refusal(code, str(error), retry_after_s=math.ceil(error.retry_after_s))


_TOO_MANY = "The request has more parameters, fields or files than are read."
_RULES: list[tuple[type[Exception], Callable[[Any], Refusal]]] = [
    (client.UnknownWorkflow, lambda error: invalid(error.problems, code="unknown_workflow")),
    (client.InvalidInput, lambda error: invalid(error.problems)),
    (ninja.errors.ValidationError, _from_ninja),
    (doors.RunMissing, lambda error: Refusal("not_found", "There is no such run.")),
    (doors.RunTerminal, lambda error: Refusal("run_terminal", str(error) or "The run is over.")),
    (
        doors.SignalsFull,
        lambda error: Refusal("signals_full", f"{str(error)[:1].upper()}{str(error)[1:]}; this one was not kept."),
    ),
    (
        doors.RunNotRetryable,
        lambda error: Refusal("run_not_retryable", str(error) or "Only failed or expired runs can be retried."),
    ),
    (
        doors.IdempotencyConflict,
        lambda error: Refusal("idempotency_mismatch", "The Idempotency-Key came before with another body."),
    ),
    (
        doors.IdempotencyBusy,
        lambda error: Refusal(
            "idempotency_busy",
            "The first request under this Idempotency-Key is still being admitted.",
            retry_after_s=BUSY_RETRY_AFTER_S,
        ),
    ),
    (operators.SubjectMissing, lambda error: Refusal("not_found", f"{str(error)[:1].upper()}{str(error)[1:]}.")),
    (operators.ChangeRefused, lambda error: Refusal("change_refused", f"{str(error)[:1].upper()}{str(error)[1:]}.")),
    (
        client.Overloaded,
        lambda error: Refusal("overloaded", str(error), retry_after_s=max(1, math.ceil(error.retry_after_s))),
    ),
    (client.QuotaExceeded, _from_quota),
    (blobs.BlobRefused, _from_blob),
    (blobs.BlobMissing, lambda error: Refusal("not_found", "There is no such artifact.")),
    (client.TokenRefused, lambda error: Refusal("token_refused", str(error))),
    (provider.CallbackRefused, lambda error: Refusal("token_refused", str(error))),
    (django.core.exceptions.RequestDataTooBig, lambda error: Refusal("too_large", "The body is too large.")),
    (django.core.exceptions.TooManyFieldsSent, lambda error: Refusal("malformed_request", _TOO_MANY)),
    (django.core.exceptions.TooManyFilesSent, lambda error: Refusal("malformed_request", _TOO_MANY)),
    (django.http.UnreadablePostError, lambda error: Refusal("truncated", "The connection ended before the body did.")),
    (django.http.Http404, lambda error: Refusal("not_found", "There is nothing at this path.")),
    (django.db.OperationalError, _from_database),
    (django.db.InterfaceError, _from_database),
]
