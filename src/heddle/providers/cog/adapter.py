"""Run predictions in a Cog container under ids of our own.

``send`` puts a prediction and waits for it, by holding the request, by reading its events, or not at all; ``poll``
attaches to the running one by putting the same id again. Before it in the walk: execute and poll. After it: settle.
"""

import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import Final

from heddle.core import artifact, attempt, faults, identity, settle
from heddle.ports import blobs, provider
from heddle.providers import endpoints, fetching, json_wire, media, options, sse, transport
from heddle.providers.cog import faults as cog_faults
from heddle.providers.cog import wire

RESPONSE_BYTES_MAX: Final = 64 * 1024**2  # files come inside the JSON
_ABLE: Final = frozenset({"READY", "BUSY"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CogOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    mode: wire.Mode
    poll_after_s: float
    output_hosts: tuple[str, ...]
    response_bytes_max: int


def read_options(config: provider.EndpointConfig) -> CogOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    read = CogOptions(
        mode=source.choice("mode", default=wire.Mode.WAIT),
        poll_after_s=source.number("poll_after_s", default=1.0, low=0.2, high=3_600, unit="s"),
        output_hosts=source.strings("output_hosts"),
        response_bytes_max=int(
            source.number("response_bytes_max", default=RESPONSE_BYTES_MAX, low=1_024, high=1024**3, unit="bytes")
        ),
    )
    source.end()
    if trouble := fetching.host_trouble(read.output_hosts):
        raise source.refusal("output_hosts", trouble)
    if config.callback_secret is not None:
        raise source.refusal("callback_secret", "has no use: Cog does not sign its webhooks, so none are asked for")
    return read


class CogProvider(endpoints.Endpoint):
    """Speak to one Cog container."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._options = read_options(config)
        super().__init__(config, connections, is_guarded=True)
        self._headers = {"Authorization": f"Bearer {config.secret}"} if config.secret is not None else {}
        # A prediction occupies a slot of a GPU for as long as it runs, so a lost answer is cleared up by its id as a
        # paid one would be, instead of starting a second prediction under another.
        self.capabilities = provider.Capabilities(
            idempotency=attempt.IdempotencyClass.A,
            is_paid=True,
            has_poll=True,
            has_cancel=self._options.mode is not wire.Mode.WAIT,
        )
        self._collector = fetching.Collector(
            connections=self._transport,
            source=fetching.Source(home=self._base_url, headers=self._headers),
            hosts=self._options.output_hosts,
        )

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Put a prediction under the attempt's key. Sent again while it runs, the same one answers."""
        url = wire.prediction_url(self._base_url, request.idempotency_key)
        outcome = await self._put(url, request, is_attaching=False)
        if isinstance(outcome, settle.StillRunning):
            return settle.Accepted(handle=wire.write_handle(url), poll_after_s=outcome.poll_after_s)
        return outcome

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Attach to a prediction and wait for its end. What says nothing of it leaves it running."""
        try:
            url = wire.read_handle(handle, home=self._base_url)
        except json_wire.AnswerRefused as error:
            return settle.Unknown(message=f"the prediction cannot be asked after: {error}")
        outcome = await self._put(url, request, is_attaching=True)
        match outcome:
            case settle.Unknown():
                return self._again(outcome.message)
            case settle.Faulted() if outcome.fault.fault in _TELLS_NOTHING or outcome.is_of_this_send:
                return self._again(outcome.fault.message)
            case _:
                return outcome

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Answer that a container is not asked: putting the same id again finds a running prediction."""
        return settle.Unknown(message=f"{self._outcomes.where} is asked by sending the same id again")

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask for a running prediction to be stopped; no when it could not be asked or is not there."""
        try:
            url = wire.read_handle(handle, home=self._base_url)
        except json_wire.AnswerRefused:
            return False
        call = self._call("POST", f"{url}/cancel", timeout_s=self._timeout_s(request))
        reply = await self._transport.exchange(call)
        return isinstance(reply, transport.Reply) and reply.status == 200

    async def check(self) -> str | None:
        """Ask whether the model is set up; a busy one is."""
        call = self._call("GET", f"{self._base_url}/health-check", timeout_s=endpoints.CHECK_TIMEOUT_S)
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            return reply.message
        if reply.status != 200:
            return f"/health-check answered {reply.status}: {self._outcomes.excerpt(reply.body)}"
        state = wire.error_code(reply.body)
        said = self._outcomes.excerpt(reply.body)
        return None if state in _ABLE else f"the model is {state or 'in no known state'}: {said}"

    async def _put(self, url: str, request: provider.ProviderRequest, *, is_attaching: bool) -> settle.Outcome:
        left_s = _countdown(self._timeout_s(request))
        try:
            body = wire.submission(await media.sent(request.input, write=_reader(request)))
        except (media.MediaRefused, blobs.BlobMissing, ValueError) as error:
            return self._outcomes.unsent(error)
        call = self._call("PUT", url, timeout_s=left_s())
        said = wire.headers(self._options.mode, is_attaching=is_attaching)
        call = dataclasses.replace(call, headers={**call.headers, **said}, body=body)
        async with self._transport.open(call) as opened:
            if not isinstance(opened, transport.Opened):
                return self._outcomes.loss(opened)
            if opened.status == 200 and transport.media_type(opened.headers) == "text/event-stream":
                found = await self._followed(opened, request, url)
                return await self._judged(found, request, left_s) if isinstance(found, wire.Prediction) else found
            reply = await transport.whole(opened)
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        if not 200 <= reply.status < 300:
            return self._refused(reply)
        try:
            prediction = wire.read_prediction(json_wire.read_object(reply.body), url=url)
        except json_wire.AnswerRefused as error:
            return settle.Unknown(message=f"answered {reply.status} but {error}: {self._outcomes.excerpt(reply.body)}")
        return await self._judged(prediction, request, left_s)

    async def _followed(
        self, opened: transport.Opened, request: provider.ProviderRequest, url: str
    ) -> wire.Prediction | settle.Outcome:
        """Read a prediction's events to its last one."""
        try:
            async for event in sse.events(opened.chunks, event_bytes_max=self._options.response_bytes_max):
                match event.name:
                    case "completed":
                        return wire.read_prediction(json_wire.read_object(event.data), url=url)
                    case "output":
                        piece = json_wire.read_object(event.data)
                        if request.on_delta is not None:
                            request.on_delta(piece)
                    case "error":  # "if earlier events have been dropped from the replay buffer": it runs on
                        return self._again(f"its events cannot be followed: {self._outcomes.quoted(event.data)}")
                    case _:
                        pass  # start, log and metric say nothing of the result
        except transport.BodyLost as error:
            return self._outcomes.loss(error.lost)
        except (json_wire.AnswerRefused, sse.StreamRefused) as error:
            return settle.Unknown(message=f"the events cannot be read: {error}")
        return settle.Unknown(message="the stream ended before the prediction did")

    async def _judged(
        self, prediction: wire.Prediction, request: provider.ProviderRequest, left_s: Callable[[], float]
    ) -> settle.Outcome:
        if prediction.status in wire.OPEN:
            return self._again(prediction.status.value)
        if prediction.status is not wire.Status.SUCCEEDED:
            said = self._outcomes.excerpt(prediction.error.encode()) if prediction.error else "without an error's text"
            message = f"the prediction ended {prediction.status.value}: {said}"
            return self._outcomes.fault(cog_faults.ENDED[prediction.status], message)
        found = await self._collector.collect(
            prediction.output, artifacts=request.artifacts, left_s=left_s, about="the result"
        )
        if isinstance(found, fetching.Collected):
            return settle.Completed(output=found.output)
        # The container has forgotten the prediction: what could not be kept now is made again under the same id.
        if found.is_passing:
            return settle.Unknown(message=found.message)
        return self._outcomes.fault(found.fault, found.message)

    def _refused(self, reply: transport.Reply) -> settle.Outcome:
        hint = 'the model does not stream: use mode = "wait"' if reply.status == 406 else ""
        fault = cog_faults.fault_of(reply.status, wire.error_code(reply.body))
        return self._outcomes.refused(reply, fault, note=hint)

    def _again(self, note: str) -> settle.StillRunning:
        return settle.StillRunning(poll_after_s=self._options.poll_after_s, note=note)

    def _call(self, method: str, url: str, *, timeout_s: float) -> transport.Call:
        return transport.Call(
            method=method,
            url=url,
            headers=self._headers,
            timeout_s=timeout_s,
            is_repeatable=True,
            reply_bytes_max=self._options.response_bytes_max,
        )


# Answers to an attachment that say nothing of the prediction itself.
_TELLS_NOTHING: Final = frozenset(
    {
        faults.Fault.NOT_SENT,
        faults.Fault.DEADLINE,
        faults.Fault.THROTTLED,
        faults.Fault.REJECTED_TRANSIENT,
    }
)


def _reader(request: provider.ProviderRequest) -> Callable[[artifact.Artifact, str], Awaitable[identity.JsonValue]]:
    """Give what writes an artifact as a data URL, which Cog reads as a file."""

    async def write(reference: artifact.Artifact, _: str) -> str:
        return media.data_url(reference.media_type, await request.artifacts.read(reference))

    return write


def _countdown(allowed_s: float) -> Callable[[], float]:
    """Give what is left of a time that begins now."""
    ends_s = time.monotonic() + allowed_s
    return lambda: ends_s - time.monotonic()
