"""Make chat completions, responses and embeddings: one request, one answer, streamed where somebody listens.

A response asked for in the background is a job: it is accepted, asked after and can be cancelled. A stream that ends
before its end is told of is never an answer. Before it: the adapter. After it: ``line`` and settle.
"""

from collections.abc import Mapping

from heddle.core import faults, identity, settle
from heddle.ports import blobs, provider
from heddle.providers import json_wire, sse, transport
from heddle.providers.openai import faults as openai_faults
from heddle.providers.openai import line, operations, pictures, streams, usage, wire

Object = dict[str, identity.JsonValue]
INLINE_BYTES_MAX = 60_000  # what a step's output may be inline, with a margin (program/encoding.py)
_WORKING = frozenset({"queued", "in_progress"})
_LARGE_PARTS = ("choices", "output", "data")


class Completions:
    """Make the calls of one endpoint whose operation is chat, responses or embeddings."""

    def __init__(self, to: line.Line) -> None:
        self._line = to
        self._operation = to.options.operation

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt."""
        is_streamed = self._is_streamed(request)
        try:
            body = await wire.json_body(request, self._extra(request, is_streamed=is_streamed))
            data = wire.Body(media_type="application/json", data=json_wire.write_json(body))
        except (json_wire.WireRefused, wire.TooLarge, blobs.BlobMissing, ValueError) as error:
            return self._line.not_sent(error)
        path = operations.PATHS[self._operation]
        call = self._line.call(request, "POST", path, body=data, bytes_max=self._line.options.response_bytes_max)
        async with self._line.transport.open(call) as opened:
            if not isinstance(opened, transport.Opened):
                return self._line.loss(opened)
            if opened.status == 200 and transport.media_type(opened.headers) == "text/event-stream":
                return await self._gathered(opened, request)
            reply = await transport.whole(opened)
        if not isinstance(reply, transport.Reply):
            return self._line.loss(reply)
        if not 200 <= reply.status < 300:
            return self._line.refused(reply)
        answer = self._line.object_of(reply)
        if isinstance(answer, str):
            return self._line.fault(faults.Fault.BAD_OUTPUT, answer, billed_nano_usd=None)
        return await self._judged(answer, request, opened.headers)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after a response made in the background."""
        if not self._line.is_ours(handle):
            return self._line.elsewhere(handle)
        answer = await self._line.ask(request, handle, name="response", bytes_max=self._line.options.response_bytes_max)
        if not isinstance(answer, dict):
            return answer
        if wire.text(answer, "status") in _WORKING:
            return self._line.again(wire.text(answer, "status"))
        return await self._judged(answer, request, {})

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask for a response in the background to be stopped."""
        if self._operation is not operations.Operation.RESPONSES or not self._line.is_ours(handle):
            return False
        reply = await self._line.transport.exchange(self._line.call(request, "POST", f"{handle}/cancel"))
        if not isinstance(reply, transport.Reply) or reply.status != 200:
            return False
        answer = self._line.object_of(reply)
        return isinstance(answer, dict) and wire.text(answer, "status") == "cancelled"

    def _is_streamed(self, request: provider.ProviderRequest) -> bool:
        if self._operation is operations.Operation.EMBEDDINGS or request.on_delta is None:
            return False
        return not request.input.get("background")

    def _extra(self, request: provider.ProviderRequest, *, is_streamed: bool) -> Object:
        extra: Object = {"model": self._line.model(request)}
        if is_streamed:
            extra["stream"] = True
            if self._operation is operations.Operation.CHAT:
                extra["stream_options"] = {"include_usage": True}
        tier = self._line.options.service_tiers.get(request.priority)
        if tier and self._operation is not operations.Operation.EMBEDDINGS and "service_tier" not in request.input:
            extra["service_tier"] = tier
        return extra

    async def _gathered(self, opened: transport.Opened, request: provider.ProviderRequest) -> settle.Outcome:
        """Put a stream together, handing each piece on as it comes."""
        assembly = self._assembly()
        try:
            async for event in sse.events(opened.chunks):
                piece = assembly.take(event)
                if piece is not None and request.on_delta is not None:
                    request.on_delta(piece)
                if assembly.whole is not None:
                    return await self._judged(assembly.whole, request, opened.headers)
        except transport.BodyLost as error:
            return self._line.loss(error.lost)
        except (sse.StreamRefused, json_wire.WireRefused) as error:
            return self._line.partial(f"the stream could not be read to its end: it {error}")
        except streams.StreamFailed as error:
            code = wire.code_of(error.error) or "no code"
            said = self._line.excerpt(wire.text(error.error, "message").encode())
            return self._line.partial(f"the stream broke off with an error ({code}): {said}")
        return self._line.partial("the stream ended before its end was told")

    def _assembly(self) -> streams.Assembly:
        if self._operation is not operations.Operation.CHAT:
            return streams.ResponseAssembly()
        needs_reasons = self._line.options.stream_end is operations.StreamEnd.FINISH_REASON
        return streams.ChatAssembly(needs_reasons=needs_reasons)

    async def _judged(
        self, answer: Object, request: provider.ProviderRequest, headers: Mapping[str, str]
    ) -> settle.Outcome:
        """Judge a whole answer."""
        used = usage.read(answer)
        cost, heard = self._line.cost_nano_usd(request, used), self._line.told(headers, used)
        match self._operation:
            case operations.Operation.CHAT:
                is_whole = isinstance(answer.get("choices"), list) and bool(answer["choices"])
            case operations.Operation.EMBEDDINGS:
                is_whole = isinstance(answer.get("data"), list)
            case _:
                if (ended := self._ended_badly(answer, cost=cost)) is not None:
                    return ended
                is_whole = isinstance(answer.get("output"), list)
        if not is_whole:
            body = self._line.excerpt(json_wire.write_json(answer))
            message = f"the answer is none of {self._operation}: {body}"
            return self._line.fault(faults.Fault.BAD_OUTPUT, message, billed_nano_usd=cost, heard=heard)
        try:
            output = await _fitted(await pictures.kept(answer, artifacts=request.artifacts), request.artifacts)
        except blobs.BlobRefused as error:
            return self._line.outcomes.blob_refused(error, billed=cost)
        except OSError as error:
            return self._line.outcomes.not_stored(error)
        return settle.Completed(output=output, cost_nano_usd=cost, told=heard)

    def _ended_badly(self, answer: Object, *, cost: int | None) -> settle.Outcome | None:
        """Judge a response by its status; None for one that has its output."""
        status, name = wire.text(answer, "status"), wire.text(answer, "id")
        if status in _WORKING:
            if not name:
                return self._line.unproven("the response is being made, and the answer names none")
            handle = f"{self._line.base_url}/responses/{wire.quoted(name)}"
            return settle.Accepted(handle=handle, poll_after_s=self._line.options.poll_after_s)
        if status == "cancelled":
            message = f"the response {name} was cancelled"
            return self._line.fault(faults.Fault.CANCELLED, message, billed_nano_usd=cost or 0)
        if status == "failed":
            code = wire.code_of(answer.get("error"))
            said = self._line.excerpt(wire.text(answer.get("error"), "message").encode())
            return self._line.fault(
                openai_faults.job_fault_of(code),
                f"the response {name} failed ({code or 'no code'}): {said}",
                billed_nano_usd=cost or 0,
            )
        return None


async def _fitted(answer: Object, artifacts: provider.ArtifactReader) -> Object:
    """Give an answer that fits inline: a part that does not is kept as an artifact of JSON, since it is paid for.

    A text of many pages does not fit, and neither do two vectors of 3,072 numbers. Raises BlobRefused or OSError.
    """
    if len(json_wire.write_json(answer)) <= INLINE_BYTES_MAX:
        return answer
    fitted = dict(answer)
    for key in _LARGE_PARTS:
        if key in fitted:
            data = json_wire.write_json(fitted[key])
            fitted[key] = (await artifacts.write(data, media_type="application/json")).as_json()
    return fitted
