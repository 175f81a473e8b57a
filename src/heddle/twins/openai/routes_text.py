"""Serve chat completions, responses and embeddings. Before it: the twin. After it: ``chat`` and ``responses``."""

import asyncio
import dataclasses
from collections.abc import Sequence

from heddle.twins.kit import answers, calls, jobs, server
from heddle.twins.openai import batches, chat, desk, responses

_TIMER_SLACK_S = 0.01  # a timer may fire a little before the clock says so


class TextRoutes:
    """The routes that answer with text and vectors."""

    def __init__(self, shared: desk.Desk) -> None:
        self._desk = shared

    def routes(self) -> Sequence[server.Route]:
        """List the routes."""
        return [
            server.paid("/v1/chat/completions", self._chat),
            server.paid("/v1/embeddings", self._embeddings),
            server.paid("/v1/responses", self._respond),
            server.question("GET", "/v1/responses/{id}", self._response),
            server.Route(method="POST", path="/v1/responses/{id}/cancel", handler=self._cancel),
            server.Route(method="DELETE", path="/v1/responses/{id}", handler=self._delete),
        ]

    async def _chat(self, call: calls.Call) -> answers.Answer:
        body = call.json()
        made = chat.complete(body, digest=call.digest, at_s=call.at_s)
        order = jobs.Order(
            operation="chat",
            model=made.whole["model"],
            digest=call.digest,
            amount_nano_usd=made.price_nano_usd,
            id_prefix="chatcmpl-",
            is_job=False,
        )
        job = await self._desk.charge(call, order, tokens=made.tokens)
        whole = {**made.whole, "id": job.id}
        if body.get("stream"):
            wanted = body.get("stream_options")
            with_usage = bool(isinstance(wanted, dict) and wanted.get("include_usage"))
            events = chat.chunks(dataclasses.replace(made, whole=whole), with_usage=with_usage)
            return answers.stream(events, pause_s=job.paid.fate.latency_s / len(events))
        await asyncio.sleep(job.paid.fate.latency_s)
        return answers.json_answer(200, whole)

    async def _embeddings(self, call: calls.Call) -> answers.Answer:
        whole, price, tokens, _ = batches.embeddings(call.json())
        order = jobs.Order(
            operation="embeddings",
            model=whole["model"],
            digest=call.digest,
            amount_nano_usd=price,
            id_prefix="emb-",
            is_job=False,
        )
        job = await self._desk.charge(call, order, tokens=tokens)
        await asyncio.sleep(job.paid.fate.latency_s)
        return answers.json_answer(200, whole)

    async def _respond(self, call: calls.Call) -> answers.Answer:
        body = call.json()
        kept, price, tokens = responses.order(body, digest=call.digest)
        is_background, is_streamed = bool(body.get("background")), bool(body.get("stream"))
        order = jobs.Order(
            operation="responses",
            model=kept["model"],
            digest=call.digest,
            amount_nano_usd=price,
            id_prefix="resp_",
            callback_url=self._desk.callback_url("response.completed") if is_background else None,
            latency_s=0.0 if is_streamed else None,
            data=kept,
        )
        job = await self._desk.charge(call, order, tokens=tokens)
        if is_streamed:
            events = responses.events(job)
            return answers.stream(events, pause_s=self._desk.plan.latency_s / len(events))
        if not is_background and not job.paid.fate.is_stuck:
            await asyncio.sleep(job.paid.fate.latency_s + _TIMER_SLACK_S)
            job = self._desk.jobs.find(job.id) or job
        return answers.json_answer(200, responses.shown(job.as_accepted() if is_background else job))

    async def _response(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, responses.shown(self._desk.job(call, "responses", "Response")))

    async def _cancel(self, call: calls.Call) -> answers.Answer:
        job = self._desk.job(call, "responses", "Response")
        if not job.paid.data["background"]:
            raise calls.Refused(400, "invalid_request", "Only responses in the background can be cancelled.")
        return answers.json_answer(200, responses.shown(await self._desk.jobs.cancel(job.id) or job))

    async def _delete(self, call: calls.Call) -> answers.Answer:
        job = self._desk.job(call, "responses", "Response")
        is_deleted = self._desk.jobs.forget(job.id)
        return answers.json_answer(200, {"id": job.id, "object": "response", "deleted": is_deleted})
