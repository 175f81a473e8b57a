"""Answer as the HTTP server of a Cog container does.

Before it: ``heddle twin cog`` or a test. After it: ``kit.jobs`` with a run, ``predictions`` with what it looks like.
Sources: replicate/cog ``docs/http.md``, read 2026-11-29, and coglet 0.23.1, which is asked the same in tests/vendors.
"""

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from heddle.core import identity
from heddle.twins.cog import predictions
from heddle.twins.kit import answers, callbacks, calls, jobs, options, server

SLOTS: Final = 4  # concurrency.max of the container
LOOK_S: Final = 0.01
INPUT_BYTES_MAX: Final = 3 * 1024**2
VERSION: Final = "0.23.1"
TEXT: Final = "text/plain; charset=utf-8"
STARTED_AT: Final = "2026-11-29T00:00:00.000000+00:00"


class CogTwin(server.CallbackTwin):
    """The twin of a Cog container."""

    name: ClassVar[str] = "cog"

    def __init__(self, given: options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(given, now_s=now_s)
        # Prediction id to job id, of those that run: the container remembers no others, and none after a restart.
        self._running: dict[str, str] = {}
        # Held from the look for a running prediction until a new one is known: payment is on disk in between.
        self._starting = asyncio.Lock()

    def routes(self) -> Sequence[server.Route]:
        """List the routes; the container asks for no key."""
        put, post, get = "PUT", "POST", "GET"
        return [
            server.Route(method=get, path="/", handler=self._index, is_open=True),
            server.Route(method=get, path="/health-check", handler=self._health, is_open=True),
            server.Route(method=get, path="/openapi.json", handler=self._schema, is_open=True),
            server.Route(method=post, path="/predictions", handler=self._create, is_open=True, is_paid=True),
            server.Route(method=put, path="/predictions/{id}", handler=self._put, is_open=True, is_paid=True),
            server.Route(method=post, path="/predictions/{id}/cancel", handler=self._cancel, is_open=True),
        ]

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal: of a prediction as a failed one, of an input as what is wrong with it, else as a text."""
        if refused.code == "prediction":
            return answers.json_answer(refused.status, {"error": str(refused), "status": "failed"})
        if refused.code == "stream":
            return answers.json_answer(refused.status, {"error": str(refused)})
        if refused.code.startswith("value_error"):
            place: list[identity.JsonValue] = ["body", *(refused.field or "input").split(".")]
            detail: list[identity.JsonValue] = [{"loc": place, "msg": str(refused), "type": refused.code}]
            return answers.json_answer(refused.status, {"detail": detail})
        if refused.status in (404, 405):
            return answers.Answer(status=refused.status, pieces=(b"",), media_type="")
        return answers.Answer(status=refused.status, pieces=(str(refused).encode(),), media_type=TEXT)

    def sign(self, job: jobs.Job, now_s: float) -> callbacks.Letter:
        """Write what a webhook says; Cog does not sign."""
        body = json.dumps(predictions.shown(job), separators=(",", ":")).encode()
        return callbacks.Letter(headers={"Content-Type": "application/json"}, body=body)

    async def watch(self, job: jobs.Job) -> None:
        """Tell the webhook of the events that it was asked to be told of."""
        happened = [predictions.Event.START]
        if job.status.is_over:
            happened = [predictions.Event.COMPLETED]
            if job.status is jobs.Status.SUCCEEDED:
                happened = [predictions.Event.OUTPUT, predictions.Event.COMPLETED]
        for event in happened:
            if event.value in job.paid.data["events"]:
                await self.callbacks.tell(_told(job, event))

    def throttled(self, call: calls.Call, *, wait_s: float) -> calls.Refused:
        """Word a container without a free slot."""
        return calls.Refused(409, "prediction", "At capacity - all prediction slots busy")

    def broken(self, call: calls.Call) -> calls.Refused:
        """Word a container whose setup has not ended."""
        said = "Setup has not finished yet. Wait until it has finished, or GET /health-check for status."
        return calls.Refused(503, "prediction", said)

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Answer with another prediction's result; leave the last event of a stream out."""
        if len(answer.pieces) > 1:
            return answers.stream(list(answer.pieces[:-1]))
        return answers.json_answer(answer.status, {**json.loads(answer.body), "id": "another"})

    def fault_key(self, call: calls.Call) -> str:
        """Draw chances for the prediction's id."""
        return call.parameters.get("id") or call.digest

    @property
    def busy(self) -> int:
        """Count the slots in use."""
        self._running = {key: job_id for key, job_id in self._running.items() if self._is_open(job_id)}
        return len(self._running)

    def _is_open(self, job_id: str) -> bool:
        job = self.jobs.find(job_id)
        return job is not None and not job.status.is_over

    async def _create(self, call: calls.Call) -> answers.Answer:
        asked = self._asked(call)
        given_id = asked.get("id")
        prediction_id = given_id if isinstance(given_id, str) and given_id else f"pred_{call.digest[:16]}"
        async with self._starting:
            job = await self._begun(call, asked, prediction_id)
        return await self._answered_begun(call, job)

    async def _put(self, call: calls.Call) -> answers.Answer:
        asked, prediction_id = self._asked(call), call.parameters["id"]
        if asked.get("id", prediction_id) != prediction_id:
            message = "prediction ID must match the ID supplied in the URL"
            raise calls.Refused(422, "value_error", message, field="id")
        async with self._starting:
            running = self._running.get(prediction_id)
            job = None if running is None else self.jobs.find(running)
            started = None
            if job is None or job.status.is_over:
                started = await self._begun(call, asked, prediction_id)
        if started is not None:
            return await self._answered_begun(call, started)
        assert job is not None, "what is not begun runs"
        if _wants_events(call):
            return self._followed(await self._over(call, job, is_dropped_with_it=False))
        return answers.json_answer(202, {**predictions.shown(job), "input": job.paid.data["input"]})

    async def _begun(self, call: calls.Call, asked: dict[str, identity.JsonValue], prediction_id: str) -> jobs.Job:
        """Begin a prediction; the caller holds the lock of starts."""
        given = asked["input"]
        if _wants_events(call) and not predictions.is_streaming(given):
            said = "This model does not support streaming responses. Add @cog.streaming to predict() to enable SSE."
            raise calls.Refused(406, "stream", said)
        if self.busy >= SLOTS:
            raise self.throttled(call, wait_s=1.0)
        is_later = _is_async(call) or _wants_events(call)
        job = await self.jobs.pay(
            jobs.Order(
                operation="predictions",
                model="container",
                digest=call.digest,
                amount_nano_usd=0,
                id_prefix="run_",
                client_reference=prediction_id,
                callback_url=asked.get("webhook"),
                data={
                    "id": prediction_id,
                    "input": given,
                    "is_later": is_later,
                    "events": asked.get("webhook_events_filter", list(predictions.Event)),
                },
            )
        )
        self._running[prediction_id] = job.id
        return job

    async def _answered_begun(self, call: calls.Call, job: jobs.Job) -> answers.Answer:
        """Answer for a prediction that has just begun, as it was asked for."""
        if _is_async(call):
            return answers.json_answer(202, {"id": job.paid.data["id"], "status": "starting"})
        job = await self._over(call, job, is_dropped_with_it=not _wants_events(call))
        return self._followed(job) if _wants_events(call) else answers.json_answer(200, predictions.shown(job))

    async def _over(self, call: calls.Call, job: jobs.Job, *, is_dropped_with_it: bool) -> jobs.Job:
        """Wait for a prediction's end; one that was asked for synchronously is cancelled when its client goes."""
        while not job.status.is_over:
            await asyncio.sleep(LOOK_S)
            if call.request.transport is None or call.request.transport.is_closing():
                if is_dropped_with_it:
                    job = await self.jobs.cancel(job.id) or job
                return job
            job = self.jobs.find(job.id) or job
        return job

    def _followed(self, job: jobs.Job) -> answers.Answer:
        return dataclasses.replace(answers.stream(predictions.events(job)), media_type="text/event-stream")

    async def _cancel(self, call: calls.Call) -> answers.Answer:
        running = self._running.get(call.parameters["id"])
        job = None if running is None else self.jobs.find(running)
        if job is None or job.status.is_over or not job.paid.data["is_later"]:
            return answers.json_answer(404, {})
        await self.jobs.cancel(job.id)
        return answers.json_answer(200, {})

    async def _health(self, call: calls.Call) -> answers.Answer:
        value = {
            "status": "BUSY" if self.busy >= SLOTS else "READY",
            "setup": {"started_at": STARTED_AT, "completed_at": STARTED_AT, "status": "succeeded", "logs": ""},
            "version": {
                "coglet": VERSION,
                "git_sha": "9b9f6339",
                "build_time": "2026-10-20T14:46:36Z",
                "python_sdk": VERSION,
                "python": "3.13.0",
            },
        }
        return answers.json_answer(200, value)

    async def _index(self, call: calls.Call) -> answers.Answer:
        value = {
            "cog_version": VERSION,
            "docs_url": "/docs",
            "shutdown_url": "/shutdown",
            "openapi_url": "/openapi.json",
            "healthcheck_url": "/health-check",
            "predictions_url": "/predictions",
            "predictions_idempotent_url": "/predictions/{prediction_id}",
            "predictions_cancel_url": "/predictions/{prediction_id}/cancel",
        }
        return answers.json_answer(200, value)

    async def _schema(self, call: calls.Call) -> answers.Answer:
        properties = {"prompt": {"type": "string"}, "image": {"type": "string", "format": "uri"}}
        schemas = {"Input": {"type": "object", "properties": properties}, "Output": {"title": "Output"}}
        value = {"openapi": "3.0.2", "info": {"title": "Cog", "version": "0.1.0"}, "components": {"schemas": schemas}}
        return answers.json_answer(200, value)

    def _asked(self, call: calls.Call) -> dict[str, identity.JsonValue]:
        """Read and check a body. Raises Refused."""
        if call.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise calls.Refused(415, "", "Expected request with `Content-Type: application/json`")
        try:
            asked = json.loads(call.body)
        except (ValueError, RecursionError) as error:
            raise calls.Refused(400, "", f"Failed to parse the request body as JSON: {error}") from None
        if not isinstance(asked, dict):
            raise calls.Refused(422, "", "Failed to deserialize the JSON body into the target type: invalid type")
        given = asked.get("input")
        if given is None:
            given = asked["input"] = {}
        if not isinstance(given, dict):
            said = f'{json.dumps(given)} is not of type "object"'
            raise calls.Refused(422, "value_error", said, field="input.__root__")
        if not {"prompt", "image"} & set(given):
            raise calls.Refused(422, "value_error.missing", "Field required", field="input.prompt")
        if not isinstance(given.get("prompt", ""), str):
            said = f'{json.dumps(given["prompt"])} is not of type "string"'
            raise calls.Refused(422, "value_error", said, field="input.prompt")
        if len(call.body) > INPUT_BYTES_MAX:
            raise calls.Refused(413, "", "length limit exceeded")
        webhook, wanted = asked.get("webhook"), asked.get("webhook_events_filter", [])
        unknown = set(wanted) - set(predictions.Event) if isinstance(wanted, list) else {"no list"}
        if (webhook is not None and not isinstance(webhook, str)) or unknown:
            raise calls.Refused(422, "", "Failed to deserialize the JSON body into the target type: webhook")
        if webhook is not None and not callbacks.is_loopback(webhook):
            said = "must be an address on this machine, since this is a twin"
            raise calls.Refused(422, "value_error", said, field="webhook")
        return asked


def _is_async(call: calls.Call) -> bool:
    return call.headers.get("prefer") == "respond-async"


def _wants_events(call: calls.Call) -> bool:
    return "text/event-stream" in call.headers.get("accept", "")


def _told(job: jobs.Job, event: predictions.Event) -> predictions.Told:
    """Give a job as it was at one of its events: before the end it is still running."""
    is_end = event is predictions.Event.COMPLETED
    status = job.status if is_end else jobs.Status.RUNNING
    return predictions.Told(paid=job.paid, status=status, over_at_s=job.over_at_s if is_end else None, event=event)
