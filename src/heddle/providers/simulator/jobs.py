"""Records of the simulator's jobs and the pure questions about them: what state is a job in, what does it look like.

A job's whole course is fixed when it is accepted (`fates`), so its state is a function of the clock alone and survives
the simulator's own death. This module keeps no table and does no I/O. Before it `jobs_api` has parsed the request;
after it `ledger` has made the job durable.
"""

import datetime as dt
import enum
import typing
from dataclasses import dataclass

from heddle.providers.simulator import fates, picture

CLIENT_JOB_ID_CHARACTERS_MAX = 200
PROMPT_CHARACTERS_MAX = 4_000
SEED_MAX = 2**63 - 1
QUEUED_SHARE = 0.15


class Status(enum.StrEnum):
    """The states a job shows: two open, three final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRequest:
    """What is to be drawn: see `picture.draw`."""

    prompt: str
    seed: int
    width_px: int
    height_px: int
    output_format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One accepted and paid job. accepted_at_s is Unix time; price_nano_usd is what it cost."""

    id: str
    model: str
    request: PictureRequest
    request_digest: str
    idempotency_key: str | None
    client_job_id: str | None
    webhook_url: str | None
    accepted_at_s: float
    price_nano_usd: int
    fate: fates.Fate

    @property
    def ends_at_s(self) -> float:
        """Name the Unix time at which the job succeeds or fails, unless it is cancelled before."""
        return self.accepted_at_s + self.fate.latency_s


def status(*, job: Job, cancelled_at_s: float | None, now_s: float) -> Status:
    """Name the state of a job at now_s."""
    if cancelled_at_s is not None and cancelled_at_s < job.ends_at_s:
        return Status.CANCELLED
    if now_s >= job.ends_at_s:
        return Status.FAILED if job.fate.is_failed else Status.SUCCEEDED
    if now_s < job.accepted_at_s + job.fate.latency_s * QUEUED_SHARE:
        return Status.QUEUED
    return Status.RUNNING


def is_over(state: Status) -> bool:
    """Tell whether a state is final."""
    match state:
        case Status.QUEUED | Status.RUNNING:
            return False
        case Status.SUCCEEDED | Status.FAILED | Status.CANCELLED:
            return True
        case _:
            typing.assert_never(state)


def view(*, job: Job, state: Status, base_url: str) -> dict[str, typing.Any]:
    """Show a job as the API and the callbacks do: README.md names each field."""
    url = f"{base_url}/v1/jobs/{job.id}"
    shown: dict[str, typing.Any] = {
        "id": job.id,
        "status": state.value,
        "model": job.model,
        "client_job_id": job.client_job_id,
        "created_at": timestamp(job.accepted_at_s),
        "price_usd": cost_usd(job.price_nano_usd),
        "urls": {"get": url, "cancel": f"{url}/cancel"},
        "result": None,
        "error": None,
    }
    if is_over(state):
        shown["ended_at"] = timestamp(job.ends_at_s)
    if state is Status.SUCCEEDED:
        shown["result"] = {
            "url": f"{url}/result",
            "media_type": picture.MEDIA_TYPES[job.request.output_format],
            "width": job.request.width_px,
            "height": job.request.height_px,
            "seed": job.request.seed,
            "cost_usd": cost_usd(job.price_nano_usd),
        }
    if state is Status.FAILED:
        message = "The machine that drew the picture was lost. The price was given back; submit a new job."
        shown["error"] = {"code": "worker_lost", "message": message, "retryable": True}
    return shown


def timestamp(at_s: float) -> str:
    """Write Unix time as RFC 3339 in UTC, to the millisecond."""
    moment = dt.datetime.fromtimestamp(at_s, tz=dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def cost_usd(price_nano_usd: int) -> str:
    """Write an amount of nano-USD as a decimal string in USD, exactly."""
    return f"{price_nano_usd // 10**9}.{price_nano_usd % 10**9:09d}"
