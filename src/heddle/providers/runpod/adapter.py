"""Run jobs on one RunPod serverless endpoint.

``send`` submits a job once, ``poll`` asks after it and copies the media that the options point at. What the worker's
code answers is its own affair: options say where the output and its media are. Class C. RunPod forgets jobs, running
ones too, so that a job it does not know is unknown and never taken for one that was not started. Before it in the walk:
execute and poll. After it: settle.
"""

import dataclasses
import enum
import hashlib
import math
import time
from collections.abc import Mapping
from typing import Final

from heddle.core import attempt, faults, run, settle
from heddle.core.policy import price
from heddle.ports import blobs, provider
from heddle.providers import endpoints, jobs, limits, media, options, prices, transport
from heddle.providers.runpod import faults as runpod_faults
from heddle.providers.runpod import wire

RESULT_BYTES_MAX: Final = 32 * 1024**2


class ArtifactForm(enum.StrEnum):
    """Name how the artifacts of an input are sent."""

    BASE64 = "base64"
    DATA_URL = "data_url"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunPodOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    artifacts: ArtifactForm
    picks: jobs.Picks
    failed: runpod_faults.Failed
    gpu: str | None
    poll_after_s: float
    callback_names_job: bool
    callback_wait_s: float


def read_options(config: provider.EndpointConfig) -> RunPodOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    read = RunPodOptions(
        artifacts=source.choice("artifacts", default=ArtifactForm.BASE64),
        picks=jobs.read_picks(source),
        failed=source.choice("failed", default=runpod_faults.Failed.UNCLASSIFIED),
        gpu=source.text("gpu", default="") or None,
        poll_after_s=source.number("poll_after_s", default=2.0, low=0.2, high=600, unit="s"),
        callback_names_job=source.flag("callback_names_job", default=False),
        callback_wait_s=source.number("callback_wait_s", default=900.0, low=0, high=86_400, unit="s"),
    )
    source.end()
    if read.gpu is not None and read.gpu not in prices.read("runpod"):
        known = ", ".join(prices.read("runpod"))
        raise source.refusal("gpu", f"is {read.gpu!r}, of which no price is known; known are: {known}")
    if config.secret is None:
        raise source.refusal("secret", 'is missing; RunPod asks for a key, write secret = "env:NAME"')
    return read


