"""Serve Replicate's shape: create, get, list and cancel predictions, with ``Prefer: wait``.

A prediction is a run of one call. What is shown is read from the run, so that it is the same whoever executed it.
"""

import base64
import binascii
import contextlib
import dataclasses
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web

from heddle.client import pages, predictions
from heddle.core import addresses, run
from heddle.gateway import asking, carry, files, refusals
from heddle.gateway import house as house_module
from heddle.ports import records

PAGE = 100
WAIT_MAX_S = 60.0
_TITLES = {
    400: "Bad request",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "Not found",
    409: "Conflict",
    422: "Input validation failed",
    429: "Too many requests",
}


def _handled(work: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
    """Turn whatever a handler raises into Replicate's error."""

    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            answer: web.StreamResponse = await work(request)
        except web.HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - the border to the caller: classified or logged whole
            return problem(refusals.of_exception(error, has_key=asking.KEY_HEADER in request.headers))
        return answer

    return handler


def problem(refusal: refusals.Refusal) -> web.Response:
    """Give the answer of a refusal."""
    detail = refusal.message
    if refusal.field is not None:
        named = "webhook" if refusal.field == "webhook_url" else refusal.field
        detail = f"{named}: {detail}"
    if refusal.status == 429 and refusal.retry_after_s is not None:
        # Replicate's clients read the time out of this sentence.
        detail = f"Request was throttled. Your rate limit resets in ~{refusal.retry_after_s}s. {detail}"
    body = {"title": _TITLES.get(refusal.status, "Something went wrong"), "detail": detail, "status": refusal.status}
    return web.json_response(body, status=refusal.status, headers=refusals.headers(refusal))


@_handled
async def create(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/predictions: the model is named by `model` or `version`."""
    house = house_module.of(request)
    view = await asking.caller(request, "write")
    async with carry.place(house):
        given = await asking.body(request)
        named = given.get("model") or given.get("version")
        if not isinstance(named, str):
            raise refusals.Refusal(
                status=422, code="invalid_input", message="model or version is required", field="version"
            )
        return await _create(request, house, view, given, model=_model(house, named.partition(":")[0]))


@_handled
async def create_of_model(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/models/{owner}/{name}/predictions."""
    house = house_module.of(request)
    view = await asking.caller(request, "write")
    model = house.find_owned(request.match_info["owner"], request.match_info["name"])
    async with carry.place(house):
        return await _create(request, house, view, await asking.body(request), model=model)


def _model(house: house_module.House, named: str) -> str:
    owner, slash, name = named.partition("/")
    return house.find_owned(owner, name) if slash else house.find_model(named, field="version")


async def _create(
    request: web.Request, house: house_module.House, view: records.ApiKeyView, given: dict[str, Any], *, model: str
) -> web.Response:
    fields = given.get("input")
    if not isinstance(fields, dict):
        raise refusals.Refusal(status=422, code="invalid_input", message="must be an object", field="input")
    wait_s = asking.wait_s(request, longest_s=min(WAIT_MAX_S, house.limits.gateway_wait_s))
    taken, has_artifacts = await files.taken_in(house, view.tenant, fields)
    asked = carry.Asked(
        tenant=view.tenant,
        model=model,
        door=predictions.DOOR,
        input=taken,
        priority=run.Priority.STANDARD if wait_s is None else run.Priority.INTERACTIVE,
        key=asking.idempotency_key(request, house),
        traceparent=request.headers.get("traceparent"),
        deadline_s=asking.span_s(request.headers.get("Cancel-After"), field="Cancel-After"),
        webhook_url=_webhook_url(house, given),
        has_artifacts=has_artifacts,
    )
    watch = await carry.admit(house, asked)
    ended = None
    if wait_s is None:
        house.calls.forget(watch)
    else:
        ended = await carry.end(house, watch, asked, wait_s=wait_s)
    shown = await _read(house, view.tenant, watch.run_id)
    if wait_s is not None and ended is None and shown["status"] == "processing":
        # Replicate's client (1.0.7, run.py) goes on to ask only when a waited prediction is still starting.
        shown["status"] = "starting"
    headers = {"x-request-id": str(watch.run_id), "Location": shown["urls"]["get"]}
    if watch.is_replay:
        headers["Idempotent-Replayed"] = "true"
    return web.json_response(shown, status=201, headers=headers)


def _webhook_url(house: house_module.House, given: dict[str, Any]) -> str | None:
    """Give the address that is told of the end, None when nobody asked for that event. Raises Refusal."""
    url, wanted = given.get("webhook"), given.get("webhook_events_filter")
    if wanted is not None and not (isinstance(wanted, list) and predictions.EVENTS.issuperset(map(str, wanted))):
        message = f"must be a list of {', '.join(sorted(predictions.EVENTS))}"
        raise refusals.Refusal(status=422, code="invalid_input", message=message, field="webhook_events_filter")
    if url is None:
        return None
    problem = addresses.url_problem(str(url), is_private_allowed=house.limits.webhook_private_allowed)
    if problem is not None:
        raise refusals.Refusal(status=422, code="invalid_input", message=problem, field="webhook")
    return str(url) if not wanted or predictions.TOLD in wanted else None


@_handled
async def show(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/predictions/{id}."""
    house = house_module.of(request)
    view = await asking.caller(request, "read")
    return web.json_response(await _read(house, view.tenant, request.match_info["id"]))


@_handled
async def cancel(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/predictions/{id}/cancel; a prediction that is over stays as it is."""
    house = house_module.of(request)
    view = await asking.caller(request, "write")
    named = request.match_info["id"]
    await _read(house, view.tenant, named)
    await house.threads.ask(lambda: house.heddle.cancel(named, tenant=view.tenant))
    return web.json_response(await _read(house, view.tenant, named))


@_handled
async def upload(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/files."""
    return await files.upload(request)


@_handled
async def index(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/predictions: the newest first, without inputs and outputs."""
    house = house_module.of(request)
    view = await asking.caller(request, "read")
    before = _read_cursor(request.query.get("cursor"))
    where = records.RunFilter(label=(predictions.LABEL, predictions.DOOR))

    def look(before: uuid.UUID | None, limit: int) -> list[records.RunView]:
        return house.heddle.runs(dataclasses.replace(where, before=before, limit=limit), tenant=view.tenant)

    size = min(PAGE, house.limits.page_max)
    page = await house.threads.ask(lambda: pages.read(look, start=before, limit=size, mark_of=lambda found: found.id))
    following = page.following
    after = None if following is None else f"{house.root_url}/v1/predictions?cursor={_cursor(following)}"
    shown = [predictions.shown(each, places=house.places) for each in page.items]
    return web.json_response({"previous": None, "next": after, "results": shown})


async def _read(house: house_module.House, tenant: records.Tenant, run_id: uuid.UUID | str) -> dict[str, Any]:
    """Read one prediction; a run that is none of this kind is not shown here. Raises RunMissing, Refusal."""
    view = await house.threads.ask(lambda: house.heddle.get(run_id, tenant=tenant))
    if run.called_model(view.workflow) is None:
        raise refusals.not_found("There is no such prediction.")
    return predictions.shown(view, places=house.places)


def _cursor(run_id: uuid.UUID) -> str:
    return base64.urlsafe_b64encode(run_id.bytes).decode().rstrip("=")


def _read_cursor(text: str | None) -> uuid.UUID | None:
    if text is None:
        return None
    with contextlib.suppress(binascii.Error, ValueError):
        return uuid.UUID(bytes=base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    raise refusals.invalid("cursor is not one that a page gave", field="cursor")
