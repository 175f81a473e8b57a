"""Predict with one model or endpoint of Vertex AI: at once, or as a long-running operation.

``send`` predicts or starts an operation, once; ``poll`` asks after it, through the model that runs it where Google
wants that. Media of the answer are copied, inline ones and those that Google wrote to Cloud Storage. Class C. Before it
in the walk: execute and poll. After it: settle.
"""

import dataclasses
import enum
import math
from typing import Final

from heddle.core import attempt, faults, identity, settle
from heddle.ports import blobs, provider
from heddle.providers import endpoints, fetching, jobs, json_wire, options, templates, transport
from heddle.providers.vertex import faults as vertex_faults
from heddle.providers.vertex import tokens, wire

RESULT_BYTES_MAX: Final = 128 * 1024**2  # a video inline, in base64
STORAGE_URL: Final = "https://storage.googleapis.com"


class Mode(enum.StrEnum):
    """Name the two ways a model is asked."""

    PREDICT = "predict"
    LONG_RUNNING = "predict_long_running"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VertexOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    mode: Mode
    resource: str
    body: identity.JsonValue
    output: str
    is_paid: bool
    storage_url: str
    poll_after_s: float


def read_options(config: provider.EndpointConfig) -> VertexOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    read = VertexOptions(
        mode=source.choice("mode", default=Mode.PREDICT),
        resource=source.text("resource", default=""),
        body=source.value("body", default={"instances": ["{input}"]}),
        output=source.text("output", default=""),
        is_paid=source.flag("paid", default=True),
        storage_url=source.text("storage_url", default=STORAGE_URL).rstrip("/"),
        poll_after_s=source.number("poll_after_s", default=5.0, low=0.2, high=600, unit="s"),
    )
    source.end()
    if not wire.is_resource(read.resource):
        raise source.refusal(
            "resource",
            f'is {read.resource!r}; it must be "projects/P/locations/L/endpoints/E" or '
            '"projects/P/locations/L/publishers/google/models/M"',
        )
    if trouble := templates.body_trouble(read.body):
        raise source.refusal("body", f"is no template: {trouble}")
    if trouble := json_wire.pointer_trouble(read.output):
        raise source.refusal("output", trouble)
    if fetching.origin(read.storage_url) is None:
        raise source.refusal("storage_url", f"is {read.storage_url!r}; it must begin with https://")
    return read


