"""Give every answer of the twin the vendor's form: errors, headers, limits, lists and webhooks.

The vendor takes no idempotency key, and neither does its twin: the same request, sent twice, is paid for twice. Before
it: the routes, which make what is asked for. After it: ``kit``.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from typing import ClassVar, Final

from heddle.core import identity
from heddle.providers import signing
from heddle.twins.kit import answers, callbacks, calls, jobs, options, server
from heddle.twins.openai import batches, rates, responses

Object = dict[str, identity.JsonValue]
PAGE_MAX: Final = 100
PAGE_DEFAULT: Final = 20
_KINDS: Final = {401: "invalid_request_error", 429: "requests", 500: "server_error", 503: "server_error"}


class Desk(server.CallbackTwin):
    """What all routes share. ``endpoints``: the webhook endpoints of the account, by id."""

    name: ClassVar[str] = "openai"
    is_failure_refunded: ClassVar[bool] = True

    def __init__(self, given: options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(given, now_s=now_s)
        self.account = rates.Account(now_s=now_s())
        self.endpoints: dict[str, Object] = {}

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal as ``{"error": {"message", "type", "param", "code"}}``."""
        error = {
            "message": str(refused),
            "type": _KINDS.get(refused.status, "invalid_request_error"),
            "param": refused.field,
            "code": refused.code if refused.status < 500 else None,
        }
        return answers.json_answer(refused.status, {"error": error}, headers=refused.headers)

    def throttled(self, call: calls.Call, *, wait_s: float) -> calls.Refused:
        """Word a 429 with the headers that tell of the limit."""
        headers = {
            **self.account.headers(now_s=call.at_s),
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": rates.duration(wait_s),
            "retry-after": str(max(1, round(wait_s))),
            "retry-after-ms": str(round(wait_s * 1_000)),
        }
        limit = self.account.requests.per_min
        message = (
            f"Rate limit reached for the organization org-twin on requests per min (RPM): Limit {limit}, Used {limit}, "
            f"Requested 1. Please try again in {rates.duration(wait_s)}."
        )
        return calls.Refused(429, "rate_limit_exceeded", message, headers=headers)

    def broken(self, call: calls.Call) -> calls.Refused:
        """Word a 500 before acceptance."""
        message = "The server had an error while processing your request. Sorry about that!"
        return calls.Refused(500, "server_error", message)

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Break a stream off with an error under status 200, or answer an error under it."""
        error = self.error(self.broken(call))
        if len(answer.pieces) == 1:
            return dataclasses.replace(error, status=200)
        half = answer.pieces[: len(answer.pieces) // 2]
        return dataclasses.replace(answer, pieces=(*half, b"data: " + error.body + b"\n\n"))

    def finish(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Add the headers that every answer of the vendor carries."""
        own = {
            "x-request-id": call.request_id,
            "openai-version": "2020-10-01",
            "openai-organization": call.headers.get("openai-organization", "org-twin"),
            "openai-processing-ms": str(max(0, round((self.now_s() - call.at_s) * 1_000))),
        }
        if call.method == "POST":
            own |= self.account.headers(now_s=self.now_s())
        return dataclasses.replace(answer, headers={**own, **answer.headers})

    def sign(self, job: jobs.Job, now_s: float) -> callbacks.Letter:
        """Write and sign the webhook of a job that is over (Standard Webhooks)."""
        kind = self._event(job)
        mark = hashlib.sha256(f"{job.id}/{kind}".encode()).hexdigest()[:32]
        event = {
            "object": "event",
            "id": f"evt_{mark}",
            "type": kind,
            "created_at": int(job.over_at_s or now_s),
            "data": {"id": job.id},
        }
        body = json.dumps(event, separators=(",", ":")).encode()
        signed = signing.sign(
            secret=self.options.webhook_secret, message_id=f"wh_{mark}", timestamp_s=int(now_s), body=body
        )
        return callbacks.Letter(headers={"Content-Type": "application/json", **signed}, body=body)

    def _event(self, job: jobs.Job) -> str:
        match job.paid.operation:
            case "batch":
                return f"batch.{batches.shown(job)['status']}"
            case "responses":
                return f"response.{responses.shown(job)['status']}"
            case _:
                return f"video.{'completed' if job.status is jobs.Status.SUCCEEDED else 'failed'}"

    def callback_url(self, event_type: str) -> str | None:
        """Give the URL of the newest webhook endpoint that wants events of a type."""
        wanted = (each["url"] for each in reversed(self.endpoints.values()) if event_type in each["event_types"])
        return next(wanted, None)

    async def charge(self, call: calls.Call, order: jobs.Order, *, tokens: int) -> jobs.Job:
        """Count a request against the limits and take payment for it. Raises calls.Refused or as ``jobs.pay`` does."""
        if not self.account.has_room(tokens=tokens, now_s=call.at_s):
            raise self.throttled(call, wait_s=1.0)
        self.account.take(tokens=tokens, now_s=call.at_s)
        return await self.jobs.pay(order)

    def job(self, call: calls.Call, operation: str, kind: str) -> jobs.Job:
        """Find the job that a path names. Raises calls.Refused."""
        found = self.jobs.find(call.parameters["id"])
        if found is None or found.paid.operation != operation:
            name = call.parameters["id"][:100]
            raise calls.Refused(404, "not_found", f"{kind} with id '{name}' not found.", field="id")
        return found

    def page(self, call: calls.Call, found: list[Object]) -> answers.Answer:
        """Give one page of a list: ``after`` names the last one seen, ``limit`` how many come."""
        try:
            limit = min(PAGE_MAX, max(1, int(call.query.get("limit", PAGE_DEFAULT))))
        except ValueError:
            raise calls.Refused(400, "invalid_value", "Invalid 'limit'.", field="limit") from None
        after = call.query.get("after")
        start = next((number + 1 for number, each in enumerate(found) if each["id"] == after), 0)
        shown = found[start : start + limit]
        page = {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": start + limit < len(found),
        }
        return answers.json_answer(200, page)
