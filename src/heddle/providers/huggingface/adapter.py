"""Call a model behind one of Hugging Face's servers.

``predict`` sends JSON, or the bytes of the input's one artifact, and takes JSON or a medium, whichever comes;
``generate`` and ``generate_stream`` speak text generation inference. A model that is loading is a refusal that says
when to come back: nothing waits inside of a call. Free unless the options say otherwise. Before it in the walk:
execute. After it: settle.
"""

import dataclasses
import enum
import time
from collections.abc import Mapping
from urllib import parse

from heddle.core import attempt, faults, identity, settle
from heddle.core.policy import told
from heddle.ports import blobs, provider
from heddle.providers import endpoints, json_wire, limits, media, options, sse, synchronous, templates, transport
from heddle.providers.huggingface import faults as huggingface_faults
from heddle.providers.huggingface import wire

EVENTS_TYPE = "text/event-stream"
_PAGES = ("text/html", "application/xhtml+xml")


class Operation(enum.StrEnum):
    """Name what is called."""

    PREDICT = "predict"
    GENERATE = "generate"
    GENERATE_STREAM = "generate_stream"


PATHS: Mapping[Operation, str] = {
    Operation.PREDICT: "",
    Operation.GENERATE: "/generate",
    Operation.GENERATE_STREAM: "/generate_stream",
}


class ArtifactForm(enum.StrEnum):
    """Name how the artifacts of an input are sent."""

    BASE64 = "base64"
    DATA_URL = "data_url"
    BODY = "body"  # the input's one artifact is the body


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HuggingfaceOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    operation: Operation
    path: str
    headers: Mapping[str, str]
    body: identity.JsonValue
    artifacts: ArtifactForm
    accept: str
    output: str
    output_artifacts: tuple[str, ...]
    is_paid: bool
    health_path: str
    response_bytes_max: int


def read_options(config: provider.EndpointConfig) -> HuggingfaceOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    operation = source.choice("operation", default=Operation.PREDICT)
    read = HuggingfaceOptions(
        operation=operation,
        path=source.text("path", default=PATHS[operation]),
        headers=source.table("headers"),
        body=source.value("body", default="{input}"),
        artifacts=source.choice("artifacts", default=ArtifactForm.BASE64),
        accept=source.text("accept", default=""),
        output=source.text("output", default=""),
        output_artifacts=source.strings("output_artifacts"),
        is_paid=source.flag("paid", default=False),
        health_path=source.text("health_path", default="/health"),
        response_bytes_max=int(
            source.number("response_bytes_max", default=transport.BODY_BYTES_MAX, low=1_024, high=1024**3, unit="bytes")
        ),
    )
    source.end()
    _check_options(source, read)
    return read


def _check_options(source: options.Options, read: HuggingfaceOptions) -> None:
    for key, path in (("path", read.path), ("health_path", read.health_path)):
        if path and (not path.startswith("/") or not path.isprintable() or " " in path or "#" in path):
            raise source.refusal(key, f"is {path!r}; it must begin with / and hold no space and no #")
    for name, value in {**read.headers, **({"Accept": read.accept} if read.accept else {})}.items():
        if not isinstance(value, str):
            raise source.refusal(f"headers.{name}", "must be a string")
        if trouble := options.header_trouble(name, value):
            raise source.refusal(f"headers.{name}", trouble)
    if trouble := templates.body_trouble(read.body):
        raise source.refusal("body", f"is no template: {trouble}")
    if read.artifacts is ArtifactForm.BODY and (read.body != "{input}" or read.operation is not Operation.PREDICT):
        raise source.refusal("artifacts", '= "body" goes only with operation = "predict" and without a body')
    for key, pointer in [("output", read.output), *(("output_artifacts", each) for each in read.output_artifacts)]:
        if trouble := json_wire.pointer_trouble(pointer):
            raise source.refusal(key, trouble)


