"""Stream a chat completion: pieces as the provider gives them, and what they left out when the answer stands.

The settled answer is the truth. Pieces of the first attempt that gives any go out as they come. If that attempt fails
and another one answers, nothing of it is sent until its end; then the rest of its text follows, if the text begins with
what went out, and otherwise the stream says that it was cut off and where the answer is. A call that another worker
made gives no pieces here, and its answer is sent whole.
"""

import asyncio
import collections
import time
from typing import Any

from aiohttp import web

from heddle.core import identity
from heddle.engine import calls
from heddle.gateway import carry, openai_form, refusals
from heddle.gateway import house as house_module

PIECES_MAX = 10_000
"""Pieces that wait for a slow reader; beyond it they are left out and follow with the whole answer."""


class Pieces:
    """Gather the pieces of an answer for one stream, and know what of it went out."""

    def __init__(self) -> None:
        self._waiting: collections.deque[identity.JsonValue] = collections.deque()
        self._filled = asyncio.Event()
        self._attempt: int | None = None
        self._is_full = False
        self.sent: dict[int, str] = {}
        self.finished: set[int] = set()
        self.wants_usage = False
        self.has_usage = False
        self.has_structure = False

    def take(self, attempt: int, piece: identity.JsonValue) -> None:
        """Take a piece of an attempt; only the first attempt that gives any is listened to."""
        if self._attempt is None:
            self._attempt = attempt
        if attempt != self._attempt or self._is_full:
            return
        if len(self._waiting) >= PIECES_MAX:
            self._is_full = True
            return
        self._waiting.append(piece)
        self._filled.set()

    async def wait(self) -> None:
        """Wait for a piece."""
        await self._filled.wait()

    def chunks(self, head: dict[str, Any]) -> list[dict[str, Any]]:
        """Give what waits as chunks, and note what goes out with them."""
        found = []
        while self._waiting:
            made = self._chunk(self._waiting.popleft(), head)
            if made is not None:
                found.append(made)
        self._filled.clear()
        return found

    def _chunk(self, piece: identity.JsonValue, head: dict[str, Any]) -> dict[str, Any] | None:
        if isinstance(piece, str):
            choices: list[Any] = [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]
            if 0 not in self.sent:
                choices[0]["delta"]["role"] = "assistant"
            made = openai_form.chunk(head, choices)
        elif isinstance(piece, dict) and isinstance(piece.get("choices"), list):
            made = {**openai_form.chunk(head, []), **piece}
        else:
            return None
        for choice in made["choices"]:
            self._note(choice)
        self.has_usage = self.has_usage or bool(made.get("usage"))
        return made

    def _note(self, choice: dict[str, Any]) -> None:
        index, delta = int(choice.get("index", 0)), choice.get("delta") or {}
        content = delta.get("content") or ""
        is_text = isinstance(content, str)
        self.sent[index] = self.sent.get(index, "") + (content if is_text else "")
        # Some vendors' models say their content in parts; of those, too, what is missing cannot be told from the whole.
        is_structure = bool(delta.get("tool_calls") or delta.get("function_call")) or not is_text
        self.has_structure = self.has_structure or is_structure
        if choice.get("finish_reason"):
            self.finished.add(index)


async def stream(
    request: web.Request, house: house_module.House, watch: calls.Watch, asked: carry.Asked, pieces: Pieces
) -> web.StreamResponse:
    """Answer with a stream; a call that fails before its first piece is answered as if there were no stream."""
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "x-request-id": str(watch.run_id),
            "X-Accel-Buffering": "no",
        }
    )
    head: dict[str, Any] = {
        "id": f"chatcmpl-{watch.run_id}",
        "created": int(time.time()),
        "model": asked.model,
    }
    within_s = house.limits.gateway_wait_s
    output = asyncio.ensure_future(carry.output(house, watch, asked))
    try:
        try:
            await _send_pieces(request, response, head, pieces, output, within_s=within_s)
            whole = openai_form.completion(await output, run_id=str(watch.run_id), model=asked.model)
            last = rest(whole, pieces, head, run_id=str(watch.run_id))
        except ConnectionError:
            raise
        except Exception as error:
            if not response.prepared:
                raise
            refusal = refusals.of_exception(error, has_key=asked.key is not None)
            last = [{"error": openai_form.error_body(refusal)}]
        if not response.prepared:
            await response.prepare(request)
        ending = [*map(openai_form.event, last), openai_form.DONE]
        await carry.write(request, response, b"".join(ending), within_s=within_s)
        return response
    finally:
        output.cancel()


async def _send_pieces(
    request: web.Request,
    response: web.StreamResponse,
    head: dict[str, Any],
    pieces: Pieces,
    output: "asyncio.Future[Any]",
    *,
    within_s: float,
) -> None:
    while not output.done():
        waiting = asyncio.ensure_future(pieces.wait())
        try:
            await asyncio.wait({waiting, output}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        await _write(request, response, pieces.chunks(head), within_s=within_s)
    await _write(request, response, pieces.chunks(head), within_s=within_s)


async def _write(
    request: web.Request, response: web.StreamResponse, made: list[dict[str, Any]], *, within_s: float
) -> None:
    if made and not response.prepared:
        await response.prepare(request)
    if made:
        # One write for all that waits: a fast provider would otherwise cost a system call for every token.
        data = b"".join(openai_form.event(each) for each in made)
        await carry.write(request, response, data, within_s=within_s)


def rest(whole: dict[str, Any], pieces: Pieces, head: dict[str, Any], *, run_id: str) -> list[dict[str, Any]]:
    """Give the chunks that complete what went out to the whole answer, or the error that says it cannot be."""
    made: list[dict[str, Any]] = []
    for choice in whole["choices"]:
        index = int(choice.get("index", 0))
        message = choice.get("message") or {}
        text, sent = message.get("content") or "", _joined(pieces.sent.get(index, ""))
        text = text if isinstance(text, str) else ""
        if not text.startswith(sent) or (pieces.has_structure and index not in pieces.finished):
            return [{"error": openai_form.error_body(_cut_off(run_id))}]
        if index in pieces.finished and text == sent:
            continue
        delta = {} if index in pieces.sent else {**message, "role": "assistant"}
        delta = {**_numbered(delta), **({"content": text[len(sent) :]} if text[len(sent) :] else {})}
        finish: dict[str, Any] = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}
        if delta:
            made.append(openai_form.chunk(head, [{"index": index, "delta": delta, "finish_reason": None}]))
        made.append(openai_form.chunk(head, [finish]))
    if pieces.wants_usage and not pieces.has_usage and whole.get("usage"):
        made.append(openai_form.chunk(head, [], usage=whole["usage"]))
    return made


def _joined(text: str) -> str:
    """Make characters of surrogate pairs whose halves came in two pieces."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _numbered(delta: dict[str, Any]) -> dict[str, Any]:
    """Give the calls of tools their place, which a chunk names and a message does not."""
    found = delta.get("tool_calls")
    if not isinstance(found, list):
        return delta
    return {**delta, "tool_calls": [{"index": index, **each} for index, each in enumerate(found)]}


def _cut_off(run_id: str) -> refusals.Refusal:
    message = (
        f"The answer that was streamed was cut off, and another attempt gave another one: see GET /v1/runs/{run_id}."
    )
    return refusals.Refusal(status=502, code="stream_cut_off", message=message, may_repeat=False)
