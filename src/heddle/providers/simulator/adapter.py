"""Order pictures from the simulated third party through its asynchronous job API.

``send`` submits a job, ``poll`` asks after it and fetches the picture, ``lookup`` finds a job by the name we gave it.
The account's idempotency class is an option, so that all three classes of the paid-call protocol can be lived through.
A job that has succeeded is never given up: when its picture cannot be fetched now, it is polled again. Before it in the
walk: execute and poll. After it: settle.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping
from urllib import parse

from heddle.core import attempt, faults, settle
from heddle.ports import blobs, provider
from heddle.providers import endpoints, options, signing, statuses, transport
from heddle.providers.simulator import faults as simulator_faults
from heddle.providers.simulator import wire

ANSWER_BYTES_MAX = 256 * 1024
PICTURE_BYTES_MAX = 64 * 1024**2
POLL_WISH_MAX_S = 60.0  # a paid job is not left alone for longer, whatever Retry-After a poll is answered with
# What a poll says of a picture that may still arrive whole: the provider's bytes were too few, not of a wrong kind.
_MAY_COME_WHOLE = frozenset({"truncated", "empty"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """Hold the options of one endpoint.

    ``class``: the account's idempotency class, A, B or C. ``model_name``: the provider's name of the model, ours when
    absent. ``poll_after_s``: time between two polls, 0.05 to 3600. ``lookup_bound_s``: class B, after this long without
    a trace a job was never accepted.
    """

    idempotency: attempt.IdempotencyClass
    model_name: str | None
    poll_after_s: float
    lookup_bound_s: float


def read_options(config: provider.EndpointConfig) -> SimulatorOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    read = SimulatorOptions(
        idempotency=source.choice("class", default=attempt.IdempotencyClass.A),
        model_name=source.text("model_name", default="") or None,
        poll_after_s=source.number("poll_after_s", default=1.0, low=0.05, high=3_600, unit="s"),
        lookup_bound_s=source.number("lookup_bound_s", default=10.0, low=0, high=86_400, unit="s"),
    )
    source.end()
    if config.secret is None:
        raise source.refusal("secret", 'is missing; the provider asks for a key, write secret = "env:NAME"')
    if config.callback_secret is not None:
        try:
            signing.key(config.callback_secret)
        except signing.SecretMalformed as error:
            raise source.refusal("callback_secret", f"cannot be used: {error}") from None
    return read


class SimulatorProvider(endpoints.Endpoint):
    """Speak to one account of the simulated provider."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._options = read_options(config)
        super().__init__(config, connections, is_guarded=True)
        self._class = self._options.idempotency
        is_asked = self._class is attempt.IdempotencyClass.B
        # A class C send whose answer was lost is still found by its callback, where callbacks are believed.
        is_told = self._class is attempt.IdempotencyClass.C and config.callback_secret is not None
        self.capabilities = provider.Capabilities(
            idempotency=self._class,
            is_paid=True,
            has_poll=True,
            has_lookup=is_asked,
            has_cancel=True,
            has_callback=True,
            lookup_bound_s=self._options.lookup_bound_s if is_asked or is_told else 0.0,
        )

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Submit a job. In class A the same idempotency key, sent again with the same request, finds the same job."""
        is_keyed = self._class is attempt.IdempotencyClass.A
        try:
            body = wire.submission(
                model=self._options.model_name or request.model,
                given=request.input,
                webhook=request.callback_url,
                client_job_id=request.attempt_id if self._class is attempt.IdempotencyClass.B else None,
            )
        except ValueError as error:
            return self._outcomes.unsent(error)
        headers = {"Content-Type": "application/json"}
        if is_keyed:
            headers["Idempotency-Key"] = request.idempotency_key
        reply = await self._exchange(request, "POST", "/v1/jobs", headers=headers, body=body, is_repeatable=is_keyed)
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        if not 200 <= reply.status < 300:
            return self._refused(reply)
        try:
            job = wire.read_job(reply.body)
        except wire.AnswerRefused as error:
            return settle.Unknown(message=f"answered {reply.status} but {error}: {self._outcomes.excerpt(reply.body)}")
        is_open = job.state in (wire.JobState.QUEUED, wire.JobState.RUNNING)
        return settle.Accepted(handle=job.id, poll_after_s=self._options.poll_after_s if is_open else 0.0)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after a job, and fetch and store its picture when it has succeeded."""
        reply = await self._exchange(request, "GET", _job_path(handle))
        if not isinstance(reply, transport.Reply):
            return self._again(reply.message)
        if reply.status == 404 and wire.read_error_code(reply.body) == "not_found":
            return settle.Unknown(message=f"the provider no longer knows the job {handle} it had accepted")
        if reply.status != 200:
            return self._again(f"asked after {handle}: answered {reply.status}", reply)
        try:
            job = wire.read_job(reply.body)
        except wire.AnswerRefused as error:
            return self._again(f"asked after {handle}: {error}")
        if job.id != handle:
            return self._again(f"asked after {handle}: was told of {job.id}")
        match job.state:
            case wire.JobState.QUEUED | wire.JobState.RUNNING:
                again = self._again(job.state.value)
                return dataclasses.replace(again, is_queued=job.state is wire.JobState.QUEUED)
            case wire.JobState.SUCCEEDED:
                return await self._fetch(job, request)
            case wire.JobState.FAILED:
                fault = simulator_faults.job_fault_of(job.error_code)
                said = self._outcomes.quoted(job.error_message)
                return self._outcomes.fault(fault, f"the job {job.id} failed ({job.error_code or 'no code'}): {said}")
            case wire.JobState.CANCELLED:
                billed_nano_usd = job.price_nano_usd or 0  # the price of a cancelled job stays paid
                return self._outcomes.fault(
                    faults.Fault.CANCELLED, f"the job {job.id} was cancelled", billed=billed_nano_usd
                )

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Find the job of an attempt by the attempt's id. Should there be two, the first that has not failed counts."""
        if self._class is not attempt.IdempotencyClass.B:
            return settle.Unknown(message=f"{self._outcomes.where} is of class {self._class} and cannot be asked")
        query = parse.urlencode({"client_job_id": request.attempt_id})
        reply = await self._exchange(request, "GET", f"/v1/jobs?{query}")
        if not isinstance(reply, transport.Reply):
            return settle.Unknown(message=f"could not ask: {reply.message}")
        if reply.status != 200:
            return settle.Unknown(
                message=f"could not ask: answered {reply.status}: {self._outcomes.excerpt(reply.body)}"
            )
        try:
            jobs = wire.read_jobs(reply.body)
        except wire.AnswerRefused as error:
            return settle.Unknown(message=f"could not ask: {error}")
        if not jobs:
            return settle.Absent()
        ended_badly = (wire.JobState.FAILED, wire.JobState.CANCELLED)
        found = next((job for job in jobs if job.state not in ended_badly), jobs[-1])
        return settle.Accepted(handle=found.id, poll_after_s=0.0)

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask for a job to be stopped; no when it could not be asked or is over already."""
        reply = await self._exchange(request, "POST", f"{_job_path(handle)}/cancel")
        if not isinstance(reply, transport.Reply) or reply.status != 200:
            return False
        try:
            return wire.read_job(reply.body).state is wire.JobState.CANCELLED
        except wire.AnswerRefused:
            return False

    def verify_callback(self, *, headers: Mapping[str, str], body: bytes, now_s: float) -> provider.CallbackEvent:
        """Verify by Standard Webhooks; without a ``callback_secret`` a callback is taken, unverified, as a hint."""
        if self._config.callback_secret is None:
            return provider.CallbackEvent(event_id=hashlib.sha256(body).hexdigest(), is_verified=False)
        try:
            event_id = signing.verify(secret=self._config.callback_secret, headers=headers, body=body, now_s=now_s)
        except signing.SignatureRefused as error:
            raise provider.CallbackRefused(f"{self._outcomes.where} ({error.code}): {error}") from None
        return provider.CallbackEvent(event_id=event_id, is_verified=True, handle=wire.told_job(body))

    async def check(self) -> str | None:
        """Ask for the account's class, and whether our key is taken."""
        health = await self._ask_freely("/v1/health")
        if not isinstance(health, transport.Reply):
            return health.message
        try:
            offered = json.loads(health.body).get("class") if health.status == 200 else None
        except (ValueError, AttributeError):
            offered = None
        if offered != self._class.value:
            return f"class is {self._class.value}, but /v1/health answered {health.status} and offers {offered!r}"
        # No job has this id, so that a key that is taken gives 404.
        known = await self._ask_freely(_job_path("job_of_a_check"))
        if not isinstance(known, transport.Reply):
            return known.message
        return None if known.status == 404 else f"the secret is not taken: answered {known.status}"

    async def _fetch(self, job: wire.Job, request: provider.ProviderRequest) -> settle.Outcome:
        call = self._call(
            "GET", f"{_job_path(job.id)}/result", timeout_s=self._timeout_s(request), bytes_max=PICTURE_BYTES_MAX
        )
        async with self._transport.open(call) as opened:
            if not isinstance(opened, transport.Opened):
                return self._again(f"the picture of {job.id} is not here yet: {opened.message}")
            if opened.status != 200:
                reply = await transport.whole(opened)
                whole_reply = reply if isinstance(reply, transport.Reply) else None
                return self._again(f"the picture of {job.id} is not here yet: answered {opened.status}", whole_reply)
            claimed = transport.media_type(opened.headers) or None
            try:
                stored = await request.artifacts.write(opened.chunks, media_type=claimed)
            except (transport.BodyLost, OSError) as error:
                return self._again(f"the picture of {job.id} is not here yet: {error}")
            except blobs.BlobRefused as error:
                if error.code in _MAY_COME_WHOLE:
                    return self._again(f"the picture of {job.id} is not here yet: {error}")
                fault = faults.Fault.TOO_LARGE if error.code == "too_large" else faults.Fault.BAD_OUTPUT
                message = f"the picture of {job.id} was not stored ({error.code}): {error}"
                return self._outcomes.fault(fault, message, billed=job.price_nano_usd or 0)
        return settle.Completed(output={"image": stored.as_json(), "seed": job.seed}, cost_nano_usd=job.price_nano_usd)

    def _refused(self, reply: transport.Reply) -> settle.Outcome:
        code = wire.read_error_code(reply.body)
        fault = simulator_faults.fault_of(reply.status, code, is_keyed=self._class is attempt.IdempotencyClass.A)
        return self._outcomes.refused(reply, fault)

    def _again(self, note: str, reply: transport.Reply | None = None) -> settle.StillRunning:
        wished_s = statuses.retry_after_s(reply.headers, now_s=time.time()) if reply is not None else None
        later_s = min(wished_s or 0.0, POLL_WISH_MAX_S)
        return settle.StillRunning(poll_after_s=max(self._options.poll_after_s, later_s), note=note)

    async def _exchange(
        self,
        request: provider.ProviderRequest,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        is_repeatable: bool = True,
    ) -> transport.Reply | transport.Lost:
        call = self._call(method, path, timeout_s=self._timeout_s(request), bytes_max=ANSWER_BYTES_MAX)
        return await self._transport.exchange(
            dataclasses.replace(
                call, headers={**call.headers, **(headers or {})}, body=body, is_repeatable=is_repeatable
            )
        )

    async def _ask_freely(self, path: str) -> transport.Reply | transport.Lost:
        return await self._transport.exchange(
            self._call("GET", path, timeout_s=endpoints.CHECK_TIMEOUT_S, bytes_max=ANSWER_BYTES_MAX)
        )

    def _call(self, method: str, path: str, *, timeout_s: float, bytes_max: int) -> transport.Call:
        return transport.Call(
            method=method,
            url=self._base_url + path,
            headers={"Authorization": f"Bearer {self._config.secret}"},
            timeout_s=timeout_s,
            is_repeatable=True,
            reply_bytes_max=bytes_max,
        )


def _job_path(handle: str) -> str:
    return f"/v1/jobs/{parse.quote(handle, safe='')}"
