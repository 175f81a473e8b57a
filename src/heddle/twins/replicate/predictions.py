"""Show a twin's job as Replicate shows a prediction, now or at one of the events that its webhook tells of.

Pure: a job in, JSON out. Before it: ``twin`` with a job. After it: an answer, a list, or a webhook's body. Sources:
https://replicate.com/docs/reference/http, …/topics/predictions/lifecycle and …/topics/webhooks, read 2026-11-29.
"""

import datetime as dt
import enum
import re
from dataclasses import dataclass
from typing import Final

from heddle.core import identity
from heddle.twins.kit import calls, jobs
from heddle.twins.replicate import models

CANCEL_AFTER_MIN_S: Final = 5.0
_DURATION: Final = re.compile(r"(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s?)?\Z")


class Event(enum.StrEnum):
    """Name what a webhook may be told of."""

    START = "start"
    OUTPUT = "output"
    LOGS = "logs"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told(jobs.Job):
    """A job at one of its events."""

    event: Event


def shown(job: jobs.Job, *, url: str) -> dict[str, identity.JsonValue]:
    """Show a prediction. url: the twin's own address."""
    paid, data = job.paid, job.paid.data
    event = job.event if isinstance(job, Told) else None
    status = status_of(job)
    is_made = job.status is jobs.Status.SUCCEEDED or event is Event.OUTPUT
    ended_at_s = job.over_at_s if job.status.is_over else None
    started_at_s = paid.at_s + paid.fate.latency_s * jobs.QUEUED_SHARE
    is_started = job.status is not jobs.Status.QUEUED and status != "aborted"
    value: dict[str, identity.JsonValue] = {
        "id": job.id,
        "model": paid.model,
        "version": data["version"] or "hidden",
        "input": data["input"],
        "logs": "Using seed: 1\n" if is_started and event is not Event.START else "",
        "output": output_of(job, url=url) if is_made else None,
        "data_removed": False,
        "error": "Prediction failed: the model raised an exception." if status == "failed" else None,
        "source": "api",
        "status": status,
        "created_at": instant(paid.at_s),
        "started_at": instant(started_at_s) if is_started else None,
        "completed_at": None if ended_at_s is None else instant(ended_at_s),
        "urls": urls_of(job, url=url),
    }
    if data.get("deadline_at_s") is not None:
        value["deadline"] = instant(float(data["deadline_at_s"]))
    if ended_at_s is not None and is_started:
        value["metrics"] = {
            "predict_time": round(max(0.0, ended_at_s - started_at_s), 6),
            "total_time": round(ended_at_s - paid.at_s, 6),
        }
    return value


def status_of(job: jobs.Job) -> str:
    """Name a job's state in Replicate's words; one that was stopped by its deadline before its start is aborted."""
    match job.status:
        case jobs.Status.QUEUED:
            return "starting"
        case jobs.Status.RUNNING:
            return "processing"
        case jobs.Status.CANCELLED:
            deadline_at_s = job.paid.data.get("deadline_at_s")
            started_at_s = job.paid.at_s + job.paid.fate.latency_s * jobs.QUEUED_SHARE
            at_s = job.over_at_s or 0.0
            is_late = deadline_at_s is not None and at_s >= float(deadline_at_s)
            return "aborted" if is_late and (job.paid.fate.is_stuck or at_s < started_at_s) else "canceled"
        case _:
            return job.status.value


def output_of(job: jobs.Job, *, url: str) -> identity.JsonValue:
    """Give the output of a prediction: tokens, one link, or a list of links to its files."""
    paid = job.paid
    if models.kind_of(paid.model) is models.Kind.TEXT:
        return models.tokens_of(job.id, paid.model, paid.data["input"])
    is_scenic = bool(paid.data.get("is_scenic"))
    names = models.names_of(paid.model, paid.data["input"], is_scenic=is_scenic)
    links = [f"{url}/delivery/{job.id}/{name}" for name in names]
    return links[0] if models.kind_of(paid.model) is models.Kind.VIDEO else links


def urls_of(job: jobs.Job, *, url: str) -> dict[str, identity.JsonValue]:
    """Give the addresses a prediction is asked for, cancelled and streamed at."""
    at = f"{url}/v1/predictions/{job.id}"
    found: dict[str, identity.JsonValue] = {"get": at, "cancel": f"{at}/cancel", "web": f"{url}/p/{job.id}"}
    if models.kind_of(job.paid.model) is models.Kind.TEXT:
        found["stream"] = f"{url}/v1/stream/{job.id}"
    return found


def events_of(given: identity.JsonValue) -> list[str]:
    """Read ``webhook_events_filter``: new output and the end, where nothing is given. Raises Refused."""
    if given is None:
        return [Event.OUTPUT.value, Event.COMPLETED.value]
    if not isinstance(given, list) or not all(each in set(Event) for each in given):
        message = "- webhook_events_filter: Must be a list of start, output, logs and completed\n"
        raise calls.Refused(422, "invalid_input", message, field="webhook_events_filter")
    return [str(each) for each in given]


def cancel_after_s(text: str) -> float:
    """Read the header ``Cancel-After``: ``90``, ``90s``, ``1m30s``, ``1h``; at least 5 s. Raises Refused."""
    match = _DURATION.match(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total_s = float(hours * 3_600 + minutes * 60 + seconds)
    if not text.strip() or total_s < CANCEL_AFTER_MIN_S:
        raise calls.Refused(422, "invalid_header", "- Cancel-After: Must be a duration of at least 5 seconds\n")
    return total_s


def instant(at_s: float) -> str:
    """Write an instant as Replicate does."""
    return dt.datetime.fromtimestamp(at_s, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