class RunPodProvider(jobs.Jobs):
    """Speak to one serverless endpoint, whose id is the end of the configured ``url``."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._options = read_options(config)
        super().__init__(
            config,
            connections,
            headers={"Authorization": f"Bearer {config.secret}"},
            poll_after_s=self._options.poll_after_s,
        )
        self.capabilities = provider.Capabilities(
            idempotency=attempt.IdempotencyClass.C,
            is_paid=True,
            has_poll=True,
            has_cancel=True,
            has_callback=True,
            lookup_bound_s=self._options.callback_wait_s if self._options.callback_names_job else 0.0,
        )

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Submit a job, once."""
        allowed_s = self._timeout_s(request)
        try:
            given = await media.write_out(
                request.input,
                reader=request.artifacts,
                as_data_url=self._options.artifacts is ArtifactForm.DATA_URL,
            )
            body = wire.submission(
                given,
                callback_url=request.callback_url,
                allowed_s=allowed_s,
                is_low_priority=request.priority is run.Priority.BATCH,
            )
        except (ValueError, blobs.BlobMissing) as error:
            return self._outcomes.unsent(error)
        call = self._call(
            "POST",
            f"{self._base_url}/run",
            timeout_s=allowed_s,
            headers={"Content-Type": "application/json"},
            body=body,
            is_repeatable=False,
        )
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        if not 200 <= reply.status < 300:
            return self._outcomes.refused(reply, runpod_faults.fault_of(reply.status))
        try:
            job = wire.read_job(reply.body)
        except wire.AnswerRefused as error:
            return settle.Unknown(message=f"answered {reply.status} but {error}: {self._outcomes.excerpt(reply.body)}")
        heard = limits.read(reply.headers, now_s=time.time())
        return settle.Accepted(handle=self._handle(job.id), poll_after_s=self._options.poll_after_s, told=heard)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after a job, and copy its media when it has ended."""
        place = self._place(handle)
        if place is None:
            return settle.Unknown(message="the handle leads to another RunPod endpoint than the configured url")
        call = self._call(
            "GET",
            f"{self._base_url}/status/{place}",
            timeout_s=self._timeout_s(request),
            bytes_max=RESULT_BYTES_MAX,
        )
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            if reply.cause is transport.Cause.TOO_LARGE:
                message = f"the result of {place}: {reply.message}"
                return self._outcomes.fault(faults.Fault.TOO_LARGE, message, billed=None)
            return self._again(reply.message)
        if reply.status == 404:
            return settle.Unknown(
                message=f"RunPod no longer knows the job {place}: its time is over, and it may have run"
            )
        if reply.status != 200:
            return self._again(f"asked after {place}: answered {reply.status}", reply)
        try:
            job = wire.read_job(reply.body)
        except wire.AnswerRefused as error:
            return self._again(f"asked after {place}: {error}")
        if job.id != place:
            return self._again(f"asked after {place}: was told of {job.id}")
        match job.state:
            case wire.JobState.IN_QUEUE:
                return dataclasses.replace(self._again("in RunPod's queue"), is_queued=True)
            case wire.JobState.IN_PROGRESS | wire.JobState.RUNNING:
                return dataclasses.replace(self._again("in progress at RunPod"), is_queued=False)
            case wire.JobState.COMPLETED:
                return await self._picked(
                    job.output,
                    request,
                    picks=self._options.picks,
                    what=job.id,
                    cost_nano_usd=self._cost_nano_usd(job),
                )
            case wire.JobState.FAILED | wire.JobState.CANCELLED | wire.JobState.TIMED_OUT:
                fault = runpod_faults.job_fault_of(job.state.value, failed=self._options.failed)
                message = f"the job {job.id} ended {job.state}: {self._outcomes.excerpt(job.error.encode())}"
                return self._outcomes.fault(fault, message, billed=self._cost_nano_usd(job) or 0)

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask for a job to be stopped; no when it could not be asked or is over already."""
        place = self._place(handle)
        if place is None:
            return False
        call = self._call("POST", f"{self._base_url}/cancel/{place}", timeout_s=self._timeout_s(request))
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply) or reply.status != 200:
            return False
        try:
            return wire.read_job(reply.body).state is wire.JobState.CANCELLED
        except wire.AnswerRefused:
            return False

    def verify_callback(self, *, headers: Mapping[str, str], body: bytes, now_s: float) -> provider.CallbackEvent:
        """Take a callback as a hint: RunPod signs none, its address alone was secret."""
        return provider.CallbackEvent(
            event_id=hashlib.sha256(body).hexdigest(),
            is_verified=False,
            handle=wire.read_callback_id(body) if self._options.callback_names_job else None,
        )

    async def check(self) -> str | None:
        """Ask for the endpoint's health, which costs nothing and needs our key."""
        call = self._call("GET", f"{self._base_url}/health", timeout_s=endpoints.CHECK_TIMEOUT_S)
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            return reply.message
        return None if reply.status == 200 else f"/health answered {reply.status}: {self._outcomes.excerpt(reply.body)}"

    def _handle(self, job_id: str) -> str:
        """Keep the endpoint with the job, so that a changed ``url`` never asks another endpoint after it."""
        return f"{self._base_url}/status/{job_id}"

    def _place(self, handle: str) -> str | None:
        """Give the job's id; None for a handle of another endpoint. A callback's handle is the id alone."""
        job_id = handle.removeprefix(f"{self._base_url}/status/")
        return job_id if wire.is_id(job_id) else None

    def _cost_nano_usd(self, job: wire.Job) -> int | None:
        if self._options.gpu is None or job.executed_s is None or job.executed_s > wire.LIFE_MOST_S:
            return None
        listed = prices.read("runpod")[self._options.gpu]
        return price.cost_nano_usd(listed, price.Usage(seconds=float(math.ceil(job.executed_s))))
