"""Word what fal's queue says of a job: its state, its result, its end, its callback and the signature of that.

Pure: a job and the time in, values out. Before it: ``twin`` with a job. After it: the answer, or a callback's letter.
"""

import base64
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from heddle.core import identity
from heddle.twins.kit import jobs, media, studio

PRICE_NANO_USD: Final = 25_000_000
FILES_MAX: Final = 4
USER_ID: Final = "github|1234567"
_NAMESPACES: Final = frozenset({"workflows", "comfy"})
_SIDE_PX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a job has ended: the status of its result, and what the queue says of a failure."""

    status: int
    error: str = ""
    error_type: str = ""
    is_of_model: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        """Tell whether there is a result."""
        return self.status == 200

    def body(self) -> dict[str, identity.JsonValue]:
        """Word the failure as the result's answer: the model's own errors are a list, the platform's are flat."""
        if self.is_of_model:
            detail = {
                "loc": ["body", "prompt"],
                "msg": self.error,
                "type": self.error_type,
                "url": f"https://docs.fal.ai/errors#{self.error_type}",
                "input": {},
            }
            return {"detail": [detail]}
        return {"detail": self.error, "error_type": self.error_type}


_FAILURES: Final = (
    End(
        status=503,
        error="The runner disconnected unexpectedly during processing.",
        error_type="runner_disconnected",
        headers={"X-Fal-Error-Type": "runner_disconnected"},
    ),
    End(
        status=500,
        error="The runner encountered an internal server error.",
        error_type="runner_server_error",
        headers={"X-Fal-Error-Type": "runner_server_error"},
    ),
    End(
        status=422,
        error="The content could not be processed because it contained material flagged by a content checker.",
        error_type="content_policy_violation",
        is_of_model=True,
    ),
)
_CANCELLED: Final = End(
    status=499,
    error="The request was cancelled by the client.",
    error_type="client_cancelled",
    headers={"X-Fal-Error-Type": "client_cancelled"},
)
_TIMED_OUT: Final = End(
    status=504,
    error="Request timed out",
    error_type="request_timeout",
    headers={"X-Fal-Error-Type": "request_timeout", "X-Fal-Request-Timeout-Type": "user"},
)


def name_of(job: jobs.Job) -> str:
    """Give a job's request id, which fal writes as a UUID."""
    return str(uuid.UUID(job.id))


def app_of(model: str) -> str:
    """Name the application that a model is a path of; its namespace stays."""
    parts = model.split("/")
    return "/".join(parts[:3] if parts[0] in _NAMESPACES else parts[:2])


def end_of(job: jobs.Job, *, now_s: float) -> End | None:
    """Tell how a job has ended; None for one that is open."""
    data, timed_out_at_s = job.paid.data, times_out_at_s(job)
    if timed_out_at_s is not None and now_s > timed_out_at_s and (job.over_at_s or now_s) >= timed_out_at_s:
        return _TIMED_OUT
    match job.status:
        case jobs.Status.QUEUED | jobs.Status.RUNNING:
            return None
        case jobs.Status.CANCELLED:
            return _CANCELLED
        case jobs.Status.FAILED:
            return _FAILURES[int(hashlib.sha256(job.id.encode()).hexdigest(), 16) % len(_FAILURES)]
        case _:
            return _FAILURES[0] if data["is_lie"] else End(status=200, headers={"X-Fal-Billable-Units": _units(job)})


def times_out_at_s(job: jobs.Job) -> float | None:
    """Tell when a job that would begin later than allowed ends in the queue, for good; None for one that begins."""
    allowed_s, fate = job.paid.data["start_timeout_s"], job.paid.fate
    if allowed_s is None or not (fate.is_stuck or fate.latency_s * jobs.QUEUED_SHARE > allowed_s):
        return None
    return job.paid.at_s + float(allowed_s)


def shown(job: jobs.Job, *, place: int, end: End | None, url: str) -> dict[str, identity.JsonValue]:
    """Word a job's state. A model's own error stands in the result alone: the state says COMPLETED and nothing else."""
    base = f"{url}/{job.paid.data['app']}/requests/{name_of(job)}"
    body: dict[str, identity.JsonValue] = {
        "request_id": name_of(job),
        "gateway_request_id": name_of(job),
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
        "logs": None,
        "metrics": {},
    }
    if end is not None:
        took_s = job.paid.fate.latency_s * (1 - jobs.QUEUED_SHARE)
        failed = {} if end.is_well or end.is_of_model else {"error": end.error, "error_type": end.error_type}
        return {"status": "COMPLETED", **body, "metrics": {"inference_time": took_s}, **failed}
    if job.status is jobs.Status.QUEUED:
        return {"status": "IN_QUEUE", **body, "queue_position": place}
    return {"status": "IN_PROGRESS", **body}


def scene_of(job: jobs.Job) -> studio.Picture | None:
    """Give the picture that a job's files are, where they are to be looked at; None for small ones and for films."""
    if not job.paid.data.get("is_scenic") or _is_video(job):
        return None
    width_px, height_px = _sides(job)
    return studio.scene(job.paid.data["input"], output_format="png", width_px=width_px, height_px=height_px)


