"""Call a model by the Open Inference Protocol V2 and Triton's extensions of it.

One request, one answer: tensors by ``infer``, texts by ``generate``, whole or as a stream. Free of charge unless the
options say otherwise: then a lost answer is a passing failure and never an unknown one, because making the call again
harms nobody. Pictures become tensors on the way out and, where configured, tensors become pictures on the way back.
Before it in the walk: execute. After it: settle.
"""

import asyncio
import functools
import json
import time
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib import parse

from heddle.core import artifact, attempt, faults, identity, settle
from heddle.ports import blobs, provider
from heddle.providers import endpoints, limits, media, sse, synchronous, transport
from heddle.providers.kserve import faults as kserve_faults
from heddle.providers.kserve import generation, parameters, pictures, tensors, terms, wire

RESPONSE_BYTES_MAX = terms.RESPONSE_BYTES_MAX
PIXELS_MAX = 50_000_000
ELEMENTS_MAX = 16_384
EVENTS_TYPE = "text/event-stream"
_INLINE_BYTES_MAX = 65_536

Result = TypeVar("Result")


class KserveProvider(synchronous.Synchronous):
    """Speak to one inference server."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._terms = terms.read(config)
        super().__init__(config, connections, is_guarded=self._terms.is_paid)
        self._headers = {"Authorization": f"Bearer {config.secret}"} if config.secret else {}
        self.capabilities = provider.Capabilities(
            idempotency=attempt.IdempotencyClass.C if self._terms.is_paid else attempt.IdempotencyClass.A,
            is_paid=self._terms.is_paid,
        )

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt."""
        try:
            if self._terms.operation is not terms.Operation.INFER:
                return await self._generate(request)
            body = await self._tensors(request)
        except (tensors.TensorRefused, blobs.BlobMissing, ValueError) as error:
            return self._outcomes.unsent(error)
        reply = await self._transport.exchange(self._call(request, headers=body.headers, data=body.data))
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        return await self._completed(reply, request) if reply.status == 200 else self._refused(reply)

    async def check(self) -> str | None:
        """Ask whether the server is ready, and each model that the options name."""
        trouble = await self._trouble_at("/v2/health/ready", self._headers)
        named = dict.fromkeys([*([self._terms.model_name] if self._terms.model_name else []), *self._terms.models])
        for name in named:
            trouble = trouble or await self._trouble_of(name)
        return trouble

    async def _trouble_of(self, model: str) -> str | None:
        trouble = await self._trouble_at(f"{self._model_path(model)}/ready", self._headers)
        return None if trouble is None else f"{trouble}{await self._reason(model)}"

    async def _reason(self, model: str) -> str:
        """Ask the repository index, where the server has one (Triton), why a model is not ready."""
        reply = await self._transport.exchange(
            transport.Call(
                method="POST",
                url=f"{self._base_url}/v2/repository/index",
                headers={**self._headers, "Content-Type": "application/json"},
                body=b"{}",
                timeout_s=endpoints.CHECK_TIMEOUT_S,
                is_repeatable=True,
            )
        )
        if not isinstance(reply, transport.Reply) or reply.status != 200:
            return ""
        try:
            found = json.loads(reply.body)
            told = [f"{each['state']} {each.get('reason', '')}".strip() for each in found if each["name"] == model]
        except (ValueError, KeyError, TypeError, AttributeError):
            return ""
        return "".join(f" ({self._outcomes.quoted(each)})" for each in told[:1])

    # Tensors

    async def _tensors(self, request: provider.ProviderRequest) -> wire.Body:
        own = parameters.names(self._terms)
        made = parameters.of(
            self._terms, given=request.input, priority=request.priority, timeout_s=self._timeout_s(request)
        )
        inputs = [
            tensor
            for name, value in request.input.items()
            if name not in own and (tensor := await self._tensor(name, value, request)) is not None
        ]
        write = functools.partial(
            wire.write,
            request_id=request.attempt_id,
            inputs=inputs,
            outputs=tuple(self._terms.outputs),
            parameters=made,
            is_binary=self._terms.is_binary,
        )
        return await _beside_the_loop(write, size_bytes=sum(len(tensor.data) for tensor in inputs))

    async def _tensor(
        self, name: str, value: identity.JsonValue, request: provider.ProviderRequest
    ) -> tensors.Tensor | None:
        """Make one input's tensor; None for an input that is null."""
        if value is None:
            return None
        told = self._terms.inputs.get(name, terms.InputTensor(tensor=name, datatype=None, shape=None))
        if not artifact.is_artifact(value):
            return tensors.from_value(name=told.tensor, value=value, datatype=told.datatype, shape=told.shape)
        reference = artifact.Artifact.from_json(value)
        data = await request.artifacts.read(reference)
        if reference.media_type.startswith("image/") and told.datatype != tensors.BYTES:
            return await asyncio.to_thread(pictures.decode, name=told.tensor, data=data, pixels_max=PIXELS_MAX)
        return tensors.of_bytes(name=told.tensor, data=data)

    async def _completed(self, reply: transport.Reply, request: provider.ProviderRequest) -> settle.Outcome:
        if reply.media_type not in ("application/json", "application/octet-stream"):
            kind = reply.media_type or "no content type"
            return self._outcomes.bad(f"an inference answer was to come, {kind} came", reply.body)
        try:
            read = functools.partial(wire.read, headers=reply.headers, body=reply.body)
            answer = await _beside_the_loop(read, size_bytes=len(reply.body))
            if answer.id != request.attempt_id:
                return self._bad(f"the answer is to the request {answer.id[:100]!r}, ours was {request.attempt_id!r}")
            output = {
                self._terms.outputs.get(tensor.name, tensor.name): await self._value(tensor, request)
                for tensor in answer.outputs
            }
        except (wire.AnswerRefused, tensors.TensorRefused) as error:
            return self._bad(f"the answer cannot be used: {error}")
        except blobs.BlobRefused as error:
            return self._outcomes.blob_refused(error)
        except OSError as error:
            return self._outcomes.not_stored(error)
        return settle.Completed(output=output, told=limits.read(reply.headers, now_s=time.time()))

    async def _value(self, tensor: tensors.Tensor, request: provider.ProviderRequest) -> identity.JsonValue:
        if self._terms.output_media is terms.OutputMedia.PNG:
            encoded = tensors.single_bytes(tensor)
            if pictures.is_picture(tensor):
                encoded = await asyncio.to_thread(pictures.encode_png, tensor, pixels_max=PIXELS_MAX)
            if encoded is not None and encoded.startswith(pictures.PNG_MAGIC):
                stored = await request.artifacts.write(encoded, media_type="image/png")
                return stored.as_json()
        return tensors.to_value(tensor, elements_max=ELEMENTS_MAX)

    # Texts

    async def _generate(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Send a text and take the answer, whole or event by event. Raises what refuses the request."""
        given: identity.JsonValue = request.input
        if media.has_artifact(given):
            given = await media.write_out(given, reader=request.artifacts, as_data_url=False)
        fields = {
            self._terms.inputs[name].tensor if name in self._terms.inputs else name: given[name] for name in given
        }
        made = dict(self._terms.parameters)
        body = generation.write(request_id=request.attempt_id, fields=fields, parameters=made)
        call = self._call(request, headers={"Content-Type": "application/json"}, data=body)
        async with self._transport.open(call) as opened:
            if not isinstance(opened, transport.Opened):
                return self._outcomes.loss(opened)
            if opened.status == 200 and transport.media_type(opened.headers) == EVENTS_TYPE:
                return await self._streamed(opened, request)
            reply = await transport.whole(opened)
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        if reply.status != 200:
            return self._refused(reply)
        if reply.media_type != "application/json" or self._terms.operation is terms.Operation.GENERATE_STREAM:
            kind = reply.media_type or "no content type"
            return self._outcomes.bad(f"another kind of answer was to come, {kind} came", reply.body)
        try:
            outputs = generation.read(reply.body, request_id=request.attempt_id)
            return self._generated(outputs, reply.headers)
        except generation.AnswerRefused as error:
            return self._outcomes.bad(f"the answer cannot be used: {error}; it begins", reply.body)

    async def _streamed(self, opened: transport.Opened, request: provider.ProviderRequest) -> settle.Outcome:
        """Follow a stream. It has no terminal event: that it ended whole is said by the end of its last chunk."""
        gathering = generation.Gathering(text=self._terms.stream_text)
        try:
            async for event in sse.events(opened.chunks):
                piece = generation.read(event.data, request_id=request.attempt_id)
                if isinstance(piece, generation.Failure):
                    return self._generated(piece, opened.headers)
                told = gathering.take(piece)
                if request.on_delta is not None:
                    request.on_delta(told)
            if not gathering.count or not _is_end_marked(opened.headers):
                return self._outcomes.partial("the stream ended, and nothing says that it is whole")
            return self._generated(gathering.whole(), opened.headers)
        except transport.BodyLost as error:
            return self._outcomes.loss(error.lost)
        except (generation.AnswerRefused, sse.StreamRefused) as error:
            return self._bad(f"the stream cannot be used: {error}")

    def _generated(
        self, outputs: dict[str, identity.JsonValue] | generation.Failure, headers: Mapping[str, str]
    ) -> settle.Outcome:
        if isinstance(outputs, generation.Failure):
            message = f"answered 200 and then an error: {self._outcomes.quoted(outputs.message)}"
            return self._outcomes.judged(kserve_faults.STREAM_FAULT, message, headers=headers)
        chosen = generation.chosen(outputs, self._terms.outputs)
        return settle.Completed(output=chosen, told=limits.read(headers, now_s=time.time()))

    # The request

    def _call(self, request: provider.ProviderRequest, *, headers: Mapping[str, str], data: bytes) -> transport.Call:
        path = self._model_path(self._terms.model_name or request.model)
        return transport.Call(
            method="POST",
            url=f"{self._base_url}{path}/{self._terms.operation.value}",
            headers={**self._headers, **headers},
            body=data,
            timeout_s=self._timeout_s(request),
            is_repeatable=not self._terms.is_paid,
            reply_bytes_max=self._terms.response_bytes_max,
        )

    def _model_path(self, model: str) -> str:
        version = self._terms.model_version
        suffix = f"/versions/{parse.quote(version, safe='')}" if version else ""
        return f"/v2/models/{parse.quote(model, safe='')}{suffix}"

    def _refused(self, reply: transport.Reply) -> settle.Outcome:
        return self._outcomes.refused(reply, kserve_faults.fault_of(reply.status, is_guarded=self._terms.is_paid))

    def _bad(self, message: str) -> settle.Faulted:
        return self._outcomes.fault(faults.Fault.BAD_OUTPUT, message, billed=None)


def _is_end_marked(headers: Mapping[str, str]) -> bool:
    """Tell whether the body's own frame says where it ends; without one a cut looks like an end."""
    return "chunked" in headers.get("transfer-encoding", "").lower() or "content-length" in headers


async def _beside_the_loop(work: Callable[[], Result], *, size_bytes: int) -> Result:
    """Do small work at once and large work in a thread, which costs more than small work itself."""
    return work() if size_bytes <= _INLINE_BYTES_MAX else await asyncio.to_thread(work)
