"""Write records as the JSON of the contract: times of RFC 3339 in UTC, money as decimal strings, links.

Reads nothing and decides nothing; the same record always gives the same bytes, which replays rely on.
"""

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from typing import Any

import django.http

from heddle.api import problems, scores
from heddle.client import money, needs, pages, shown
from heddle.core import faults, reasons
from heddle.ports import records, spending

JSON = "application/json"
_UUID_BYTES = 16
_ORDINAL_BYTES = 4


def text(value: Any) -> str:
    """Write JSON compactly, in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def answer(value: Any, *, status: int = 200) -> django.http.HttpResponse:
    """Give a JSON answer that nobody keeps."""
    return raw_answer(text(value), status=status)


def raw_answer(body: str, *, status: int) -> django.http.HttpResponse:
    """Give a JSON answer of text that is written already."""
    response = django.http.HttpResponse(body, status=status, content_type=JSON)
    response["Cache-Control"] = "no-store"
    return response


instant = shown.instant
run = shown.run
step_counts = shown.step_counts


def quote(cost: spending.WorkflowCost | None) -> dict[str, Any]:
    """Write what a run will probably cost; where none has succeeded lately, that there is nothing to go by."""
    if cost is None:
        return {"basis": "no_history", "runs": 0, "median_cost": None, "p95_cost": None, "highest_cost": None}
    return {
        "basis": "history",
        "runs": cost.runs,
        "median_cost": money.usd(cost.median_nano_usd),
        "p95_cost": money.usd(cost.p95_nano_usd),
        "highest_cost": money.usd(cost.highest_nano_usd),
    }


def why(found: reasons.Explanation) -> dict[str, Any]:
    """Write an explanation; times are seconds from now."""
    eta = found.eta
    return {
        "why": found.sentence,
        "chain": [{"cause": each.cause.value, "detail": each.clause} for each in found.chain],
        "eta": None
        if eta is None
        else {
            "until": eta.until,
            "likely_s": round(eta.likely_s, 1),
            "low_s": round(eta.low_s, 1),
            "high_s": round(eta.high_s, 1),
            "confidence": eta.confidence.value,
        },
    }


def step(view: records.StepView, *, root: str) -> dict[str, Any]:
    """Write one call of a run with its attempts."""
    return {
        "ordinal": view.ordinal,
        "kind": view.kind.value,
        "name": view.name,
        "state": view.state.value,
        "leased": view.is_leased,
        "parents": list(view.parents),
        "input": view.input,
        "output": view.output,
        "fault": _fault(view.fault),
        "note": view.note,
        "cost": money.usd(view.cost_nano_usd),
        "created_at": instant(view.created_at),
        "due_at": instant(view.due_at),
        "finished_at": instant(view.finished_at),
        "child_run": None if view.child_run is None else f"{root}/{view.child_run}",
        "reused": None if view.reused_run is None else {"run": f"{root}/{view.reused_run}", "call": view.reused_call},
        "attempts": [_attempt(each) for each in view.attempts],
    }


def event(view: records.EventView) -> dict[str, Any]:
    """Write one thing that happened."""
    return {
        "seq": view.seq,
        "name": view.name,
        "ordinal": view.ordinal,
        "at": instant(view.at),
        "detail": dict(view.detail),
    }


def workflow(definition: needs.Workflow) -> dict[str, Any]:
    """Write one loaded version of a workflow with its schemas."""
    return {
        "name": definition.name,
        "version": definition.version,
        "input_schema": dict(definition.input_schema),
        "output_schema": dict(definition.output_schema),
    }


def model(name: str, declared: needs.Model | None, served: list[records.EndpointView]) -> dict[str, Any]:
    """Write one model: what code declares of it and where it can run."""
    return {
        "name": name,
        "input_schema": _schema(declared.input_schema if declared else None),
        "output_schema": _schema(declared.output_schema if declared else None),
        "endpoints": [each.name for each in served],
    }


def endpoint(view: records.EndpointView) -> dict[str, Any]:
    """Write one endpoint with its limits and health.

    The name of its secret is the operator's business, not a tenant's.
    """
    return {
        "name": view.name,
        "adapter": view.adapter,
        "models": list(view.models),
        "in_flight": view.in_flight,
        "concurrency": view.concurrency,
        "requests_per_min": view.requests_per_min,
        "breaker": view.breaker,
        "paused": view.paused_at is not None,
        "paused_at": instant(view.paused_at),
        "paused_until": instant(view.paused_until),
        "regions": list(view.regions),
        "routes": [scores.route(each) for each in view.routes],
    }


def schedule(view: records.ScheduleView) -> dict[str, Any]:
    """Write one schedule."""
    return {
        "name": view.name,
        "workflow": view.workflow,
        "cron": view.cron,
        "time_zone": view.time_zone,
        "catch_up": view.catch_up,
        "priority": view.priority,
        "enabled": view.is_enabled,
        "paused_at": instant(view.paused_at),
        "next_at": instant(view.next_at),
        "last_at": instant(view.last_at),
        "last_run": None if view.last_run is None else str(view.last_run),
        "started": view.fired,
        "missed": view.missed,
        "problem": view.problem,
    }


def cursor(before: uuid.UUID) -> str:
    """Write where the next page begins; callers must not look inside."""
    return _cursor(before.bytes)


def read_cursor(written: str) -> uuid.UUID:
    """Read a cursor. Raises Refusal naming the field."""
    return uuid.UUID(bytes=_read_cursor(written, size_bytes=_UUID_BYTES))


def call_cursor(after: int) -> str:
    """Write after which call of a run the next page begins; callers must not look inside."""
    return _cursor(after.to_bytes(_ORDINAL_BYTES))


def read_call_cursor(written: str) -> int:
    """Read a cursor of calls. Raises Refusal naming the field."""
    return int.from_bytes(_read_cursor(written, size_bytes=_ORDINAL_BYTES))


def name_cursor(after: str) -> str:
    """Write after which name the next page begins; callers must not look inside."""
    return _cursor(after.encode())


def read_name_cursor(written: str) -> str:
    """Read a cursor of things listed by name. Raises Refusal naming the field."""
    name = _read_cursor(written).decode(errors="replace")
    if not name.isascii() or not name.isprintable():
        raise _no_cursor()
    return name


def _cursor(place: bytes) -> str:
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def _read_cursor(written: str, *, size_bytes: int | None = None) -> bytes:
    try:
        place = base64.b64decode(written + "=" * (-len(written) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        place = b""
    if not place or size_bytes not in (None, len(place)):
        raise _no_cursor()
    return place


def _no_cursor() -> problems.Refusal:
    return problems.invalid([pages.NO_CURSOR])


def _attempt(view: records.AttemptView) -> dict[str, Any]:
    return {
        "id": view.id,
        "number": view.number,
        "endpoint": view.endpoint,
        "worker": view.worker,
        "state": view.state.value,
        "handle": view.handle,
        "fault": _fault(view.fault),
        "cost": None if view.cost_nano_usd is None else money.usd(view.cost_nano_usd),
        "tier": view.tier,
        "price_difference": None
        if view.price_difference_nano_usd is None
        else money.usd(view.price_difference_nano_usd),
        "started_at": instant(view.started_at),
        "sent_at": instant(view.sent_at),
        "finished_at": instant(view.finished_at),
    }


def _fault(fault: faults.StepFault | None) -> dict[str, str] | None:
    return None if fault is None else fault.as_json()


def _schema(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if schema is None else dict(schema)
