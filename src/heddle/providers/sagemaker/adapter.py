"""Invoke a model on one SageMaker endpoint: at once, or as a job that ends in S3.

Real-time: one signed request, one answer, class C. Asynchronous: the job is told where to write its output, a place
that follows from the attempt, so that a send without an answer is looked for there (class B) and a poll needs nothing
but S3. What the model's container answers is its own affair: options say where the output is. Before it in the walk:
execute and poll. After it: settle.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import attempt, faults, identity, settle
from heddle.ports import blobs, provider
from heddle.providers import endpoints, fetching, jobs, json_wire, media, templates, transport
from heddle.providers.sagemaker import choices, signing, wire
from heddle.providers.sagemaker import faults as sagemaker_faults

RESULT_BYTES_MAX: Final = 32 * 1024**2
FAILURE_BYTES_MAX: Final = 64 * 1024


def make(config: provider.EndpointConfig, connections: transport.Transport) -> provider.Provider:
    """Make the provider of an endpoint, real-time or asynchronous as its ``mode`` says. Raises OptionRefused."""
    read = choices.read(config)
    if read.mode is choices.Mode.ASYNC:
        return AsynchronousEndpoint(config, connections, read)
    return RealTimeEndpoint(config, connections, read)


class _Endpoint(jobs.Jobs):
    """Hold what both kinds of endpoints share: the body of a request, signatures, and the reading of an answer."""

    def __init__(
        self, config: provider.EndpointConfig, connections: transport.Transport, read: choices.SageMakerOptions
    ) -> None:
        keys = read.keys
        super().__init__(
            config,
            connections,
            headers={},
            poll_after_s=read.poll_after_s,
            secrets=tuple(part for part in (keys.secret_key, keys.token) if part) if keys is not None else (),
            is_paid=read.is_paid,
        )
        self._options = read
        self._signer = signing.Signer(keys=keys, region=read.region)

    async def check(self) -> str | None:
        """See whether there are credentials and somebody listens; to ask more would cost an invocation."""
        try:
            await self._signer.signed(service=signing.SAGEMAKER, method="GET", url=self._base_url, headers={})
        except signing.CredentialsMissing as error:
            return str(error)
        return await self._transport.probe(self._base_url, timeout_s=endpoints.CHECK_TIMEOUT_S)

    async def _body(self, request: provider.ProviderRequest) -> bytes:
        """Write a request's body. Raises ValueError and BlobMissing."""
        given = await media.write_out(
            request.input,
            reader=request.artifacts,
            as_data_url=self._options.artifacts is choices.ArtifactForm.DATA_URL,
        )
        return json_wire.write_json(templates.body(self._options.body, request, given))

    async def _signed(
        self,
        service: str,
        method: str,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        is_repeatable: bool = True,
        bytes_max: int = jobs.ANSWER_BYTES_MAX,
    ) -> transport.Call:
        """Make a signed call. Raises CredentialsMissing."""
        signed = await self._signer.signed(
            service=service, method=method, url=url, headers=headers or {}, body=body or b""
        )
        return transport.Call(
            method=method,
            url=url,
            headers=signed,
            body=body,
            timeout_s=timeout_s,
            is_repeatable=is_repeatable,
            reply_bytes_max=bytes_max,
        )

    def _not_invoked(self, reply: transport.Reply) -> settle.Outcome:
        error_type = wire.read_error_type(reply.headers, reply.body)
        original = wire.read_original_status(reply.body)
        fault = sagemaker_faults.fault_of(reply.status, error_type, original_status=original)
        return self._outcomes.refused(reply, fault, note=error_type)

    async def _result(
        self, opened: transport.Opened, request: provider.ProviderRequest, *, what: str
    ) -> settle.Outcome | transport.Lost:
        """Read the answer of the model's container."""
        if self._options.response is choices.ResponseForm.ARTIFACT:
            kept = await fetching.store(opened, artifacts=request.artifacts)
            if not isinstance(kept, fetching.NotCopied):
                return settle.Completed(output=_place(self._options.picks.output, kept.as_json()))
            message = f"the result of {what}: {kept.message}"
            if kept.is_passing:
                return transport.MaybeSent(cause=transport.Cause.CUT, message=message, status=opened.status)
            return self._outcomes.fault(kept.fault, message, billed=None)
        reply = await transport.whole(opened)
        if not isinstance(reply, transport.Reply):
            return reply
        try:
            value = json_wire.parse_json(reply.body)
        except json_wire.WireRefused as error:
            message = f"the result of {what} {error}; it begins: {self._outcomes.excerpt(reply.body)}"
            return self._outcomes.fault(faults.Fault.BAD_OUTPUT, message, billed=None)
        return await self._picked(value, request, picks=self._options.picks, what=what)


