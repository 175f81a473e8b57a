"""Look through the lines of a batch, answer them, and show the batch as it is.

Pure. A line is answered when its batch's results are read: the same line always gives the same answer, so nothing has
to be kept. Source: types/batch.py of the package openai 3.57.0 and its guide, read 2026-11-29. Before it: the twin's
routes. After it: the results file.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from heddle.core import identity
from heddle.twins.kit import calls, jobs
from heddle.twins.openai import chat, responses, texts

Object = dict[str, identity.JsonValue]
LINES_MAX: Final = 50_000
WINDOW_S: Final = 86_400
ENDPOINTS: Final = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings")
_STATUSES: Final = {
    jobs.Status.QUEUED: "validating",
    jobs.Status.RUNNING: "in_progress",
    jobs.Status.SUCCEEDED: "completed",
    jobs.Status.FAILED: "expired",
    jobs.Status.CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One line's answer: what stands in the results, or in the errors when ``is_error``."""

    line: Object
    is_error: bool
    price_nano_usd: int
    tokens_in: int
    tokens_out: int


def trouble(lines: list[bytes], *, endpoint: str) -> Object | None:
    """Tell why a file of lines is refused as a whole, in the form of ``errors.data``; None when it is not."""
    if not lines:
        return {"code": "empty_file", "message": "The batch input file is empty.", "line": None, "param": None}
    if len(lines) > LINES_MAX:
        return {"code": "too_many_tasks", "message": f"At most {LINES_MAX} requests.", "line": None, "param": None}
    seen: set[str] = set()
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
            name, is_ours = line["custom_id"], line["url"] == endpoint and line["method"] == "POST"
        except (ValueError, KeyError, TypeError):
            return {"code": "invalid_json_line", "message": "This line is not valid.", "line": number, "param": None}
        if not is_ours:
            return {"code": "invalid_url", "message": f"Expected {endpoint}.", "line": number, "param": "url"}
        if name in seen:
            message = f"The custom_id {name} is used twice."
            return {"code": "duplicate_custom_id", "message": message, "line": number, "param": "custom_id"}
        seen.add(name)
    return None


def answer(text: bytes, *, at_s: float) -> Answered:
    """Answer one line, at half the price."""
    line = json.loads(text)
    digest = hashlib.sha256(text).hexdigest()
    head: Object = {"id": f"batch_req_{digest[:32]}", "custom_id": line["custom_id"]}
    body = line["body"] if isinstance(line.get("body"), dict) else {}
    try:
        whole, price, tokens_in, tokens_out = _body(line["url"], body, digest=digest, at_s=at_s)
    except calls.Refused as refused:
        error = {"message": str(refused), "type": "invalid_request_error", "param": refused.field, "code": refused.code}
        response = {"status_code": refused.status, "request_id": digest[:32], "body": {"error": error}}
        return Answered(
            line={**head, "response": response, "error": None},
            is_error=True,
            price_nano_usd=0,
            tokens_in=0,
            tokens_out=0,
        )
    response = {"status_code": 200, "request_id": digest[:32], "body": whole}
    return Answered(
        line={**head, "response": response, "error": None},
        is_error=False,
        price_nano_usd=price // 2,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
    )


def _body(
    url: str, body: Mapping[str, identity.JsonValue], *, digest: str, at_s: float
) -> tuple[Object, int, int, int]:
    match url:
        case "/v1/chat/completions":
            made = chat.complete(body, digest=digest, at_s=at_s)
            used = made.whole["usage"]
            return made.whole, made.price_nano_usd, used["prompt_tokens"], used["completion_tokens"]
        case "/v1/responses":
            kept, price, tokens = responses.order(body, digest=digest)
            whole: Object = {
                "id": f"resp_{digest[:32]}",
                "object": "response",
                "created_at": at_s,
                "status": "completed",
                "model": kept["model"],
                "output_text": " ".join(kept["words"]),
            }
            return whole, price, kept["tokens_in"], tokens - kept["tokens_in"]
        case _:
            return embeddings(body)


def embeddings(body: Mapping[str, identity.JsonValue]) -> tuple[Object, int, int, int]:
    """Answer a request for embeddings: the answer, its price, and the tokens in and out. Raises calls.Refused."""
    model, asked = chat.model_of(body), body.get("input")
    given = [asked] if isinstance(asked, str) else asked
    if not isinstance(given, list) or not 0 < len(given) <= 2_048 or not all(given):
        raise chat.refused("input", "Invalid 'input': expected a string, or an array of 1 to 2048 of them.")
    if isinstance(given[0], int):
        given = [given]  # one text, as tokens
    default = texts.EMBEDDING_DIMENSIONS.get(model, texts.DIMENSIONS_DEFAULT)
    dimensions = chat.whole_number(body, "dimensions", default=default, low=1, high=texts.DIMENSIONS_MAX)
    is_packed = body.get("encoding_format") == "base64"
    vectors = [texts.embedding(json.dumps(each), dimensions=dimensions) for each in given]
    tokens = sum(texts.tokens_in(each) for each in given)
    whole: Object = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": number, "embedding": texts.packed(vector) if is_packed else vector}
            for number, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return whole, texts.price_nano_usd(model, tokens_in=tokens, tokens_cached=0, tokens_out=0), tokens, 0


def shown(job: jobs.Job) -> Object:
    """Show a batch as it is now."""
    data, at_s, over_at_s = job.paid.data, int(job.paid.at_s), int(job.over_at_s or 0) or None
    status = "failed" if data["trouble"] and job.status is jobs.Status.SUCCEEDED else _STATUSES[job.status]
    is_done = status == "completed"
    done = data["total"] - data["failed"] if is_done else 0
    times = {f"{name}_at": over_at_s if status == name else None for name in ("failed", "completed", "expired")}
    is_begun = job.status is not jobs.Status.QUEUED and not data["trouble"]
    return {
        "id": job.id,
        "object": "batch",
        "endpoint": data["endpoint"],
        "model": job.paid.model or None,
        "errors": {"object": "list", "data": [data["trouble"]]} if status == "failed" else None,
        "input_file_id": data["input_file_id"],
        "completion_window": "24h",
        "status": status,
        "output_file_id": results_id(job) if is_done and done else None,
        "error_file_id": errors_id(job) if is_done and data["failed"] else None,
        "created_at": at_s,
        "in_progress_at": at_s if is_begun else None,
        "expires_at": at_s + WINDOW_S,
        "finalizing_at": over_at_s if is_done else None,
        **times,
        "cancelling_at": over_at_s if status == "cancelled" else None,
        "cancelled_at": over_at_s if status == "cancelled" else None,
        "request_counts": {"total": data["total"], "completed": done, "failed": data["failed"] if is_done else 0},
        "usage": data["usage"] if is_done else None,
        "metadata": data["metadata"],
    }


def results_id(job: jobs.Job) -> str:
    """Name the file of a batch's results."""
    return job.id.replace("batch_", "file-out-")


def errors_id(job: jobs.Job) -> str:
    """Name the file of a batch's errors."""
    return job.id.replace("batch_", "file-err-")
