"""Call a model by the Open Inference Protocol V2.

One request, one answer, free of charge: a lost answer is a passing failure and never an unknown one, because making
the call again harms nobody. Pictures become tensors on the way out and, where configured, tensors become pictures on
the way back. Before it in the walk: execute. After it: settle.
"""

import asyncio
import dataclasses
import enum
import functools
import time
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib import parse

from heddle.core import artifact, attempt, faults, identity, settle
from heddle.ports import blobs, provider
from heddle.providers import excerpts, limits, options, statuses, transport
from heddle.providers.kserve import faults as kserve_faults
from heddle.providers.kserve import pictures, tensors, wire

CHECK_TIMEOUT_S = 5.0
RESPONSE_BYTES_MAX = 256 * 1024**2
PIXELS_MAX = 50_000_000
ELEMENTS_MAX = 16_384
_INLINE_BYTES_MAX = 65_536

Result = TypeVar("Result")


class OutputMedia(enum.StrEnum):
    """Name what becomes of an output tensor that is a picture: of pixels, or one PNG file in a BYTES tensor."""

    NONE = "none"  # nested lists, as for every other tensor
    PNG = "image/png"  # an artifact


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InputTensor:
    """Say how one input is sent: the tensor's name, and datatype and shape where they are not to be inferred."""

    tensor: str
    datatype: str | None
    shape: tuple[int, ...] | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KserveOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    model_name: str | None
    model_version: str | None
    is_binary: bool
    inputs: Mapping[str, InputTensor]
    outputs: Mapping[str, str]
    output_media: OutputMedia
    response_bytes_max: int


def read_options(config: provider.EndpointConfig) -> KserveOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    inputs = {name: _input(source, name, value) for name, value in source.table("inputs").items()}
    outputs = source.table("outputs")
    for tensor, name in outputs.items():
        if not isinstance(name, str) or not name:
            raise source.refusal(f"outputs.{tensor}", f"is {name!r}; it must be the name the output gets")
    read = KserveOptions(
        model_name=source.text("model_name", default="") or None,
        model_version=source.text("model_version", default="") or None,
        is_binary=source.flag("binary", default=True),
        inputs=inputs,
        outputs=outputs,
        output_media=source.choice("output_media", default=OutputMedia.NONE),
        response_bytes_max=int(
            source.number("response_bytes_max", default=RESPONSE_BYTES_MAX, low=1_024, high=1024**3, unit="bytes")
        ),
    )
    source.end()
    return read


def _input(source: options.Options, name: str, value: object) -> InputTensor:
    if not isinstance(value, dict) or set(value) - {"tensor", "datatype", "shape"}:
        raise source.refusal(f"inputs.{name}", "must be a table of tensor, datatype and shape, each optional")
    tensor, datatype, shape = value.get("tensor", name), value.get("datatype"), value.get("shape")
    if not isinstance(tensor, str) or not tensor:
        raise source.refusal(f"inputs.{name}.tensor", f"is {tensor!r}; it must be a name")
    if datatype is not None and datatype not in tensors.DATATYPES:
        raise source.refusal(f"inputs.{name}.datatype", f"is {datatype!r}; it must be one of {_DATATYPES}")
    if shape is not None and (not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape)):
        raise source.refusal(f"inputs.{name}.shape", f"is {shape!r}; it must be a list of whole numbers above 0")
    return InputTensor(tensor=tensor, datatype=datatype, shape=None if shape is None else tuple(shape))


_DATATYPES = ", ".join(sorted(tensors.DATATYPES))


