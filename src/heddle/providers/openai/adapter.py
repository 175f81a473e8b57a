"""Call one operation of OpenAI's API, or of a server that speaks like it.

This module gives each operation its place behind the port; what an answer means is said by ``line`` and the tables. It
never repeats a request and sends none of the vendor client's own headers. Before it in the walk: execute and poll.
After it: settle.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from heddle.core import attempt, settle
from heddle.ports import provider
from heddle.providers import json_wire, signing, transport
from heddle.providers.openai import batches, completions, line, operations, pictures, videos, wire

CHECK_TIMEOUT_S: Final = 5.0
# The first part of an event's type, and where jobs of that kind are.
_EVENT_PATHS: Final[Mapping[str, str]] = {"batch": "batches", "response": "responses", "video": "videos"}


class _Worker(Protocol):
    async def send(self, request: provider.ProviderRequest) -> settle.Outcome: ...

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome: ...


class OpenaiProvider:
    """Speak to one endpoint."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._config = config
        self._line = line.Line(config, connections)
        operation = self._line.options.operation
        self._batches = batches.Batches(self._line) if operation is operations.Operation.BATCH else None
        self._completions = completions.Completions(self._line)
        self._worker: _Worker = self._batches or _worker(operation, self._line, self._completions)
        is_asked = self._batches is not None
        self.capabilities = provider.Capabilities(
            idempotency=attempt.IdempotencyClass.B if is_asked else attempt.IdempotencyClass.C,
            is_paid=self._line.is_paid,
            has_poll=operation not in (operations.Operation.CHAT, operations.Operation.EMBEDDINGS),
            has_lookup=is_asked,
            has_cancel=operation in (operations.Operation.RESPONSES, operations.Operation.BATCH),
            lookup_bound_s=self._line.options.lookup_bound_s if is_asked else 0.0,
        )
        self._transport = connections.hold()

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt."""
        return await self._worker.send(request)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after an accepted job."""
        if not self.capabilities.has_poll:
            return self._line.unproven("an operation without jobs was asked after one of the operation before it")
        return await self._worker.poll(handle, request)

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Find a batch by the attempt's id; nothing else can be found."""
        if self._batches is None:
            return settle.Unknown(message=f"{self._line.outcomes.where} cannot be asked what became of a request")
        return await self._batches.lookup(request)

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask for a batch or a response in the background to be stopped; no for everything else."""
        if self._batches is not None:
            return await self._batches.cancel(handle, request)
        return await self._completions.cancel(handle, request)

    def verify_callback(self, *, headers: Mapping[str, str], body: bytes, now_s: float) -> provider.CallbackEvent:
        """Verify a webhook by Standard Webhooks, and name the batch, response or video it tells of."""
        secret = self._line.callback_secret
        if secret is None:
            raise provider.CallbackRefused(
                f"{self._line.outcomes.where} has no callback_secret, so no webhook can be believed"
            )
        try:
            event_id = signing.verify(secret=secret, headers=headers, body=body, now_s=now_s)
        except signing.SignatureRefused as error:
            raise provider.CallbackRefused(f"{self._line.outcomes.where} ({error.code}): {error}") from None
        return provider.CallbackEvent(event_id=event_id, is_verified=True, handle=self._named(body))

    def _named(self, body: bytes) -> str | None:
        try:
            event = json_wire.parse_json(body)
        except json_wire.WireRefused:
            return None
        path = _EVENT_PATHS.get(wire.text(event, "type").partition(".")[0])
        job_id = wire.text(event.get("data"), "id") if isinstance(event, dict) else ""
        return f"{self._line.base_url}/{path}/{wire.quoted(job_id)}" if path and job_id else None

    async def check(self) -> str | None:
        """Ask for the list of models, which costs nothing and needs the key."""
        reply = await self._line.probe(timeout_s=CHECK_TIMEOUT_S)
        if not isinstance(reply, transport.Reply):
            return reply.message
        if reply.status == 200:
            return None
        if reply.status in (404, 405):
            return f"/models answered {reply.status}; does the url end in /v1 or what stands for it there?"
        return f"/models answered {reply.status}: {self._line.excerpt(reply.body)}"

    async def close(self) -> None:
        """Let go of the connections."""
        await self._transport.release()


def _worker(operation: operations.Operation, to: line.Line, others: completions.Completions) -> _Worker:
    match operation:
        case operations.Operation.IMAGES_GENERATE | operations.Operation.IMAGES_EDIT:
            return pictures.Pictures(to)
        case operations.Operation.VIDEOS:
            return videos.Videos(to)
        case _:
            return others
