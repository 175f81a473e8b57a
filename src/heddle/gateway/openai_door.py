"""Serve OpenAI's shape: chat completions with streaming, responses, embeddings, images made and edited, models.

Thin: a body is read and mapped, ``carry`` does the work, ``openai_form`` writes the answer.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from heddle.core import artifact, run
from heddle.engine import calls
from heddle.gateway import asking, carry, edits, files, mapping, openai_form, openai_stream, refusals, responses
from heddle.gateway import house as house_module
from heddle.ports import records

DOOR = "openai"
_InputOf = Callable[..., dict[str, Any]]


def _handled(work: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
    """Turn whatever a handler raises into OpenAI's error."""

    async def handler(request: web.Request) -> web.StreamResponse:
        has_key = asking.KEY_HEADER in request.headers
        try:
            answer: web.StreamResponse = await work(request)
        except web.HTTPException:
            raise
        except Exception as error:
            if request.writer.output_size:
                raise
            return openai_form.error(refusals.of_exception(error, has_key=has_key))
        return answer

    return handler


@_handled
async def chat(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/chat/completions."""
    started_s = time.perf_counter()
    house = house_module.of(request)
    view = await asking.caller(request, "write")
    async with carry.place(house):
        asked, given = await _asked(request, house, view, mapping.chat_input)
        if given.get("stream") is True:
            pieces = openai_stream.Pieces()
            options = given.get("stream_options")
            pieces.wants_usage = isinstance(options, dict) and options.get("include_usage") is True
            watch = await carry.admit(house, asked, take_piece=pieces.take)
            return await openai_stream.stream(request, house, watch, asked, pieces)
        watch = await carry.admit(house, asked)
        output = await carry.output(house, watch, asked)
        body = openai_form.completion(output, run_id=str(watch.run_id), model=asked.model)
        return await _answer(house, asked, watch, body, started_s)


@_handled
async def respond(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/responses: by a model that takes responses, or by one that chats."""
    started_s = time.perf_counter()
    house = house_module.of(request)
    view = await asking.caller(request, "write")
    async with carry.place(house):
        given = await asking.body(request)
        model_name = house.find_model(given.get("model"))
        responses.check(given)
        taken, has_artifacts = await files.taken_in(house, view.tenant, given)
        if house.takes_responses(model_name):
            made = responses.passed_on(taken)
        else:
            is_vendor_shaped = mapping.is_vendor(house.models()[model_name])
            made = mapping.chat_input(responses.as_chat(taken), is_vendor_shaped=is_vendor_shaped)
        asked = _call(request, view, given, model=model_name, made=made, has_artifacts=has_artifacts)
        watch = await carry.admit(house, asked)
        output = await carry.output(house, watch, asked)
        body = responses.response(output, run_id=str(watch.run_id), model=asked.model, given=given)
        body["output"] = [await _with_bytes(house, asked, item) for item in body["output"]]
        return await _answer(house, asked, watch, body, started_s)


@_handled
async def embeddings(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/embeddings."""
    started_s = time.perf_counter()
    house = house_module.of(request)
    view = await asking.caller(request, "write")
    async with carry.place(house):
        asked, given = await _asked(request, house, view, mapping.embeddings_input)
        watch = await carry.admit(house, asked)
        output = await carry.output(house, watch, asked)
        is_base64 = given.get("encoding_format") == "base64"
        body = openai_form.embeddings(output, run_id=str(watch.run_id), model=asked.model, is_base64=is_base64)
        return await _answer(house, asked, watch, body, started_s)


@_handled
async def images(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/images/generations."""
    started_s = time.perf_counter()
    house = house_module.of(request)
    view = await asking.caller(request, "write")
    async with carry.place(house):
        asked, given = await _asked(request, house, view, mapping.images_input)
        if mapping.OPENAI in house.models()[asked.model]:
            asked = dataclasses.replace(asked, input=mapping.without_form(asked.input))
        return await _pictured(house, asked, given, started_s)


@_handled
async def image_edits(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/images/edits; what is open is bounded while files come in, too."""
    started_s = time.perf_counter()
    house = house_module.of(request)
    view = await asking.caller(request, "write")
    asking.idempotency_key(request, house)
    async with carry.place(house):
        given, pictures = await edits.sent(house, request)
        model_name = house.find_model(given.get("model"))
        edits.check(given, pictures)
        taken = await edits.kept(house, view.tenant, given, pictures)
        made = mapping.edits_input(taken, is_vendor_shaped=mapping.is_vendor(house.models()[model_name]))
        asked = _call(request, view, given, model=model_name, made=made, has_artifacts=True)
        return await _pictured(house, asked, given, started_s)


@_handled
async def models(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/models."""
    view = await asking.caller(request, "read")
    data = [openai_form.model(name) for name in await _servable(house_module.of(request), view)]
    return web.json_response({"object": "list", "data": data})


@_handled
async def model(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/models/{name}."""
    house = house_module.of(request)
    view = await asking.caller(request, "read")
    named = request.match_info["name"]
    return web.json_response(openai_form.model(house.find_model(named, known=await _servable(house, view))))


async def _servable(house: house_module.House, view: records.ApiKeyView) -> list[str]:
    """List the models of this gateway that can be served for whoever asks: not paused, and in their regions."""
    found = await house.threads.ask(lambda: house.heddle.servable_models(tenant=view.tenant))
    return sorted(house.models().keys() & found)


async def _asked(
    request: web.Request, house: house_module.House, view: records.ApiKeyView, input_of: _InputOf
) -> tuple[carry.Asked, Mapping[str, Any]]:
    given = await asking.body(request)
    model_name = house.find_model(given.get("model"))
    taken, has_artifacts = await files.taken_in(house, view.tenant, given)
    made = input_of(taken, is_vendor_shaped=mapping.is_vendor(house.models()[model_name]))
    return _call(request, view, given, model=model_name, made=made, has_artifacts=has_artifacts), given


def _call(
    request: web.Request,
    view: records.ApiKeyView,
    given: Mapping[str, Any],
    *,
    model: str,
    made: Mapping[str, Any],
    has_artifacts: bool,
) -> carry.Asked:
    """Say what is asked for: a call of a model with the input that was made of what was given."""
    return carry.Asked(
        tenant=view.tenant,
        model=model,
        door=DOOR,
        input=made,
        priority=asking.priority_of(given, usual=run.Priority.INTERACTIVE),
        key=asking.idempotency_key(request, house_module.of(request)),
        traceparent=request.headers.get("traceparent"),
        has_artifacts=has_artifacts,
    )


async def _answer(
    house: house_module.House, asked: carry.Asked, watch: calls.Watch, body: dict[str, Any], started_s: float
) -> web.Response:
    headers = {
        "x-request-id": str(watch.run_id),
        "openai-processing-ms": str(round((time.perf_counter() - started_s) * 1_000)),
        **(await asking.rate_headers(house, asked.tenant)),
    }
    if watch.is_replay:
        headers["Idempotent-Replayed"] = "true"
    return web.json_response(body, headers=headers)


async def _with_bytes(house: house_module.House, asked: carry.Asked, item: Any) -> Any:
    """Give an item of a response with the picture that a tool made in base64, as the vendor gives it."""
    result = item.get("result") if isinstance(item, dict) else None
    if not isinstance(result, dict) or not artifact.is_artifact(result):
        return item
    return {**item, "result": await files.in_base64(house, asked.tenant, artifact.Artifact.from_json(result))}


async def _pictured(
    house: house_module.House, asked: carry.Asked, given: Mapping[str, Any], started_s: float
) -> web.Response:
    watch = await carry.admit(house, asked)
    output = await carry.output(house, watch, asked)
    is_base64 = given.get(mapping.FORM) == "b64_json"
    body = await _images(house, asked, output, run_id=str(watch.run_id), is_base64=is_base64)
    return await _answer(house, asked, watch, body, started_s)


async def _images(
    house: house_module.House, asked: carry.Asked, output: Any, *, run_id: str, is_base64: bool
) -> dict[str, Any]:
    """Give the pictures of an answer, each as a link or in base64, with what the vendor said besides."""
    items = output.get("data") if isinstance(output, dict) and isinstance(output.get("data"), list) else None
    found = [[item, mapping.artifacts_of(item)] for item in (items if items is not None else [output])]
    data: list[dict[str, Any]] = []
    for item, pictures in found:
        if not pictures and items is not None and isinstance(item, dict):
            data.append(item)
        for picture in pictures:
            told = (
                {"revised_prompt": item["revised_prompt"]}
                if isinstance(item, dict) and "revised_prompt" in item
                else {}
            )
            if is_base64:
                data.append({"b64_json": await files.in_base64(house, asked.tenant, picture), **told})
            else:
                data.append({"url": files.link(house, asked.tenant, picture), **told})
    if not data:
        raise openai_form.image_refused(run_id)
    more = {name: output[name] for name in ("usage", "size", "quality") if isinstance(output, dict) and name in output}
    return {"created": int(time.time()), "data": data, **more}
