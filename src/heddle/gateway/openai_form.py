"""Write answers in OpenAI's form: completions, chunks, embeddings, images, errors. No request is read here.

An output that is in the vendor's form already is passed on, with what our side adds where the vendor said nothing.
"""

import array
import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from heddle.gateway import mapping, refusals

_TYPES = {401: "invalid_request_error", 402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}
_STATUSES = {402: 429, 422: 400}
"""Statuses that OpenAI's clients know under another number."""


def error(refusal: refusals.Refusal) -> web.Response:
    """Give the answer of a refusal."""
    status = _STATUSES.get(refusal.status, refusal.status)
    return web.json_response({"error": error_body(refusal)}, status=status, headers=refusals.headers(refusal))


def error_body(refusal: refusals.Refusal) -> dict[str, Any]:
    """Give the members of an error."""
    usual = "invalid_request_error" if refusal.status < 500 else "server_error"
    return {
        "message": refusal.message,
        "type": _TYPES.get(refusal.status, usual),
        "param": refusal.field,
        "code": "insufficient_quota" if refusal.status == 402 else refusal.code,
    }


def completion(output: Any, *, run_id: str, model: str) -> dict[str, Any]:
    """Give a chat completion. Raises Refusal when the answer has no text."""
    usual = {"id": f"chatcmpl-{run_id}", "object": "chat.completion", "created": int(time.time()), "model": model}
    if isinstance(output, dict) and isinstance(output.get("choices"), list):
        return {**usual, **output}
    text = mapping.text_of(output)
    if text is None:
        raise _no_answer("text", run_id)
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    usage = output.get("usage") if isinstance(output, dict) else None
    return {**usual, "choices": [choice], **({} if usage is None else {"usage": usage})}


def embeddings(output: Any, *, run_id: str, model: str, is_base64: bool) -> dict[str, Any]:
    """Give a list of embeddings. Raises Refusal when the answer has no vectors."""
    if isinstance(output, dict) and isinstance(output.get("data"), list):
        return {"object": "list", "model": model, "usage": {"prompt_tokens": 0, "total_tokens": 0}, **output}
    vectors = mapping.vectors_of(output)
    if vectors is None:
        raise _no_answer("vectors", run_id)
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if is_base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = output.get("usage") if isinstance(output, dict) else None
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": usage or {"prompt_tokens": 0, "total_tokens": 0},
    }


def _packed(vector: list[float]) -> str:
    return base64.b64encode(array.array("f", vector).tobytes()).decode("ascii")


def image_refused(run_id: str) -> refusals.Refusal:
    """Say that an answer has no picture."""
    return _no_answer("picture", run_id)


def _no_answer(what: str, run_id: str) -> refusals.Refusal:
    message = f"The model's answer has no {what}; it is kept whole under GET /v1/runs/{run_id}."
    return refusals.Refusal(status=502, code="bad_output", message=message, may_repeat=False)


def model(name: str) -> dict[str, Any]:
    """Show one model."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "heddle"}


# Chunks


def chunk(head: Mapping[str, Any], choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Give one chunk of a stream."""
    return {**head, "object": "chat.completion.chunk", "choices": choices, **more}


def event(value: Any) -> bytes:
    """Write one Server-Sent Event; half of a surrogate pair, at which a vendor may cut its text, as JSON's escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return b"data: " + text.encode(errors="backslashreplace") + b"\n\n"


DONE = b"data: [DONE]\n\n"
