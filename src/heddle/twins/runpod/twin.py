"""Answer as a queue-based RunPod serverless endpoint does: run, runsync, status, stream, cancel, purge, health.

Every endpoint id is there, and its worker draws a picture. A job is paid when it is accepted. It ends at its execution
timeout, and is forgotten when its life, or the time its result is kept, is over: 404, whatever became of it. Sources:
the repository runpod/docs (serverless/endpoints) and runpod-python, runpod/endpoint/runner.py, read 2026-11-29. Before
it: ``kit.server``. After it: the answer, or a callback.
"""

import asyncio
import base64
import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from heddle.core import identity
from heddle.twins.kit import answers, callbacks, calls, faults, jobs, media, server

PRICE_NANO_USD_PER_S: Final = 310_000
RUN_BYTES_MAX: Final = 10_000_000
RUNSYNC_BYTES_MAX: Final = 20_000_000
RESULT_KEPT_S: Final = 1_800.0
WAIT_DEFAULT_MS: Final = 90_000
LOOK_S: Final = 0.02
_FAILURE: Final = json.dumps(
    {"error_type": "<class 'RuntimeError'>", "error_message": "CUDA out of memory", "worker_id": "twin"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What an endpoint shows of a job: its state in RunPod's words, and when it ended."""

    state: str
    over_at_s: float | None


class RunPodTwin(server.CallbackTwin):
    """The twin of RunPod's serverless endpoints."""

    name: ClassVar[str] = "runpod"

    def routes(self) -> Sequence[server.Route]:
        """List the routes of an endpoint."""
        base = "/v2/{endpoint}"
        return [
            server.paid(f"{base}/run", self._run),
            server.paid(f"{base}/runsync", self._runsync),
            *(server.question(method, f"{base}/status/{{id}}", self._status) for method in ("GET", "POST")),
            *(server.question(method, f"{base}/stream/{{id}}", self._stream) for method in ("GET", "POST")),
            server.Route(method="POST", path=f"{base}/cancel/{{id}}", handler=self._cancel),
            server.Route(method="POST", path=f"{base}/purge-queue", handler=self._purge),
            server.Route(method="GET", path=f"{base}/health", handler=self._health),
        ]

    def is_authorised(self, call: calls.Call) -> bool:
        """Tell whether a request carries the key, which RunPod takes with and without ``Bearer``."""
        given = call.headers.get("authorization", "").removeprefix("Bearer ")
        return server.is_equal(given, self.options.api_key)

    def unauthorised(self, call: calls.Call) -> calls.Refused:
        """Word a 401."""
        return calls.Refused(401, "", "Unauthorized")

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal."""
        return answers.json_answer(refused.status, {"error": str(refused)}, headers=refused.headers)

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Leave the submission's answer true: the lie is the worker's, which completes with an error as its output."""
        return answer

    def sign(self, job: jobs.Job, now_s: float) -> callbacks.Letter:
        """Write the callback of a job that is over: what its status says, unsigned, as RunPod's are."""
        body = json.dumps(self._view(job, now_s=now_s)).encode()
        return callbacks.Letter(headers={"Content-Type": "application/json"}, body=body)

    async def _run(self, call: calls.Call) -> answers.Answer:
        job = await self.jobs.pay(self._order(call, bytes_max=RUN_BYTES_MAX))
        return answers.json_answer(200, {"id": name_of(job), "status": "IN_QUEUE"})

    async def _runsync(self, call: calls.Call) -> answers.Answer:
        """Wait for the job's end, as long as asked for; then answer as its status does."""
        wait = call.query.get("wait", str(WAIT_DEFAULT_MS))
        if not wait.isascii() or not wait.isdigit() or not 1_000 <= int(wait) <= 300_000:
            raise calls.Refused(400, "", "wait must be from 1000 to 300000 milliseconds")
        job = await self.jobs.pay(self._order(call, bytes_max=RUNSYNC_BYTES_MAX))
        for _ in range(int(int(wait) / 1_000 / LOOK_S)):
            if self._shown(job, now_s=self.now_s()).over_at_s is not None:
                break
            await asyncio.sleep(LOOK_S)
            job = self.jobs.find(job.id) or job
        return answers.json_answer(200, self._view(job, now_s=self.now_s()))

    async def _status(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, self._view(self._found(call), now_s=self.now_s()))

    async def _stream(self, call: calls.Call) -> answers.Answer:
        """Show a job's state and no chunks: the worker returns its output, it yields nothing before."""
        shown = self._shown(self._found(call), now_s=self.now_s())
        return answers.json_answer(200, {"status": shown.state, "stream": []})

    async def _cancel(self, call: calls.Call) -> answers.Answer:
        job = self._found(call)
        if self._shown(job, now_s=self.now_s()).over_at_s is None:
            job = await self.jobs.cancel(job.id) or job
        return answers.json_answer(200, {"id": name_of(job), "status": self._shown(job, now_s=self.now_s()).state})

    async def _purge(self, call: calls.Call) -> answers.Answer:
        queued = [job for job in self._of(call.parameters["endpoint"]) if job.status is jobs.Status.QUEUED]
        for job in queued:
            await self.jobs.cancel(job.id)
        return answers.json_answer(200, {"removed": len(queued), "status": "completed"})

    async def _health(self, call: calls.Call) -> answers.Answer:
        states = [self._shown(job, now_s=self.now_s()).state for job in self._of(call.parameters["endpoint"])]
        counts = {
            "completed": states.count("COMPLETED"),
            "failed": states.count("FAILED"),
            "inProgress": states.count("IN_PROGRESS"),
            "inQueue": states.count("IN_QUEUE"),
            "retried": 0,
        }
        running = counts["inProgress"]
        return answers.json_answer(200, {"jobs": counts, "workers": {"idle": max(0, 3 - running), "running": running}})

    def _order(self, call: calls.Call, *, bytes_max: int) -> jobs.Order:
        if len(call.body) > bytes_max:
            raise calls.Refused(413, "", f"request body exceeds {bytes_max} bytes")
        given = call.json()
        asked, webhook, policy = given.get("input"), given.get("webhook"), given.get("policy", {})
        if not isinstance(asked, dict) or not isinstance(policy, dict):
            raise calls.Refused(400, "", "input is required and must be an object")
        if webhook is not None and not callbacks.is_loopback(str(webhook)):
            raise calls.Refused(400, "", "webhook must lead to this machine, since this is no RunPod")
        run_s = _policy_s(policy, "executionTimeout", default=600_000, least=5_001)
        return jobs.Order(
            operation="run",
            model=call.parameters["endpoint"],
            digest=call.digest,
            amount_nano_usd=PRICE_NANO_USD_PER_S,
            id_prefix="",
            client_reference=webhook,
            callback_url=webhook,
            data={
                "input": asked,
                "run_s": run_s,
                "life_s": _policy_s(policy, "ttl", default=86_400_000, least=10_000),
                "is_low_priority": policy.get("lowPriority") is True,
                "is_lie": call.fault is faults.RequestFault.LIE,
            },
        )

    def _found(self, call: calls.Call) -> jobs.Job:
        """Find a job of the endpoint; one whose time is over is forgotten, a running one too."""
        job, now_s = self.jobs.find(id_of(call.parameters["id"])), self.now_s()
        if job is not None and job.paid.model == call.parameters["endpoint"]:
            over_at_s = self._shown(job, now_s=now_s).over_at_s
            is_kept = over_at_s is None or now_s - over_at_s <= RESULT_KEPT_S
            if is_kept and now_s - job.paid.at_s <= job.paid.data["life_s"]:
                return job
        raise calls.Refused(404, "", "job not found")

    def _of(self, endpoint: str) -> list[jobs.Job]:
        return [job for job in self.jobs.newest_first(operation="run") if job.paid.model == endpoint]

    def _shown(self, job: jobs.Job, *, now_s: float) -> Shown:
        fate, data = job.paid.fate, job.paid.data
        starts_at_s = job.paid.at_s + fate.latency_s * jobs.QUEUED_SHARE
        stops_at_s = starts_at_s + data["run_s"]
        is_too_long = not fate.is_stuck and fate.latency_s * (1 - jobs.QUEUED_SHARE) > data["run_s"]
        if is_too_long and now_s >= stops_at_s and job.status is not jobs.Status.CANCELLED:
            return Shown(state="TIMED_OUT", over_at_s=stops_at_s)
        words = {
            jobs.Status.QUEUED: "IN_QUEUE",
            jobs.Status.RUNNING: "IN_PROGRESS",
            jobs.Status.SUCCEEDED: "COMPLETED",
            jobs.Status.FAILED: "FAILED",
            jobs.Status.CANCELLED: "CANCELLED",
        }
        return Shown(state=words[job.status], over_at_s=job.over_at_s)

    def _view(self, job: jobs.Job, *, now_s: float) -> dict[str, identity.JsonValue]:
        shown, latency_s = self._shown(job, now_s=now_s), job.paid.fate.latency_s
        body: dict[str, identity.JsonValue] = {"id": name_of(job), "status": shown.state}
        if shown.state != "IN_QUEUE":
            body["delayTime"] = round(latency_s * jobs.QUEUED_SHARE * 1_000)
        match shown.state:
            case "COMPLETED":
                body["executionTime"] = round(latency_s * (1 - jobs.QUEUED_SHARE) * 1_000)
                body["output"] = _output(job)
            case "FAILED":
                body["executionTime"] = round(latency_s * (1 - jobs.QUEUED_SHARE) * 1_000)
                body["error"] = _FAILURE
            case "TIMED_OUT":
                body["executionTime"] = round(job.paid.data["run_s"] * 1_000)
                body["error"] = "job timed out after 1 retries"
            case _:
                return body
        return body


def name_of(job: jobs.Job) -> str:
    """Give a job's id as RunPod writes it: a UUID, and where it ran."""
    return f"{uuid.UUID(job.id)}-u1"


def id_of(name: str) -> str:
    """Give the id under which the twin keeps a job."""
    return name.removesuffix("-u1").replace("-", "")


def _output(job: jobs.Job) -> dict[str, identity.JsonValue]:
    """Make what the worker returns: a picture, or for a lie an error that completes."""
    if job.paid.data["is_lie"]:
        return {"error": "CUDA out of memory"}
    given = job.paid.data["input"]
    seed = given.get("seed")
    return {
        "image": base64.b64encode(media.png(job.paid.digest)).decode(),
        "seed": seed if isinstance(seed, int) else int(hashlib.sha256(job.id.encode()).hexdigest()[:8], 16),
    }


def _policy_s(policy: dict[str, identity.JsonValue], key: str, *, default: int, least: int) -> float:
    value = policy.get(key, default)
    if type(value) is not int or not least <= value <= 604_800_000:
        raise calls.Refused(400, "", f"policy.{key} must be from {least} to 604800000 milliseconds")
    return value / 1_000
