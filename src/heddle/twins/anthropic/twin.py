"""Answer as Anthropic's Messages API does: messages and their streams, token counts, models, errors and limits.

Before it: ``heddle twin anthropic`` or a test. After it: ``kit.jobs`` with a payment, ``writing`` with a message.
Sources: https://platform.claude.com/docs/en/api (messages, errors, rate-limits) and anthropic 2.14.0, read 2026-11-29.
"""

import asyncio
import collections
import dataclasses
import datetime as dt
import json
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from heddle.core import identity
from heddle.twins.anthropic import models, writing
from heddle.twins.kit import answers, calls, jobs, options, server

REQUESTS_A_MINUTE: Final = 1_000
TOKENS_A_MINUTE: Final = 400_000
WINDOW_S: Final = 60.0
CACHED_MAX: Final = 1_000
CACHED_TOKENS_MIN: Final = 1_024
# …/api/versioning: the newer one refuses sampling parameters and documents of the assistant.
_STRICT_VERSION: Final = "2026-10-21"
_VERSIONS: Final = ("2023-06-01", _STRICT_VERSION)
_REMOVED: Final = ("temperature", "top_p", "top_k")
_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


class AnthropicTwin(server.Twin):
    """The twin of Anthropic."""

    name: ClassVar[str] = "anthropic"
    body_bytes_max: ClassVar[int] = 32 * 1024**2

    def __init__(self, given: options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(given, now_s=now_s)
        self._cached: collections.OrderedDict[str, int] = collections.OrderedDict()
        self._window: tuple[int, int, int] = (0, 0, 0)

    def routes(self) -> Sequence[server.Route]:
        """List the routes."""
        return [
            server.paid("/v1/messages", self._message),
            server.Route(method="POST", path="/v1/messages/count_tokens", handler=self._count_tokens),
            server.Route(method="GET", path="/v1/models", handler=self._models),
            server.Route(method="GET", path="/v1/models/{model}", handler=self._model),
        ]

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal as the API does."""
        kind = _TYPES.get(refused.status, "api_error" if refused.status >= 500 else "invalid_request_error")
        error: dict[str, identity.JsonValue] = {"type": kind, "message": str(refused)}
        if refused.code:
            error["details"] = {"error_code": refused.code}
        value = {"type": "error", "error": error}
        return answers.json_answer(refused.status, value, headers=refused.headers)

    def is_authorised(self, call: calls.Call) -> bool:
        """Take the key as ``x-api-key``, or as a bearer token, which the package sends since its 2.0."""
        given = call.headers.get("x-api-key") or call.headers.get("authorization", "").removeprefix("Bearer ")
        return server.is_equal(given, self.options.api_key)

    def unauthorised(self, call: calls.Call) -> calls.Refused:
        """Word a 401."""
        return calls.Refused(401, "", "invalid x-api-key")

    def throttled(self, call: calls.Call, *, wait_s: float) -> calls.Refused:
        """Word a 429."""
        message = (
            f"This request would exceed your organization's rate limit of {REQUESTS_A_MINUTE} requests per minute."
        )
        return calls.Refused(429, "", message, headers={"retry-after": str(max(1, round(wait_s)))})

    def broken(self, call: calls.Call) -> calls.Refused:
        """Word a failure before acceptance: half of them are an overload."""
        if int(call.digest[:2], 16) % 2:
            return calls.Refused(529, "", "Overloaded")
        return calls.Refused(500, "", "Internal server error")

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Break a stream off with an error event in its middle; say 200 to an error otherwise."""
        if len(answer.pieces) > 1:
            error = {"type": "overloaded_error", "message": "Overloaded"}
            broken = (*answer.pieces[: len(answer.pieces) // 2], writing.event("error", error=error))
            return dataclasses.replace(answer, pieces=broken)
        return dataclasses.replace(self.error(self.broken(call)), status=200)

    def finish(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Add the request's id, to an error's body too, and what is left of the limits."""
        request_id = f"req_{call.request_id.removeprefix('req_')}"
        headers = {**answer.headers, "request-id": request_id, **self._limits(call.at_s)}
        if answer.status >= 400:
            value = {**json.loads(answer.body), "request_id": request_id}
            return answers.json_answer(answer.status, value, headers=headers)
        return dataclasses.replace(answer, headers=headers)

    async def _message(self, call: calls.Call) -> answers.Answer:
        asked = self._asked(call)
        limit = asked.get("max_tokens")
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise calls.Refused(400, "", "max_tokens: Field required")
        message_id = f"msg_{call.digest[:24]}"
        whole = writing.message(asked, message_id=message_id, seed=self.plan.seed, cached=self._cache(asked))
        job = await self.jobs.pay(
            jobs.Order(
                operation="messages",
                model=str(asked["model"]),
                digest=call.digest,
                amount_nano_usd=models.price_nano_usd(str(asked["model"]), whole["usage"]),
                id_prefix="msg_",
                is_job=False,
            )
        )
        self._use(call.at_s, tokens=whole["usage"]["input_tokens"] + whole["usage"]["output_tokens"])
        whole["id"] = job.id
        latency_s = job.paid.fate.latency_s
        if asked.get("stream") is True:
            events = writing.events(whole)
            return answers.stream(events, pause_s=latency_s / len(events))
        await asyncio.sleep(latency_s)
        return answers.json_answer(200, whole)

    async def _count_tokens(self, call: calls.Call) -> answers.Answer:
        asked = self._asked(call)
        count = writing.tokens_of([asked.get(key) for key in ("system", "messages", "tools")])
        return answers.json_answer(200, {"input_tokens": max(1, count)})

    async def _models(self, call: calls.Call) -> answers.Answer:
        limit = call.query.get("limit", "20")
        names = list(models.PRICES_USD)
        after = call.query.get("after_id", "")
        start = names.index(after) + 1 if after in names else 0
        page = names[start : start + max(1, int(limit) if limit.isdigit() else 20)]
        value = {
            "data": [models.shown(name) for name in page],
            "has_more": start + len(page) < len(names),
            "first_id": page[0] if page else None,
            "last_id": page[-1] if page else None,
        }
        return answers.json_answer(200, value)

    async def _model(self, call: calls.Call) -> answers.Answer:
        model = call.parameters["model"]
        if model not in models.PRICES_USD:
            raise calls.Refused(404, "", f"model: {model}")
        return answers.json_answer(200, models.shown(model))

    def _asked(self, call: calls.Call) -> writing.JsonObject:
        """Read and check what every request with messages has. Raises Refused."""
        version = call.headers.get("anthropic-version", "")
        if version not in _VERSIONS:
            message = f'"{version}" is not a valid version' if version else "header is required"
            raise calls.Refused(400, "", f"anthropic-version: {message}")
        try:
            asked = call.json()
        except calls.Refused:
            raise calls.Refused(400, "", "The request body is not valid JSON.") from None
        model, messages = asked.get("model"), asked.get("messages")
        if not isinstance(model, str) or not model:
            raise calls.Refused(400, "", "model: Field required")
        if not model.startswith("claude-"):
            raise calls.Refused(404, "", f"model: {model}")
        if not isinstance(messages, list) or not messages:
            raise calls.Refused(400, "", "messages: at least one message is required")
        for number, message in enumerate(messages):
            if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
                raise calls.Refused(400, "", f"messages.{number}.role: Input should be 'user' or 'assistant'")
            if not isinstance(message.get("content"), str | list):
                raise calls.Refused(400, "", f"messages.{number}.content: Field required")
        if version == _STRICT_VERSION:
            _refuse_removed(asked, messages)
        return asked

    def _cache(self, asked: writing.JsonObject) -> writing.Cached:
        """Write what a request asks to be cached, or read it when the same was asked before."""
        beginning = [asked["model"], asked.get("system"), asked.get("tools"), asked["messages"][:1]]
        size = writing.tokens_of(beginning[1:])
        if not writing.is_caching(beginning) or size < CACHED_TOKENS_MIN:
            return writing.Cached()
        key = json.dumps(beginning, sort_keys=True)
        if key in self._cached:
            return writing.Cached(read=size)
        self._cached[key] = size
        if len(self._cached) > CACHED_MAX:
            self._cached.popitem(last=False)
        return writing.Cached(written=size)

    def _use(self, at_s: float, *, tokens: int) -> None:
        minute, requests, used = self._of_minute(at_s)
        self._window = (minute, requests + 1, used + tokens)

    def _of_minute(self, at_s: float) -> tuple[int, int, int]:
        minute = int(at_s // WINDOW_S)
        return self._window if self._window[0] == minute else (minute, 0, 0)

    def _limits(self, at_s: float) -> dict[str, str]:
        minute, requests, used = self._of_minute(at_s)
        resets_at = dt.datetime.fromtimestamp((minute + 1) * WINDOW_S, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = (("requests", REQUESTS_A_MINUTE, requests), ("tokens", TOKENS_A_MINUTE, used))
        headers: dict[str, str] = {}
        for name, limit, count in told:
            at = f"anthropic-ratelimit-{name}"
            headers |= {
                f"{at}-limit": str(limit),
                f"{at}-remaining": str(max(0, limit - count)),
                f"{at}-reset": resets_at,
            }
        return headers


def _refuse_removed(asked: writing.JsonObject, messages: list[writing.JsonObject]) -> None:
    """Refuse what the API's newer version no longer takes. Raises Refused."""
    for name in _REMOVED:
        if name in asked:
            raise calls.Refused(400, "", f"{name}: Extra inputs are not permitted")
    for number, message in enumerate(messages):
        blocks = message["content"] if isinstance(message["content"], list) else []
        if message["role"] == "assistant" and any(
            isinstance(block, dict) and block.get("type") == "document" for block in blocks
        ):
            text = "document blocks are not allowed in assistant messages"
            raise calls.Refused(400, "", f"messages.{number}.content: {text}")