class KserveProvider:
    """Speak to one inference server."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._config = config
        self._options = read_options(config)
        self._base_url = options.require_http_url(config)
        self._where = f"endpoint {config.name}"
        self._headers = {"Authorization": f"Bearer {config.secret}"} if config.secret else {}
        self.capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.A, is_paid=False)
        self._transport = connections.hold()

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt."""
        try:
            inputs = [
                tensor
                for name, value in request.input.items()
                if (tensor := await self._tensor(name, value, request)) is not None
            ]
            write = functools.partial(
                wire.write,
                request_id=request.attempt_id,
                inputs=inputs,
                outputs=tuple(self._options.outputs),
                is_binary=self._options.is_binary,
            )
            body = await _beside_the_loop(write, size_bytes=sum(len(tensor.data) for tensor in inputs))
        except (tensors.TensorRefused, blobs.BlobMissing) as error:
            return self._fault(faults.Fault.REJECTED_PERMANENT, f"nothing was sent: {error}")
        reply = await self._transport.exchange(
            transport.Call(
                method="POST",
                url=self._model_url(request.model) + "/infer",
                headers={**self._headers, **body.headers},
                body=body.data,
                timeout_s=min(self._config.timeout_s, request.timeout_s),
                is_repeatable=True,
                reply_bytes_max=self._options.response_bytes_max,
            )
        )
        if not isinstance(reply, transport.Reply):
            return statuses.outcome_of_loss(reply, where=self._where, is_paid=False)
        return await self._completed(reply, request) if reply.status == 200 else self._refused(reply)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Answer as for a job that cannot be: this endpoint accepts none."""
        return self._fault(faults.Fault.UNCLASSIFIED, f"a synchronous endpoint was asked after the job {handle!r}")

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Answer that the endpoint cannot be asked."""
        return settle.Unknown(message=f"{self._where} cannot be asked what became of a request")

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Answer no: nothing is to be stopped."""
        return False

    def verify_callback(self, *, headers: Mapping[str, str], body: bytes, now_s: float) -> provider.CallbackEvent:
        """Refuse every callback: this endpoint makes none."""
        raise provider.CallbackRefused(f"{self._where} makes no callbacks")

    async def check(self) -> str | None:
        """Ask whether the server is ready, and the model when its name is configured."""
        urls = [f"{self._base_url}/v2/health/ready"]
        if self._options.model_name is not None:
            urls.append(self._model_url(self._options.model_name) + "/ready")
        for url in urls:
            reply = await self._transport.exchange(
                transport.Call(
                    method="GET", url=url, headers=self._headers, timeout_s=CHECK_TIMEOUT_S, is_repeatable=True
                )
            )
            if not isinstance(reply, transport.Reply):
                return reply.message
            if reply.status != 200:
                return f"{url} answered {reply.status}: {self._excerpt(reply.body)}"
        return None

    async def close(self) -> None:
        """Let go of the connections."""
        await self._transport.release()

    def _model_url(self, model: str) -> str:
        name = parse.quote(self._options.model_name or model, safe="")
        version = self._options.model_version
        suffix = f"/versions/{parse.quote(version, safe='')}" if version else ""
        return f"{self._base_url}/v2/models/{name}{suffix}"

    async def _tensor(
        self, name: str, value: identity.JsonValue, request: provider.ProviderRequest
    ) -> tensors.Tensor | None:
        """Make one input's tensor; None for an input that is null."""
        if value is None:
            return None
        told = self._options.inputs.get(name, InputTensor(tensor=name, datatype=None, shape=None))
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
            return self._bad(f"an inference answer was to come, {kind} came: {self._excerpt(reply.body)}")
        try:
            read = functools.partial(wire.read, headers=reply.headers, body=reply.body)
            answer = await _beside_the_loop(read, size_bytes=len(reply.body))
            if answer.id != request.attempt_id:
                return self._bad(f"the answer is to the request {answer.id[:100]!r}, ours was {request.attempt_id!r}")
            output = {
                self._options.outputs.get(tensor.name, tensor.name): await self._value(tensor, request)
                for tensor in answer.outputs
            }
        except (wire.AnswerRefused, tensors.TensorRefused) as error:
            return self._bad(f"the answer cannot be used: {error}")
        except blobs.BlobRefused as error:
            fault = faults.Fault.TOO_LARGE if error.code == "too_large" else faults.Fault.BAD_OUTPUT
            return self._fault(fault, f"the result was not stored ({error.code}): {error}")
        return settle.Completed(output=output)

    async def _value(self, tensor: tensors.Tensor, request: provider.ProviderRequest) -> identity.JsonValue:
        if self._options.output_media is OutputMedia.PNG:
            encoded = tensors.single_bytes(tensor)
            if pictures.is_picture(tensor):
                encoded = await asyncio.to_thread(pictures.encode_png, tensor, pixels_max=PIXELS_MAX)
            if encoded is not None and encoded.startswith(pictures.PNG_MAGIC):
                stored = await request.artifacts.write(encoded, media_type="image/png")
                return stored.as_json()
        return tensors.to_value(tensor, elements_max=ELEMENTS_MAX)

    def _refused(self, reply: transport.Reply) -> settle.Outcome:
        return statuses.outcome_of(
            kserve_faults.fault_of(reply.status),
            message=f"answered {reply.status}: {self._excerpt(reply.body)}",
            where=self._where,
            is_paid=False,
            retry_after_s=statuses.retry_after_s(reply.headers, now_s=time.time()),
            heard=limits.read(reply.headers, now_s=time.time()),
        )

    def _excerpt(self, body: bytes) -> str:
        return excerpts.excerpt(body, secrets=(self._config.secret,))

    def _bad(self, message: str) -> settle.Faulted:
        return self._fault(faults.Fault.BAD_OUTPUT, message)

    def _fault(self, fault: faults.Fault, message: str) -> settle.Faulted:
        return settle.Faulted(fault=faults.StepFault(fault=fault, message=message, where=self._where))


async def _beside_the_loop(work: Callable[[], Result], *, size_bytes: int) -> Result:
    """Do small work at once and large work in a thread, which costs more than small work itself."""
    return work() if size_bytes <= _INLINE_BYTES_MAX else await asyncio.to_thread(work)