def is_inline(job: jobs.Job) -> bool:
    """Tell whether a job's result holds its files (``sync_mode``) instead of links to them."""
    return job.paid.data["input"].get("sync_mode") is True and not _is_video(job)


def payload(job: jobs.Job, *, url: str, scene: bytes | None) -> dict[str, identity.JsonValue]:
    """Make the result of a job that ended well, as image and video models word theirs. scene: the file of ``scene_of``,
    where the result holds it.
    """
    given = job.paid.data["input"]
    seed = given.get("seed")
    if _is_video(job):
        data, media_type = drawn(job, 0)
        name = f"{url}/files/{job.id}/0.mp4"
        size = len(data)
        return {"video": {"url": name, "content_type": media_type, "file_name": "output.mp4", "file_size": size}}
    width_px, height_px = _sides(job)
    images = [
        {
            "url": _place(job, number, url=url, scene=scene),
            "content_type": "image/png",
            "width": width_px,
            "height": height_px,
        }
        for number in range(_count(job))
    ]
    return {
        "images": images,
        "timings": {"inference": job.paid.fate.latency_s},
        "seed": seed if isinstance(seed, int) else int(job.paid.digest[:8], 16),
        "has_nsfw_concepts": [False] * len(images),
        "prompt": given.get("prompt", ""),
    }


def number_of(job: jobs.Job, name: str) -> int | None:
    """Give which file of a job that ended well has a name; None when none has it."""
    number, _, form = name.partition(".")
    is_known = form == ("mp4" if _is_video(job) else "png") and number.isascii() and number.isdigit()
    if job.status is not jobs.Status.SUCCEEDED or not is_known or int(number) >= _count(job):
        return None
    return int(number)


def told(job: jobs.Job, end: End | None, *, url: str, scene: bytes | None) -> dict[str, identity.JsonValue]:
    """Word the callback of a job that is over. scene: as for ``payload``."""
    body: dict[str, identity.JsonValue] = {"request_id": name_of(job), "gateway_request_id": name_of(job)}
    if end is None or end.is_well:
        return {**body, "status": "OK", "error": None, "payload": payload(job, url=url, scene=scene)}
    return {**body, "status": "ERROR", "error": end.error, "payload": end.body()}


def signed(*, secret: str, request_id: str, body: bytes, now_s: float) -> dict[str, str]:
    """Sign a callback: Ed25519 over request id, user id, timestamp and the body's sha256, one a line."""
    timestamp = str(int(now_s))
    lines = (request_id, USER_ID, timestamp, hashlib.sha256(body).hexdigest())
    signature = _key(secret, "current").sign("\n".join(lines).encode())
    return {
        "Content-Type": "application/json",
        "X-Fal-Webhook-Request-Id": request_id,
        "X-Fal-Webhook-User-Id": USER_ID,
        "X-Fal-Webhook-Timestamp": timestamp,
        "X-Fal-Webhook-Signature": signature.hex(),
    }


def published_keys(*, secret: str) -> dict[str, identity.JsonValue]:
    """Word the set of public keys (RFC 8037): an older one, and the one that signs."""
    keys = []
    for name in ("former", "current"):
        raw = _key(secret, name).public_key().public_bytes_raw()
        text = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        keys.append({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": name, "x": text})
    return {"keys": keys}


def _key(secret: str, name: str) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{name}/{secret}".encode()).digest())


def _place(job: jobs.Job, number: int, *, url: str, scene: bytes | None) -> str:
    """Give a file's link, or with ``sync_mode`` the file itself."""
    if is_inline(job):
        data = drawn(job, number)[0] if scene is None else scene
        return f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f"{url}/files/{job.id}/{number}.png"


def drawn(job: jobs.Job, number: int) -> tuple[bytes, str]:
    """Give a file that is nothing to look at, and its media type."""
    seed = f"{job.paid.digest}/{number}"
    if _is_video(job):
        return media.mp4(seed), "video/mp4"
    width_px, height_px = _sides(job)
    return media.png(seed, width_px=width_px, height_px=height_px), "image/png"


def _sides(job: jobs.Job) -> tuple[int, int]:
    """Give the sides asked for by ``image_size``, where a picture of them can be looked at; small ones else."""
    size = job.paid.data["input"].get("image_size")
    if not job.paid.data.get("is_scenic") or not isinstance(size, dict):
        return _SIDE_PX, _SIDE_PX
    return int(size.get("width", _SIDE_PX)), int(size.get("height", _SIDE_PX))


def _is_video(job: jobs.Job) -> bool:
    return "video" in job.paid.model


def _count(job: jobs.Job) -> int:
    wanted = job.paid.data["input"].get("num_images", 1)
    return min(max(wanted, 1), FILES_MAX) if isinstance(wanted, int) and not _is_video(job) else 1


def _units(job: jobs.Job) -> str:
    return str(_count(job))
