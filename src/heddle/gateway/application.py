"""Lay out the gateway's paths, and stand around all of them: what is counted, and what an unknown path says."""

import time

from aiohttp import web
from aiohttp.typedefs import Handler

from heddle.gateway import files, house, openai_door, openai_form, refusals, replicate_door
from heddle.telemetry import recorder
from heddle.telemetry.catalog import metrics


def make(made: house.House) -> web.Application:
    """Give the application of one gateway."""
    application = web.Application(middlewares=[_count], client_max_size=made.limits.gateway_request_bytes_max)
    application[house.HOUSE] = made
    application.add_routes(
        [
            web.post("/v1/chat/completions", openai_door.chat),
            web.post("/v1/responses", openai_door.respond),
            web.post("/v1/embeddings", openai_door.embeddings),
            web.post("/v1/images/generations", openai_door.images),
            web.post("/v1/images/edits", openai_door.image_edits),
            web.get("/v1/models", openai_door.models),
            web.get("/v1/models/{name}", openai_door.model),
            web.post("/v1/predictions", replicate_door.create),
            web.get("/v1/predictions", replicate_door.index),
            web.get("/v1/predictions/{id}", replicate_door.show),
            web.post("/v1/predictions/{id}/cancel", replicate_door.cancel),
            web.post("/v1/models/{owner}/{name}/predictions", replicate_door.create_of_model),
            web.post("/v1/files", replicate_door.upload),
            web.get("/v1/files/{token}", files.download),
            web.get("/healthz", _live),
            web.get("/readyz", _ready),
        ]
    )
    return application


@web.middleware
async def _count(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count an answer; give errors of the framework, and of what has no shape of its own, OpenAI's form."""
    started_s = time.perf_counter()
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = openai_form.error(_of_framework(request, error))
        if isinstance(error, web.HTTPMethodNotAllowed):
            # RFC 9110, section 15.5.6: which methods the path has.
            response.headers["Allow"] = error.headers["Allow"]
    except refusals.Refusal as refusal:
        response = openai_form.error(refusal)
    except Exception as error:
        if request.writer.output_size:
            # A second answer would be read as more of the first one: the framework logs the error and cuts the line.
            raise
        response = openai_form.error(refusals.of_exception(error, has_key=False))
    resource = request.match_info.route.resource
    route = f"{request.method} {resource.canonical}" if resource is not None else "unmatched"
    recorder.count(metrics.GATEWAY_REQUESTS, route=route, status=str(response.status))
    if response.content_type != "text/event-stream":
        recorder.observe(metrics.GATEWAY_DURATION, time.perf_counter() - started_s, route=route)
    return response


def _of_framework(request: web.Request, error: web.HTTPException) -> refusals.Refusal:
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    messages = {
        404: "There is nothing at this path.",
        405: f"{request.method} does not fit this path; it takes {error.headers.get('Allow', 'nothing')}.",
        413: "The body is too large; upload large files first.",
    }
    return refusals.Refusal(
        status=error.status,
        code=codes.get(error.status, "invalid_request"),
        message=messages.get(error.status, error.reason),
        may_repeat=False,
    )


async def _live(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    """Tell whether this gateway takes requests: its worker is registered, alive and not leaving."""
    parts = house.of(request).parts
    is_ready = parts.is_alive.is_set() and not parts.is_draining
    return web.json_response({"status": "ready" if is_ready else "not ready"}, status=200 if is_ready else 503)
