"""Write responses in the vendor's form: queued, being made, whole, failed, and as the events of a stream.

Pure. Source: types/responses of the package openai 3.57.0, read 2026-11-29. Before it: the twin's routes. After it: the
answer.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import identity
from heddle.twins.kit import jobs
from heddle.twins.openai import chat, texts

Object = dict[str, identity.JsonValue]
_STATUSES: Final = {
    jobs.Status.QUEUED: "queued",
    jobs.Status.RUNNING: "in_progress",
    jobs.Status.SUCCEEDED: "completed",
    jobs.Status.FAILED: "failed",
    jobs.Status.CANCELLED: "cancelled",
}


def order(body: Mapping[str, identity.JsonValue], *, digest: str) -> tuple[Object, int, int]:
    """Read a request: what is kept of it for later, its price, and its tokens. Raises calls.Refused."""
    model, asked = chat.model_of(body), body.get("input")
    if not isinstance(asked, str | list) or not asked:
        raise chat.refused("input", "Invalid 'input': expected a string or an array of items.")
    limit = chat.whole_number(body, "max_output_tokens", default=0, low=0, high=1_000_000) or None
    chosen, is_cut = texts.words(digest, number=0, words_max=limit)
    tokens_in = texts.tokens_in(asked)
    kept: Object = {
        "model": model,
        "words": chosen,
        "is_cut": is_cut,
        "tokens_in": tokens_in,
        "background": bool(body.get("background")),
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "max_output_tokens": limit,
    }
    price = texts.price_nano_usd(model, tokens_in=tokens_in, tokens_cached=0, tokens_out=len(chosen))
    return kept, price, tokens_in + len(chosen)


def shown(job: jobs.Job) -> Object:
    """Show a response as it is now."""
    data, status = job.paid.data, _STATUSES[job.status]
    is_done = job.status is jobs.Status.SUCCEEDED
    if is_done and data["is_cut"]:
        status = "incomplete"
    failure = {"code": "server_error", "message": "The model failed to generate a response."}
    return {
        "id": job.id,
        "object": "response",
        "created_at": job.paid.at_s,
        "completed_at": job.over_at_s if is_done else None,
        "status": status,
        "background": data["background"],
        "error": failure if job.status is jobs.Status.FAILED else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": data["instructions"],
        "max_output_tokens": data["max_output_tokens"],
        "model": data["model"],
        "output": [_message(job, "".join(texts.pieces(data["words"])), status="completed")] if is_done else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(data) if is_done else None,
        "user": None,
        "metadata": data["metadata"],
    }


def events(job: jobs.Job) -> list[bytes]:
    """Write a response that is made at once as the events of its stream."""
    begun = {**shown(job), "status": "in_progress", "output": [], "usage": None, "completed_at": None}
    pieces = texts.pieces(job.paid.data["words"])
    text, item = "".join(pieces), _message(job, "", status="in_progress")
    place: Object = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    part: Object = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    whole = shown(job)
    last = "response.incomplete" if whole["status"] == "incomplete" else "response.completed"
    told: list[tuple[str, Object]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": {**item, "content": []}}),
        ("response.content_part.added", {**place, "part": part}),
        *(("response.output_text.delta", {**place, "delta": piece, "logprobs": []}) for piece in pieces),
        ("response.output_text.done", {**place, "text": text, "logprobs": []}),
        ("response.content_part.done", {**place, "part": {**part, "text": text}}),
        ("response.output_item.done", {"output_index": 0, "item": _message(job, text, status="completed")}),
        (last, {"response": whole}),
    ]
    return [
        chat.event({"type": name, "sequence_number": number, **value}, name=name)
        for number, (name, value) in enumerate(told)
    ]


def _message(job: jobs.Job, text: str, *, status: str) -> Object:
    return {
        "id": f"msg_{job.id.removeprefix('resp_')}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }


def _usage(data: Mapping[str, identity.JsonValue]) -> Object:
    tokens_in, tokens_out = data["tokens_in"], len(data["words"])
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens_in + tokens_out,
    }