class RealTimeEndpoint(_Endpoint):
    """Speak to one real-time endpoint, or a serverless one."""

    def __init__(
        self, config: provider.EndpointConfig, connections: transport.Transport, read: choices.SageMakerOptions
    ) -> None:
        super().__init__(config, connections, read)
        self.capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.C, is_paid=self._options.is_paid)

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Invoke once and read the answer."""
        try:
            body = await self._body(request)
            if len(body) > wire.REALTIME_BYTES_MAX:
                raise ValueError(f"the request has {len(body)} bytes, SageMaker takes {wire.REALTIME_BYTES_MAX}")
            call = await self._signed(
                signing.SAGEMAKER,
                "POST",
                f"{self._base_url}/endpoints/{self._options.endpoint_name}/invocations",
                timeout_s=self._timeout_s(request),
                headers={
                    "Content-Type": "application/json",
                    "Accept": self._options.accept,
                    "X-Amzn-SageMaker-Inference-Id": wire.attempt_name(request.attempt_id),
                    **self._options.target_headers(),
                },
                body=body,
                is_repeatable=not self._options.is_paid,
                bytes_max=RESULT_BYTES_MAX,
            )
        except (ValueError, blobs.BlobMissing) as error:
            return self._outcomes.unsent(error)
        except signing.CredentialsMissing as error:
            return self._outcomes.fault(faults.Fault.REJECTED_TRANSIENT, f"nothing was sent: {error}")
        async with self._transport.open(call) as opened:
            if not isinstance(opened, transport.Opened):
                return self._outcomes.loss(opened)
            if opened.status == 200:
                outcome = await self._result(opened, request, what="the invocation")
                return (
                    self._outcomes.loss(outcome)
                    if isinstance(outcome, transport.NotSent | transport.MaybeSent)
                    else outcome
                )
            reply = await transport.whole(opened)
        return self._not_invoked(reply) if isinstance(reply, transport.Reply) else self._outcomes.loss(reply)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Answer that nothing is learnt: the job was accepted when the endpoint was asynchronous."""
        message = f"a real-time endpoint was asked after the job {handle[:200]!r}"
        return self._outcomes.judged(faults.Fault.SENT_UNKNOWN, message)

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Answer no: nothing is to be stopped."""
        return False


class AsynchronousEndpoint(_Endpoint):
    """Speak to one asynchronous endpoint and to the S3 paths where its jobs end."""

    def __init__(
        self, config: provider.EndpointConfig, connections: transport.Transport, read: choices.SageMakerOptions
    ) -> None:
        super().__init__(config, connections, read)
        assert read.output_path is not None, "choices.read asks for both"
        assert read.failure_path is not None
        self._output_path, self._failure_path = read.output_path, read.failure_path
        self._buckets = frozenset({read.output_path.bucket, read.failure_path.bucket})
        self.capabilities = provider.Capabilities(
            idempotency=attempt.IdempotencyClass.B,
            is_paid=read.is_paid,
            has_poll=True,
            has_lookup=True,
            # What was accepted has ended by then, in one object or the other, or has expired.
            lookup_bound_s=wire.wait_s(config.timeout_s) + wire.run_s(config.timeout_s) + read.lookup_margin_s,
        )

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Invoke once; a body too large for the request is put into S3 before."""
        allowed_s = self._timeout_s(request)
        headers = {
            "X-Amzn-SageMaker-Content-Type": "application/json",
            "X-Amzn-SageMaker-Accept": self._options.accept,
            **wire.job_headers(request.attempt_id, allowed_s=allowed_s),
        }
        try:
            body: bytes | None = await self._body(request)
            assert body is not None
            if len(body) > wire.INLINE_BYTES_MAX:
                placed = await self._put_input(body, request)
                if not isinstance(placed, wire.Place):
                    return placed
                headers["X-Amzn-SageMaker-InputLocation"] = str(placed)
                body = None
            call = await self._signed(
                signing.SAGEMAKER,
                "POST",
                f"{self._base_url}/endpoints/{self._options.endpoint_name}/async-invocations",
                timeout_s=min(allowed_s, jobs.CALL_TIMEOUT_S),
                headers=headers,
                body=body,
                is_repeatable=False,
            )
        except (ValueError, blobs.BlobMissing) as error:
            return self._outcomes.unsent(error)
        except signing.CredentialsMissing as error:
            return self._outcomes.fault(faults.Fault.REJECTED_TRANSIENT, f"nothing was sent: {error}")
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        if not 200 <= reply.status < 300:
            return self._not_invoked(reply)
        job = wire.read_accepted(reply.headers, expected=self._expected(request))
        if reply.status != 202 or not wire.has_inference_id(reply.body):
            return settle.Unknown(message=f"answered {reply.status}, but as no asynchronous endpoint does")
        return settle.Accepted(handle=job.as_handle(), poll_after_s=self._options.poll_after_s)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Look at the output, then at the failure."""
        try:
            job = wire.read_handle(handle, buckets=self._buckets)
            output = await self._at_output(job, request)
            if output is not None:
                return output
            return await self._at_failure(job, request)
        except wire.WireRefused as error:
            return settle.Unknown(message=f"the job cannot be asked after: {error}")
        except signing.CredentialsMissing as error:
            return self._again(str(error))

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        """See whether a job of the attempt has ended; one that still runs is absent, as one never accepted is."""
        job = self._expected(request)
        try:
            found = [await self._status_of("HEAD", place, request) for place in (job.output, job.failure)]
        except signing.CredentialsMissing as error:
            return settle.Unknown(message=f"could not look: {error}")
        if 200 in found:
            return settle.Accepted(handle=job.as_handle(), poll_after_s=0.0)
        if found == [404, 404]:
            return settle.Absent()
        hint = "; 403 where nothing lies means that s3:ListBucket is not granted" if 403 in found else ""
        return settle.Unknown(message=f"could not look: S3 answered {found}{hint}")

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Answer no: SageMaker has no call to stop a job."""
        return False

    async def _put_input(self, body: bytes, request: provider.ProviderRequest) -> wire.Place | settle.Outcome:
        """Put a large body where its attempt's belongs; putting it twice leaves one object. Raises ValueError."""
        if self._options.input_path is None:
            raise ValueError(
                f"the request has {len(body)} bytes, SageMaker takes {wire.INLINE_BYTES_MAX} inline; "
                "write input_path to send larger ones by way of S3"
            )
        place = self._options.input_path.under(f"{wire.extension(request.attempt_id)}/input.json")
        call = await self._signed(
            signing.S3,
            "PUT",
            place.url(self._options.s3_url),
            timeout_s=self._timeout_s(request),
            headers={"Content-Type": "application/json"},
            body=body,
        )
        reply = await self._transport.exchange(call)
        if isinstance(reply, transport.Reply) and reply.status == 200:
            return place
        # The model was not invoked, whatever became of the object.
        said = f"answered {reply.status}" if isinstance(reply, transport.Reply) else reply.message
        is_refused = isinstance(reply, transport.Reply) and reply.status in (301, 307, 400, 404, 405, 413)
        fault = faults.Fault.REJECTED_PERMANENT if is_refused else faults.Fault.NOT_SENT
        return self._outcomes.fault(
            fault, f"the model was not invoked: the request could not be put at {place}: {said}"
        )

    async def _at_output(self, job: wire.Job, request: provider.ProviderRequest) -> settle.Outcome | None:
        """Read a job's output; None when there is none yet."""
        call = await self._signed(
            signing.S3,
            "GET",
            job.output.url(self._options.s3_url),
            timeout_s=self._timeout_s(request),
            bytes_max=fetching.MEDIUM_BYTES_MAX
            if self._options.response is choices.ResponseForm.ARTIFACT
            else RESULT_BYTES_MAX,
        )
        async with self._transport.open(call) as opened:
            if not isinstance(opened, transport.Opened):
                return self._again(opened.message)
            if opened.status == 200:
                outcome = await self._result(opened, request, what=str(job.output))
                if isinstance(outcome, transport.NotSent | transport.MaybeSent):
                    if outcome.cause is transport.Cause.TOO_LARGE:
                        return self._outcomes.fault(faults.Fault.TOO_LARGE, outcome.message, billed=None)
                    return self._again(outcome.message)
                return outcome
            return None if opened.status in (403, 404) else self._again(f"asked for output: answered {opened.status}")

    async def _at_failure(self, job: wire.Job, request: provider.ProviderRequest) -> settle.Outcome:
        """Read a job's failure; still running when there is none either."""
        call = await self._signed(
            signing.S3,
            "GET",
            job.failure.url(self._options.s3_url),
            timeout_s=self._timeout_s(request),
            bytes_max=FAILURE_BYTES_MAX,
        )
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            if reply.cause is transport.Cause.TOO_LARGE:
                return self._outcomes.fault(
                    faults.Fault(self._options.failed.value), f"the job failed: {reply.message}"
                )
            return self._again(reply.message)
        if reply.status == 200:
            return self._outcomes.fault(
                faults.Fault(self._options.failed.value), f"the job failed: {self._outcomes.excerpt(reply.body)}"
            )
        note = "in SageMaker's queue or in progress"
        return self._again(note if reply.status == 404 else f"{note}; asked for its failure: answered {reply.status}")

    async def _status_of(self, method: str, place: wire.Place, request: provider.ProviderRequest) -> int | None:
        call = await self._signed(
            signing.S3, method, place.url(self._options.s3_url), timeout_s=self._timeout_s(request)
        )
        reply = await self._transport.exchange(call)
        return reply.status if isinstance(reply, transport.Reply) else None

    def _expected(self, request: provider.ProviderRequest) -> wire.Job:
        return wire.expected_job(request.attempt_id, output_path=self._output_path, failure_path=self._failure_path)


def _place(pointer: str, stored: identity.JsonValue) -> identity.JsonValue:
    """Put a medium's reference where ``output`` says: at the top, or under the one name of ``/name``."""
    return {pointer[1:]: stored} if pointer else stored
