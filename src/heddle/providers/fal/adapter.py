"""Order media from fal.ai through its queue.

``send`` submits a job once, with fal's own repeating switched off; ``poll`` asks after it at the addresses that fal
gave, and copies what the result links to. A job that has ended well is never given up: what cannot be fetched now is
asked for again. Class C: fal takes no key, so a submission without an answer is found again only by fal's signed
callback, which names the job. Before it in the walk: execute and poll. After it: settle.
"""

import dataclasses
import decimal
import time
from collections.abc import Mapping
from typing import Final
from urllib import parse

from heddle.core import attempt, faults, run, settle
from heddle.core.policy import price
from heddle.ports import blobs, provider
from heddle.providers import endpoints, jobs, json_wire, limits, media, options, prices, transport
from heddle.providers.fal import faults as fal_faults
from heddle.providers.fal import webhooks, wire

JWKS_URL: Final = "https://rest.fal.ai/.well-known/jwks.json"
INLINE_BYTES_MAX: Final = 8 * 1024**2  # of one medium sent as a data URL
START_TIMEOUT_LEAST_S: Final = 1.0  # fal refuses less (fal_client 1.0.3, _headers.py)
QUEUE_WAIT_MAX_S: Final = 30.0  # between two looks at a job far back in the queue
_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_POSITIONS_PER_WAIT: Final = 10
_OWN_HEADERS: Final = frozenset({"x-fal-request-id", "x-fal-request-timeout-type"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FalOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    model_name: str | None
    poll_after_s: float
    callback_wait_s: float
    jwks_url: str


def read_options(config: provider.EndpointConfig) -> FalOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    read = FalOptions(
        model_name=source.text("model_name", default="") or None,
        poll_after_s=source.number("poll_after_s", default=2.0, low=0.2, high=3_600, unit="s"),
        callback_wait_s=source.number("callback_wait_s", default=900.0, low=0, high=86_400, unit="s"),
        jwks_url=source.text("jwks_url", default=JWKS_URL),
    )
    source.end()
    if read.model_name is not None and not wire.is_model(read.model_name):
        raise source.refusal("model_name", f'is {read.model_name!r}; it must be of the form "fal-ai/flux/dev"')
    if not _is_safe(read.jwks_url):
        raise source.refusal("jwks_url", f"is {read.jwks_url!r}; it must begin with https:// and name a host")
    if config.secret is None:
        raise source.refusal("secret", 'is missing; fal asks for a key, write secret = "env:NAME"')
    return read


def _is_safe(url: str) -> bool:
    """Tell whether keys may be fetched from an address: over TLS, or from this machine."""
    try:
        parts = parse.urlsplit(url)
    except ValueError:
        return False
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _THIS_MACHINE)
    return is_safe and bool(parts.hostname) and not parts.username


class FalProvider(jobs.Jobs):
    """Speak to one account of fal's queue."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._options = read_options(config)
        super().__init__(
            config,
            connections,
            headers={"Authorization": f"Key {config.secret}"},
            poll_after_s=self._options.poll_after_s,
        )
        self._keys = webhooks.KeySet(self._options.jwks_url)
        self.capabilities = provider.Capabilities(
            idempotency=attempt.IdempotencyClass.C,
            is_paid=True,
            has_poll=True,
            has_cancel=True,
            has_callback=True,
            lookup_bound_s=self._options.callback_wait_s,
        )

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Submit a job, once."""
        model = self._model(request)
        try:
            if not wire.is_model(model):
                raise ValueError(f'{model!r} is no model of fal\'s; set model_name, such as "fal-ai/flux/dev"')
            body = await self._body(request)
        except (ValueError, blobs.BlobMissing) as error:
            return self._outcomes.unsent(error)
        allowed_s = self._timeout_s(request)
        path = wire.submit_path(model, callback_url=request.callback_url)
        headers = {**_wishes(request, allowed_s=allowed_s), "Content-Type": "application/json"}
        call = self._call(
            "POST", self._base_url + path, timeout_s=allowed_s, headers=headers, body=body, is_repeatable=False
        )
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        if not 200 <= reply.status < 300:
            error_type = wire.read_error_type(reply.headers, reply.body)
            return self._outcomes.refused(reply, fal_faults.fault_of(reply.status, error_type), note=error_type)
        try:
            job = wire.read_submitted(reply.body, base_url=self._base_url, model=model)
        except wire.AnswerRefused as error:
            return settle.Unknown(message=f"answered {reply.status} but {error}: {self._outcomes.excerpt(reply.body)}")
        heard = limits.read(reply.headers, now_s=time.time())
        return settle.Accepted(handle=job.as_handle(), poll_after_s=self._options.poll_after_s, told=heard)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after a job, and fetch its result and the media of it when it has ended."""
        try:
            job = wire.read_handle(handle, base_url=self._base_url, model=self._model(request))
        except wire.AnswerRefused as error:
            return settle.Unknown(message=f"the job cannot be asked after: {error}")
        reply = await self._transport.exchange(self._call("GET", job.status_url, timeout_s=self._timeout_s(request)))
        if not isinstance(reply, transport.Reply):
            return self._again(reply.message)
        if reply.status == 404:
            return settle.Unknown(message=f"fal no longer knows the request {job.request_id} it had accepted")
        if reply.status not in (200, 202):
            return self._again(f"asked after {job.request_id}: answered {reply.status}", reply)
        try:
            status = wire.read_status(reply.body)
        except wire.AnswerRefused as error:
            return self._again(f"asked after {job.request_id}: {error}")
        match status.state:
            case wire.JobState.IN_QUEUE:
                return self._queued(status)
            case wire.JobState.IN_PROGRESS:
                return dataclasses.replace(self._again("in progress at fal"), is_queued=False)
            case wire.JobState.COMPLETED if status.error or status.error_type:
                is_ours = "x-fal-request-timeout-type" in reply.headers
                return self._ended(job, None, status.error_type, status.error.encode(), is_our_timeout=is_ours)
            case wire.JobState.COMPLETED:
                return await self._fetch(job, request)

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask for a job to be stopped; no when it could not be asked or is over already."""
        try:
            job = wire.read_handle(handle, base_url=self._base_url, model=self._model(request))
        except wire.AnswerRefused:
            return False
        reply = await self._transport.exchange(self._call("PUT", job.cancel_url, timeout_s=self._timeout_s(request)))
        return isinstance(reply, transport.Reply) and 200 <= reply.status < 300

    def verify_callback(self, *, headers: Mapping[str, str], body: bytes, now_s: float) -> provider.CallbackEvent:
        """Verify by fal's published keys. A retry of fal's bears the same id."""
        try:
            signed_id = webhooks.verify(keys=self._keys, headers=headers, body=body, now_s=now_s)
        except webhooks.SignatureRefused as error:
            raise provider.CallbackRefused(f"{self._outcomes.where} ({error.code}): {error}") from None
        return provider.CallbackEvent(event_id=signed_id, is_verified=True, handle=wire.read_callback_id(body))

    async def check(self) -> str | None:
        """Ask after a job that cannot be, so that only the key is judged; without ``model_name`` only connect."""
        if self._options.model_name is None:
            return await self._transport.probe(self._base_url, timeout_s=endpoints.CHECK_TIMEOUT_S)
        nobody = wire.derived_job(
            "00000000-0000-0000-0000-000000000000", base_url=self._base_url, model=self._options.model_name
        )
        reply = await self._transport.exchange(
            self._call("GET", nobody.status_url, timeout_s=endpoints.CHECK_TIMEOUT_S)
        )
        if not isinstance(reply, transport.Reply):
            return reply.message
        if reply.status in (401, 403):
            return f"the secret is not taken: answered {reply.status}: {self._outcomes.excerpt(reply.body)}"
        return None if reply.status < 500 else f"answered {reply.status}: {self._outcomes.excerpt(reply.body)}"

    async def _body(self, request: provider.ProviderRequest) -> bytes:
        """Write the input with its artifacts as data URLs. Raises ValueError."""
        for found in media.artifacts_in(request.input):
            if found.size_bytes > INLINE_BYTES_MAX:
                raise ValueError(
                    f"the artifact {found.sha256[:12]} has {found.size_bytes} bytes; at most {INLINE_BYTES_MAX} "
                    "go to fal inside a request, give larger media as a link of your own"
                )
        given = await media.write_out(request.input, reader=request.artifacts, as_data_url=True)
        return json_wire.write_json(given)

    async def _fetch(self, job: wire.Job, request: provider.ProviderRequest) -> settle.Outcome:
        """Fetch a result. Its answer has the status that the job ended with, so that an error in it is the job's."""
        call = self._call(
            "GET", job.response_url, timeout_s=self._timeout_s(request), bytes_max=transport.BODY_BYTES_MAX
        )
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            if reply.cause is transport.Cause.TOO_LARGE:
                message = f"the result of {job.request_id}: {reply.message}"
                return self._outcomes.fault(faults.Fault.TOO_LARGE, message, billed=None)
            return self._again(f"the result of {job.request_id} is not here yet: {reply.message}")
        if reply.status == 404:
            return settle.Unknown(message=f"fal no longer has the result of {job.request_id}")
        if reply.status in (401, 403, 408, 429) or 300 <= reply.status < 400 or reply.status == 202:
            return self._again(f"the result of {job.request_id} was not given: answered {reply.status}", reply)
        error_type = wire.read_error_type(reply.headers, reply.body)
        is_own = error_type in fal_faults.JOB_FAULTS or bool(_OWN_HEADERS & reply.headers.keys())
        if reply.status >= 500 and not is_own:
            # fal's own answers bear its id (fal_client 1.0.3, _is_ingress_error): this one is a gateway's.
            return self._again(f"the result of {job.request_id} was not given: answered {reply.status}", reply)
        if reply.status != 200:
            is_ours = reply.status == 504 and "x-fal-request-timeout-type" in reply.headers
            return self._ended(job, reply.status, error_type, reply.body, is_our_timeout=is_ours)
        return await self._completed(job, reply, request)

    async def _completed(
        self, job: wire.Job, reply: transport.Reply, request: provider.ProviderRequest
    ) -> settle.Outcome:
        if reply.media_type in ("text/html", "application/xhtml+xml"):
            return self._again(f"the result of {job.request_id} is not here yet: a page came", reply)
        cost = self._cost_nano_usd(reply.headers, self._model(request))
        try:
            output = json_wire.parse_json(reply.body)
        except json_wire.WireRefused as error:
            message = f"the result of {job.request_id} {error}; it begins: {self._outcomes.excerpt(reply.body)}"
            return self._outcomes.fault(faults.Fault.BAD_OUTPUT, message, billed=cost)
        kept = await self._copied(wire.files_in(output), request, what=job.request_id, billed=cost)
        if not isinstance(kept, dict):
            return kept
        heard = dataclasses.replace(limits.read(reply.headers, now_s=time.time()), images=len(kept) or None)
        return settle.Completed(output=wire.with_files(output, kept), cost_nano_usd=cost, told=heard)

    def _ended(
        self, job: wire.Job, status: int | None, error_type: str, said: bytes, *, is_our_timeout: bool
    ) -> settle.Faulted:
        fault = fal_faults.job_fault_of(status, error_type, is_our_timeout=is_our_timeout)
        answered = f" with {status}" if status is not None else ""
        message = (
            f"the request {job.request_id} ended{answered} ({error_type or 'no type'}): {self._outcomes.excerpt(said)}"
        )
        return self._outcomes.fault(fault, message)

    def _queued(self, status: wire.Status) -> settle.StillRunning:
        """Tell the position, and look more seldom at a job that is far back."""
        if status.queue_position is None:
            return dataclasses.replace(self._again("in fal's queue"), is_queued=True)
        step_s = self._options.poll_after_s
        wait_s = min(step_s * max(1.0, status.queue_position / _POSITIONS_PER_WAIT), max(step_s, QUEUE_WAIT_MAX_S))
        note = f"in fal's queue, position {status.queue_position}"
        return settle.StillRunning(poll_after_s=wait_s, note=note, is_queued=True)

    def _model(self, request: provider.ProviderRequest) -> str:
        return self._options.model_name or request.model

    def _cost_nano_usd(self, headers: Mapping[str, str], model: str) -> int | None:
        """Give units billed times the unit's list price; None when either is not known."""
        listed = prices.of(prices.read("fal"), model, adapter="fal")
        try:
            units = decimal.Decimal(headers.get("x-fal-billable-units", "").strip())
        except decimal.InvalidOperation:
            return None
        if listed is None or not units.is_finite() or units < 0:
            return None
        cost = (units * (listed.image or listed.second or listed.call)).to_integral_value(decimal.ROUND_CEILING)
        return int(cost) if cost <= price.AMOUNT_MAX_NANO_USD else None


def _wishes(request: provider.ProviderRequest, *, allowed_s: float) -> dict[str, str]:
    """Give the headers that tell fal how to treat a request: never repeat it, by when to start, how urgent it is."""
    is_low = request.priority is run.Priority.BATCH
    wishes = {"x-fal-no-retry": "1", "X-Fal-Queue-Priority": "low" if is_low else "normal"}
    if allowed_s > START_TIMEOUT_LEAST_S:
        wishes["X-Fal-Request-Timeout"] = f"{allowed_s:.3f}"
    return wishes