class HuggingfaceProvider(synchronous.Synchronous):
    """Speak to one server."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._options = read_options(config)
        super().__init__(config, connections, is_guarded=self._options.is_paid)
        self._headers = options.headers(self._options.headers, secret=config.secret)
        self.capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.C, is_paid=self._options.is_paid)

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt."""
        try:
            payload = await self._payload(request)
        except (json_wire.WireRefused, blobs.BlobMissing, ValueError) as error:
            return self._outcomes.unsent(error)
        async with self._transport.open(self._call(request, payload)) as opened:
            if not isinstance(opened, transport.Opened):
                return self._outcomes.loss(opened)
            media_type = transport.media_type(opened.headers)
            if opened.status == 200 and media_type == EVENTS_TYPE and self._is_streamed:
                return await self._streamed(opened, request)
            if opened.status == 200 and self._options.operation is Operation.PREDICT and not _is_text(media_type):
                return await self._medium(opened, request, media_type)
            reply = await transport.whole(opened)
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        return await self._completed(reply, request) if reply.status == 200 else self._refused(reply)

    async def check(self) -> str | None:
        """Ask ``health_path``, or open a connection and close it when that is empty."""
        if not self._options.health_path:
            return await self._transport.probe(self._base_url, timeout_s=endpoints.CHECK_TIMEOUT_S)
        return await self._trouble_at(self._options.health_path, self._headers)

    @property
    def _is_streamed(self) -> bool:
        return self._options.operation is Operation.GENERATE_STREAM

    async def _payload(self, request: provider.ProviderRequest) -> media.Payload:
        if self._options.artifacts is ArtifactForm.BODY:
            found = media.artifacts_in(request.input)
            if len(found) != 1 or len(request.input) != 1:
                raise json_wire.WireRefused('artifacts = "body" needs an input of one artifact and nothing else')
            return media.Payload(media_type=found[0].media_type, body=await request.artifacts.read(found[0]))
        given: identity.JsonValue = request.input
        if media.has_artifact(given):
            is_url = self._options.artifacts is ArtifactForm.DATA_URL
            given = await media.write_out(given, reader=request.artifacts, as_data_url=is_url)
        body = json_wire.write_json(templates.body(self._options.body, request, given))
        return media.Payload(media_type="application/json", body=body)

    def _call(self, request: provider.ProviderRequest, payload: media.Payload) -> transport.Call:
        wanted = self._options.accept or (EVENTS_TYPE if self._is_streamed else "")
        return transport.Call(
            method="POST",
            url=self._base_url + self._options.path.replace("{model}", parse.quote(request.model, safe="/")),
            headers={
                **self._headers,
                **({"Accept": wanted} if wanted else {}),
                "Content-Type": payload.media_type,
                # A model that is loading answers at once, and the engine comes back; a held call would hold a slot.
                "x-wait-for-model": "false",
            },
            body=payload.body,
            timeout_s=self._timeout_s(request),
            is_repeatable=not self._options.is_paid,
            reply_bytes_max=self._options.response_bytes_max,
        )

    async def _streamed(self, opened: transport.Opened, request: provider.ProviderRequest) -> settle.Outcome:
        """Follow a stream to its terminal event; every event may be an error, whatever the status was."""
        try:
            async for event in sse.events(opened.chunks):
                token = wire.token(event.data)
                if isinstance(token, wire.Failure):
                    return self._failed(token)
                if token.text and request.on_delta is not None:
                    request.on_delta(token.text)
                if token.output is not None:
                    return self._done(token.output, opened.headers)
        except transport.BodyLost as error:
            return self._outcomes.loss(error.lost)
        except (sse.StreamRefused, wire.AnswerRefused, json_wire.WireRefused) as error:
            message = f"the stream cannot be used: {error}"
            return self._outcomes.fault(faults.Fault.BAD_OUTPUT, message, billed=None)
        return self._outcomes.partial("the stream ended before its text was whole")

    async def _medium(
        self, opened: transport.Opened, request: provider.ProviderRequest, media_type: str
    ) -> settle.Outcome:
        claimed = None if media_type in ("", "application/octet-stream") else media_type
        try:
            stored = await request.artifacts.write(opened.chunks, media_type=claimed)
        except transport.BodyLost as error:
            return self._outcomes.loss(error.lost)
        except blobs.BlobRefused as error:
            return self._outcomes.blob_refused(error)
        except OSError as error:
            return self._outcomes.not_stored(error)
        name = self._options.output.removeprefix("/")
        output = {name: stored.as_json()} if name else stored.as_json()
        return settle.Completed(output=output, told=limits.read(opened.headers, now_s=time.time()))

    async def _completed(self, reply: transport.Reply, request: provider.ProviderRequest) -> settle.Outcome:
        if reply.media_type != "application/json":
            return self._outcomes.bad(f"JSON was to come, {reply.media_type or 'no content type'} came", reply.body)
        try:
            whole = json_wire.parse_json(reply.body)
            failed = wire.failure(whole)
            if failed is not None:
                return self._failed(failed)
            if self._options.operation is not Operation.PREDICT:
                return self._done(wire.generated(whole), reply.headers)
            output = json_wire.follow(whole, self._options.output)
            for pointer in self._options.output_artifacts:
                data, claimed = media.decode_medium(json_wire.follow(output, pointer))
                stored = await request.artifacts.write(data, media_type=claimed)
                output = json_wire.replaced(output, pointer, stored.as_json())
        except (json_wire.WireRefused, wire.AnswerRefused) as error:
            return self._outcomes.bad(f"the answer {error}; it begins", reply.body)
        except blobs.BlobRefused as error:
            return self._outcomes.blob_refused(error)
        except OSError as error:
            return self._outcomes.not_stored(error)
        return settle.Completed(output=output, told=self._told(reply.headers, whole))

    def _done(self, output: dict[str, identity.JsonValue], headers: Mapping[str, str]) -> settle.Outcome:
        found = json_wire.follow(output, self._options.output)
        return settle.Completed(output=found, told=self._told(headers, output))

    def _told(self, headers: Mapping[str, str], output: identity.JsonValue) -> told.Told:
        return limits.read(headers, now_s=time.time(), tokens=wire.tokens_of(headers, output))

    def _failed(self, failed: wire.Failure) -> settle.Outcome:
        """Judge an error that came with a success in front of it."""
        message = f"answered 200 with the error {failed.code or 'without a type'}: "
        return self._outcomes.judged(
            huggingface_faults.stream_fault_of(failed.code),
            message + self._outcomes.quoted(failed.message),
            retry_after_s=failed.retry_after_s,
        )

    def _refused(self, reply: transport.Reply) -> settle.Outcome:
        failed = wire.failure_of(reply.body)
        code, wait_s = (failed.code, failed.retry_after_s) if failed is not None else ("", None)
        return self._outcomes.refused(reply, huggingface_faults.fault_of(reply.status, code), retry_after_s=wait_s)


def _is_text(media_type: str) -> bool:
    """Tell whether an answer is JSON or a text, and so no medium."""
    return media_type in ("", "application/json", *_PAGES) or media_type.startswith("text/")
