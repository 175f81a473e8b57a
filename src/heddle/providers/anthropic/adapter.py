"""Ask Anthropic's Messages API once and gather the answer, whole or from a stream.

One request, one answer: there is nothing to poll, to look up or to cancel. Before it in the walk: execute. After it:
settle.
"""

import dataclasses
import re
import time
from collections.abc import Mapping
from typing import Final

from heddle.core import attempt, faults, settle
from heddle.core.policy import told
from heddle.ports import blobs, provider
from heddle.providers import endpoints, json_wire, limits, media, options, sse, synchronous, transport
from heddle.providers.anthropic import faults as anthropic_faults
from heddle.providers.anthropic import stream, wire

STREAM_BYTES_MAX: Final = 64 * 1024**2  # 128,000 tokens of output in events of some 150 bytes each are 20 MB
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,199}\Z")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    model_name: str | None
    is_streamed: bool
    version: str
    betas: tuple[str, ...]


def read_options(config: provider.EndpointConfig) -> AnthropicOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    read = AnthropicOptions(
        model_name=source.text("model_name", default="") or None,
        is_streamed=source.flag("stream", default=False),
        version=source.text("version", default=wire.VERSION),
        betas=source.strings("betas"),
    )
    source.end()
    if config.secret is None:
        raise source.refusal("secret", 'is missing; the API asks for a key, write secret = "env:NAME"')
    if config.callback_secret is not None:
        raise source.refusal("callback_secret", "has no use: the API makes no callbacks")
    if read.model_name is not None and not _MODEL.match(read.model_name):
        raise source.refusal("model_name", f"is {read.model_name!r}; it is no name of a model")
    for key, words in (("version", (read.version,)), ("betas", read.betas)):
        for word in words:
            if not _WORD.match(word):
                raise source.refusal(key, f"has {word!r}; it must be letters, digits, dots and dashes")
    return read