class VertexProvider(jobs.Jobs):
    """Speak to one model or endpoint of Vertex AI."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._options = read_options(config)
        try:
            self._tokens = tokens.Tokens(config.secret)
        except tokens.LibraryMissing as error:
            raise options.LibraryMissing(f"[endpoints.{config.name}] {error}") from None
        except tokens.AccountMalformed as error:
            raise options.OptionRefused(f"[endpoints.{config.name}] secret {error}") from None
        super().__init__(
            config,
            connections,
            headers={},
            poll_after_s=self._options.poll_after_s,
            is_paid=self._options.is_paid,
        )
        is_job = self._options.mode is Mode.LONG_RUNNING
        self.capabilities = provider.Capabilities(
            idempotency=attempt.IdempotencyClass.C,
            is_paid=self._options.is_paid,
            has_poll=is_job,
            has_cancel=is_job,
        )

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Predict, or start an operation, once."""
        is_job = self._options.mode is Mode.LONG_RUNNING
        allowed_s = self._timeout_s(request)
        try:
            given = await wire.with_media(request.input, reader=request.artifacts)
            body = json_wire.write_json(templates.body(self._options.body, request, given))
            if len(body) > wire.REQUEST_BYTES_MAX:
                raise ValueError(f"the request has {len(body)} bytes, at most {wire.REQUEST_BYTES_MAX} are sent")
            headers = {"Content-Type": "application/json", **await self._tokens.headers()}
        except (ValueError, blobs.BlobMissing) as error:
            return self._outcomes.unsent(error)
        except tokens.TokenMissing as error:
            return self._outcomes.fault(faults.Fault.REJECTED_TRANSIENT, f"nothing was sent: {error}")
        if not is_job and allowed_s > 0:
            headers["X-Server-Timeout"] = str(math.ceil(allowed_s))
        verb = "predictLongRunning" if is_job else "predict"
        call = transport.Call(
            method="POST",
            url=f"{self._base_url}/v1/{self._options.resource}:{verb}",
            headers=headers,
            body=body,
            timeout_s=min(allowed_s, jobs.CALL_TIMEOUT_S) if is_job else allowed_s,
            is_repeatable=not self._options.is_paid,
            reply_bytes_max=jobs.ANSWER_BYTES_MAX if is_job else RESULT_BYTES_MAX,
        )
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        if not 200 <= reply.status < 300:
            code = wire.read_error_code(reply.body)
            return self._outcomes.refused(reply, vertex_faults.fault_of(reply.status, code), note=code)
        return self._started(reply) if is_job else await self._predicted(reply, request)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after an operation, and copy its media when it has ended."""
        try:
            name = wire.read_handle(handle, base_url=self._base_url)
            call = await self._asked(name, request)
        except wire.AnswerRefused as error:
            return settle.Unknown(message=f"the job cannot be asked after: {error}")
        except tokens.TokenMissing as error:
            return self._again(str(error))
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            if reply.cause is transport.Cause.TOO_LARGE:
                message = f"the result of {name}: {reply.message}"
                return self._outcomes.fault(faults.Fault.TOO_LARGE, message, billed=None)
            return self._again(reply.message)
        if reply.status == 404 and wire.read_error_code(reply.body) == "NOT_FOUND":
            return settle.Unknown(message=f"Vertex AI no longer knows the operation {name} it had started")
        if reply.status != 200:
            return self._again(f"asked after {name}: answered {reply.status}", reply)
        try:
            operation = wire.read_operation(reply.body)
        except wire.AnswerRefused as error:
            return self._again(f"asked after {name}: {error}")
        if operation.name != name:
            return self._again(f"asked after {name}: was told of {operation.name}")
        if not operation.is_done:
            return self._again("in progress at Vertex AI")
        if operation.error_code is not None:
            fault = vertex_faults.operation_fault_of(operation.error_code)
            said = self._outcomes.excerpt(operation.error.encode())
            return self._outcomes.fault(fault, f"the operation {name} ended ({operation.error_code}): {said}")
        if wire.is_all_filtered(operation.response):
            return self._outcomes.fault(
                faults.Fault.REJECTED_PERMANENT, f"the media of {name} were all filtered by policy"
            )
        return await self._kept(operation.response, request, what=name)

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask for an operation to be stopped; Google does what it can and ends it CANCELLED."""
        try:
            name = wire.read_handle(handle, base_url=self._base_url)
            headers = {"Content-Type": "application/json", **await self._tokens.headers()}
        except (wire.AnswerRefused, tokens.TokenMissing):
            return False
        call = self._call(
            "POST",
            f"{self._base_url}/v1/{name}:cancel",
            timeout_s=self._timeout_s(request),
            headers=headers,
            body=b"{}",
        )
        reply = await self._transport.exchange(call)
        return isinstance(reply, transport.Reply) and reply.status == 200

    async def check(self) -> str | None:
        """See whether there is a token and somebody listens; to ask more would cost a prediction."""
        try:
            await self._tokens.headers()
        except tokens.TokenMissing as error:
            return str(error)
        return await self._transport.probe(self._base_url, timeout_s=endpoints.CHECK_TIMEOUT_S)

    async def _asked(self, name: str, request: provider.ProviderRequest) -> transport.Call:
        """Make the question after an operation: models of publishers are asked themselves. Raises TokenMissing."""
        headers = await self._tokens.headers()
        owner, allowed_s = wire.owner_of(name), self._timeout_s(request)
        if owner is None:
            url = f"{self._base_url}/v1/{name}"
            return self._call("GET", url, timeout_s=allowed_s, headers=headers, bytes_max=RESULT_BYTES_MAX)
        return self._call(
            "POST",
            f"{self._base_url}/v1/{owner}:fetchPredictOperation",
            timeout_s=allowed_s,
            headers={**headers, "Content-Type": "application/json"},
            body=json_wire.write_json({"operationName": name}),
            bytes_max=RESULT_BYTES_MAX,
        )

    def _started(self, reply: transport.Reply) -> settle.Outcome:
        try:
            operation = wire.read_operation(reply.body)
        except wire.AnswerRefused as error:
            return settle.Unknown(message=f"answered {reply.status} but {error}: {self._outcomes.excerpt(reply.body)}")
        handle = f"{self._base_url}/v1/{operation.name}"
        return settle.Accepted(handle=handle, poll_after_s=0.0 if operation.is_done else self._options.poll_after_s)

    async def _predicted(self, reply: transport.Reply, request: provider.ProviderRequest) -> settle.Outcome:
        try:
            value = json_wire.parse_json(reply.body)
        except json_wire.WireRefused as error:
            message = f"the answer {error}; it begins: {self._outcomes.excerpt(reply.body)}"
            return self._outcomes.fault(faults.Fault.BAD_OUTPUT, message, billed=None)
        outcome = await self._kept(value, request, what="the prediction")
        if isinstance(outcome, settle.StillRunning):  # there is no job to ask again
            return self._not_kept(outcome.note)
        return outcome

    async def _kept(self, value: identity.JsonValue, request: provider.ProviderRequest, *, what: str) -> settle.Outcome:
        """Complete with an answer whose media are copied; those in Cloud Storage with our token, which is Google's."""
        try:
            found = wire.links_in(value, storage_url=self._options.storage_url)
            headers = await self._tokens.headers() if any(not link.startswith("data:") for link in found) else {}
        except wire.AnswerRefused as error:
            return self._outcomes.fault(faults.Fault.BAD_OUTPUT, f"the answer of {what} {error}", billed=None)
        except tokens.TokenMissing as error:
            return self._again(str(error))
        source = fetching.Source(home=self._options.storage_url, headers=headers)
        kept = await self._copied(found, request, what=what, source=source)
        if not isinstance(kept, dict):
            return kept
        whole = wire.with_kept(value, kept, storage_url=self._options.storage_url)
        try:
            output = json_wire.follow(whole, self._options.output)
        except json_wire.WireRefused as error:
            return self._outcomes.fault(faults.Fault.BAD_OUTPUT, f"the answer of {what} {error}", billed=None)
        return settle.Completed(output=output)

    def _not_kept(self, message: str) -> settle.Outcome:
        """Judge a prediction that came and whose media could not be copied: it is paid, and nobody can ask again."""
        if self._options.is_paid:
            return settle.Unknown(message=message)
        return self._outcomes.fault(faults.Fault.REJECTED_TRANSIENT, message)
