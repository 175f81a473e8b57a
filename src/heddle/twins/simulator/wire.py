"""Write jobs and callbacks in the simulated provider's form, as README.md beside this file describes it.

Pure: records in, JSON out. Before it: the twin. After it: the answer, or a callback.
"""

import datetime as dt
import hashlib
import json

from heddle.core import identity
from heddle.core.policy import price
from heddle.providers import signing
from heddle.twins.kit import callbacks, jobs, studio

_LOST = "The machine that drew the picture was lost. The price was given back; submit a new job."


def shown(job: jobs.Job, *, url: str) -> dict[str, identity.JsonValue]:
    """Show a job as the API and the callbacks do: README.md names each field."""
    own_url, wanted = f"{url}/v1/jobs/{job.id}", picture_of(job)
    body: dict[str, identity.JsonValue] = {
        "id": job.id,
        "status": job.status.value,
        "model": job.paid.model,
        "client_job_id": job.paid.client_reference,
        "created_at": _timestamp(job.paid.at_s),
        "price_usd": _usd(job.paid.amount_nano_usd),
        "urls": {"get": own_url, "cancel": f"{own_url}/cancel"},
        "result": None,
        "error": None,
    }
    if job.over_at_s is not None:
        body["ended_at"] = _timestamp(job.over_at_s)
    if job.status is jobs.Status.SUCCEEDED:
        body["result"] = {
            "url": f"{own_url}/result",
            "media_type": wanted.media_type,
            "width": wanted.width_px,
            "height": wanted.height_px,
            "seed": wanted.seed,
            "cost_usd": _usd(job.paid.amount_nano_usd),
        }
    if job.status is jobs.Status.FAILED:
        body["error"] = {"code": "worker_lost", "message": _LOST, "retryable": True}
    return body


def letter(job: jobs.Job, *, url: str, secret: str, now_s: float) -> callbacks.Letter:
    """Write and sign the callback of a job that is over; each copy has the same id and the same body."""
    kind = f"job.{job.status.value}"
    message = {"type": kind, "timestamp": _timestamp(job.over_at_s or now_s), "data": shown(job, url=url)}
    body = json.dumps(message, separators=(",", ":")).encode()
    message_id = "msg_" + hashlib.sha256(f"{job.id}/{kind}".encode()).hexdigest()[:24]
    signed = signing.sign(secret=secret, message_id=message_id, timestamp_s=int(now_s), body=body)
    return callbacks.Letter(headers={"Content-Type": "application/json", **signed}, body=body)


def picture_of(job: jobs.Job) -> studio.Picture:
    """Read what a job is to draw."""
    return studio.Picture(**job.paid.data)


def _timestamp(at_s: float) -> str:
    moment = dt.datetime.fromtimestamp(at_s, tz=dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _usd(amount_nano_usd: int) -> str:
    whole, fraction = divmod(amount_nano_usd, price.NANO_PER_USD)
    return f"{whole}.{fraction:09d}"