class AnthropicProvider(synchronous.Synchronous):
    """Speak to one account of the Messages API."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._options = read_options(config)
        super().__init__(config, connections, is_guarded=True)
        self._headers = wire.headers(
            secret=config.secret or "", version=self._options.version, betas=self._options.betas
        )
        self.capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.C, is_paid=True)

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt; as a stream when somebody listens or the endpoint says so."""
        is_streamed = self._options.is_streamed or request.on_delta is not None
        model = self._options.model_name or request.model
        try:
            body = await wire.write(request.input, model=model, is_streamed=is_streamed, reader=request.artifacts)
        except (wire.RequestRefused, media.MediaRefused, blobs.BlobMissing, ValueError) as error:
            return self._outcomes.unsent(error)
        call = transport.Call(
            method="POST",
            url=f"{self._base_url}/v1/messages",
            headers={**self._headers, "Content-Type": "application/json"},
            body=body,
            timeout_s=self._timeout_s(request),
            is_repeatable=False,
            reply_bytes_max=STREAM_BYTES_MAX if is_streamed else transport.BODY_BYTES_MAX,
        )
        async with self._transport.open(call) as opened:
            if not isinstance(opened, transport.Opened):
                return self._outcomes.loss(opened)
            if opened.status == 200 and transport.media_type(opened.headers) == "text/event-stream":
                return await self._gathered(opened, request)
            reply = await transport.whole(opened)
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        return self._answered(reply, model=model) if 200 <= reply.status < 300 else self._refused(reply)

    async def check(self) -> str | None:
        """Ask for one model of the list, to see whether our key is taken."""
        reply = await self._transport.exchange(
            transport.Call(
                method="GET",
                url=f"{self._base_url}/v1/models?limit=1",
                headers=self._headers,
                timeout_s=endpoints.CHECK_TIMEOUT_S,
                is_repeatable=True,
            )
        )
        if not isinstance(reply, transport.Reply):
            return reply.message
        if reply.status != 200:
            return f"/v1/models answered {reply.status}: {self._outcomes.excerpt(reply.body)}"
        return None

    async def _gathered(self, opened: transport.Opened, request: provider.ProviderRequest) -> settle.Outcome:
        gathering = stream.Gathering()
        try:
            async for event in sse.events(opened.chunks):
                piece = gathering.take(event)
                if piece is not None and request.on_delta is not None:
                    request.on_delta(piece)
                if gathering.is_over:
                    break
            else:
                return settle.Unknown(
                    message="the stream ended before its message did",
                    told=self._told(opened.headers, gathering.whole_usage),
                )
            if gathering.error is not None:
                return self._broken_off(gathering, opened.headers)
            message = wire.checked_message(gathering.message)
            return self._completed(message, gathering.whole_usage, opened.headers)
        except transport.BodyLost as error:
            return self._outcomes.loss(error.lost)
        except (json_wire.AnswerRefused, sse.StreamRefused) as error:
            return self._unreadable(str(error), gathering.whole_usage, gathering.message, opened.headers)

    def _answered(self, reply: transport.Reply, *, model: str) -> settle.Outcome:
        try:
            message = wire.read_message(reply.body)
        except json_wire.AnswerRefused as error:
            why = f"{error}; it begins: {self._outcomes.excerpt(reply.body)}"
            return self._unreadable(why, {}, {}, reply.headers)
        return self._completed(message, json_wire.read_part(message, "usage"), reply.headers)

    def _completed(
        self, message: json_wire.JsonObject, usage: json_wire.JsonObject, headers: Mapping[str, str]
    ) -> settle.Completed:
        return settle.Completed(output=message, cost_nano_usd=_cost(message, usage), told=self._told(headers, usage))

    def _unreadable(
        self, why: str, usage: json_wire.JsonObject, message: json_wire.JsonObject, headers: Mapping[str, str]
    ) -> settle.Faulted:
        faulted = self._outcomes.fault(faults.Fault.BAD_OUTPUT, f"the answer cannot be read: {why}")
        billed = _cost(message, usage)
        return dataclasses.replace(faulted, billed_nano_usd=billed, told=self._told(headers, usage))

    def _broken_off(self, gathering: stream.Gathering, headers: Mapping[str, str]) -> settle.Outcome:
        """Judge an error event: before any content as the same error without a stream, after it as a part.

        A part is paid for. Where its tokens were not counted before it broke off, it costs as reserved, an estimate.
        """
        assert gathering.error is not None
        codes = wire.error_codes(gathering.error)
        said = self._outcomes.quoted(json_wire.read_text(json_wire.read_part(gathering.error, "error"), "message"))
        message = f"the stream broke off with {', '.join(codes) or 'an error'}: {said}"
        if gathering.has_content:
            faulted = self._outcomes.fault(faults.Fault.PARTIAL, message)
            billed, heard = _cost(gathering.message, gathering.whole_usage), self._told(headers, gathering.whole_usage)
            return dataclasses.replace(faulted, billed_nano_usd=billed, told=heard)
        heard = self._told(headers, gathering.usage)
        status = anthropic_faults.STATUSES.get(codes[-1] if codes else "", 500)
        return self._outcomes.judged(anthropic_faults.fault_of(status, codes), message, heard=heard)

    def _refused(self, reply: transport.Reply) -> settle.Outcome:
        codes, request_id = wire.read_error(reply.body)
        asked = request_id or reply.headers.get("request-id", "")[:80]
        fault = anthropic_faults.fault_of(reply.status, codes)
        heard = self._told(reply.headers, {})
        return self._outcomes.refused(reply, fault, note=asked or "no request id", heard=heard)

    def _told(self, headers: Mapping[str, str], usage: json_wire.JsonObject) -> told.Told:
        return limits.read(headers, now_s=time.time(), tokens=wire.tokens_of(usage))


def _cost(message: json_wire.JsonObject, usage: json_wire.JsonObject) -> int | None:
    return wire.cost_nano_usd(usage, model=json_wire.read_text(message, "model"))
