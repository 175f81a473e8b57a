"""Answer as fal.ai's queue does: submissions, states, results, cancellation, files, published keys and callbacks.

Queue, files and keys live on one port. A job is paid when it is accepted and given back when it fails or is cancelled,
since fal bills outputs alone. A job that is still queued when its X-Fal-Request-Timeout is over ends as fal ends it.
Sources: fal_client 1.0.3; fal.ai/docs/documentation/model-apis, read 2026-11-29. Before it: ``kit.server``. After it:
``wire``, which words states and results.
"""

import asyncio
import json
import math
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from aiohttp import web

from heddle.twins.fal import wire
from heddle.twins.kit import answers, callbacks, calls, faults, jobs, options, server, studio

TIMEOUT_LEAST_S = 1.0
DEADLINES_MAX = 10_000
LATER_S = 0.001  # a timer may fire a little before the clock says so


class FalTwin(server.CallbackTwin):
    """The twin of fal's queue."""

    name: ClassVar[str] = "fal"
    is_failure_refunded = True
    is_cancel_refunded = True

    def __init__(self, given: options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(given, now_s=now_s)
        self._studio = studio.Studio()
        self._deadlines: set[asyncio.Task[None]] = set()

    def application(self) -> web.Application:
        """Build the application, which takes the waits for deadlines along when it ends."""
        application = super().application()
        application.on_cleanup.append(self._let_go)
        return application

    async def _let_go(self, _: web.Application) -> None:
        for task in self._deadlines:
            task.cancel()
        await asyncio.gather(*self._deadlines, return_exceptions=True)

    def routes(self) -> Sequence[server.Route]:
        """List the routes; the model of a submission may be any path, so it comes last."""
        job = "/{app:.+}/requests/{id}"
        return [
            server.Route(method="GET", path="/.well-known/jwks.json", handler=self._keys, is_open=True),
            server.Route(method="GET", path="/files/{id}/{name}", handler=self._file, is_open=True),
            server.question("GET", f"{job}/status", self._status),
            server.question("GET", job, self._result),
            server.Route(method="PUT", path=f"{job}/cancel", handler=self._cancel),
            server.paid("/{model:.+}", self._submit),
        ]

    def is_authorised(self, call: calls.Call) -> bool:
        """Tell whether a request carries the key, which fal wants as ``Key``, not ``Bearer``."""
        return server.is_equal(call.headers.get("authorization", ""), f"Key {self.options.api_key}")

    def unauthorised(self, call: calls.Call) -> calls.Refused:
        """Word a 401."""
        return calls.Refused(401, "", "Cannot access application. Authentication is required.")

    def broken(self, call: calls.Call) -> calls.Refused:
        """Word a 5xx before acceptance."""
        return calls.Refused(500, "internal_error", "An unexpected internal error occurred.")

    def throttled(self, call: calls.Call, *, wait_s: float) -> calls.Refused:
        """Word a 429, which fal sends for a queue over its wished length."""
        return calls.Refused(429, "", "Too many requests.", headers={"Retry-After": str(math.ceil(wait_s))})

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal: ``detail``, and the type in body and header where there is one; a gateway has a page."""
        if refused.code == "service_unavailable":
            page = b"<html><head><title>503</title></head><body><hr><center>nginx</center></body></html>"
            return answers.Answer(status=refused.status, pieces=(page,), media_type="text/html")
        body = {"detail": str(refused), **({"error_type": refused.code} if refused.code else {})}
        headers = {**refused.headers, **({"X-Fal-Error-Type": refused.code} if refused.code else {})}
        return answers.json_answer(refused.status, body, headers=headers)

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Leave the submission's answer true: the lie is the job's, which says COMPLETED and holds an error."""
        return answer

    async def letter(self, job: jobs.Job, now_s: float) -> callbacks.Letter:
        """Write and sign the callback of a job that is over, with the picture that its result holds."""
        end = wire.end_of(job, now_s=now_s)
        holds = (end is None or end.is_well) and wire.is_inline(job)
        return self.sign(job, now_s, scene=await self._scene(job) if holds else None)

    def sign(self, job: jobs.Job, now_s: float, *, scene: bytes | None = None) -> callbacks.Letter:
        """Write and sign the callback of a job that is over. scene: the picture that its result holds."""
        body = json.dumps(wire.told(job, wire.end_of(job, now_s=now_s), url=self.url, scene=scene)).encode()
        headers = wire.signed(secret=self.options.webhook_secret, request_id=wire.name_of(job), body=body, now_s=now_s)
        return callbacks.Letter(headers=headers, body=body)

    async def _submit(self, call: calls.Call) -> answers.Answer:
        given, model = call.json(), call.parameters["model"]
        if model.count("/") < 1:
            raise calls.Refused(404, "", f"Application '{model}' not found")
        webhook = call.query.get("fal_webhook")
        if webhook is not None and not callbacks.is_loopback(webhook):
            raise calls.Refused(422, "", "fal_webhook must lead to this machine, since this is no fal.")
        order = jobs.Order(
            operation="submit",
            model=model,
            digest=call.digest,
            amount_nano_usd=wire.PRICE_NANO_USD,
            id_prefix="",
            client_reference=webhook,
            callback_url=webhook,
            data={
                "input": given,
                "app": wire.app_of(model),
                "is_lie": call.fault is faults.RequestFault.LIE,
                "start_timeout_s": _start_timeout_s(call),
                "priority": _priority(call),
                "is_scenic": self.options.is_scenic,
                "no_retry": call.headers.get("x-fal-no-retry", "").lower() in ("1", "true", "yes"),
            },
        )
        job = await self.jobs.pay(order)
        self._stop_late(job)
        return answers.json_answer(200, wire.shown(job, place=0, end=None, url=self.url))

    def _stop_late(self, job: jobs.Job) -> None:
        """Take a job that begins too late out of the queue at that time: it is over, given back and told of."""
        timed_out_at_s = wire.times_out_at_s(job)
        if timed_out_at_s is None or len(self._deadlines) >= DEADLINES_MAX:
            return

        async def stop() -> None:
            await asyncio.sleep(max(0.0, timed_out_at_s - self.now_s()) + LATER_S)
            await self.jobs.cancel(job.id)

        task = asyncio.create_task(stop(), name=f"twin-deadline-{job.id}")
        self._deadlines.add(task)
        task.add_done_callback(self._deadlines.discard)

    async def _status(self, call: calls.Call) -> answers.Answer:
        job = self._found(call)
        end = wire.end_of(job, now_s=self.now_s())
        place = self.jobs.place_in_queue(job) if end is None else 0
        body = wire.shown(job, place=place, end=end, url=self.url)
        headers = {"X-Fal-Request-Id": wire.name_of(job), **({} if end is None else end.headers)}
        return answers.json_answer(202 if end is None else 200, body, headers=headers)

    async def _result(self, call: calls.Call) -> answers.Answer:
        job = self._found(call)
        end = wire.end_of(job, now_s=self.now_s())
        if end is None:
            raise calls.Refused(
                400, "", "Request is still in progress", headers={"X-Fal-Request-Id": wire.name_of(job)}
            )
        scene = await self._scene(job) if end.is_well and wire.is_inline(job) else None
        body = wire.payload(job, url=self.url, scene=scene) if end.is_well else end.body()
        return answers.json_answer(end.status, body, headers={"X-Fal-Request-Id": wire.name_of(job), **end.headers})

    async def _cancel(self, call: calls.Call) -> answers.Answer:
        job = self._found(call)
        if wire.end_of(job, now_s=self.now_s()) is not None:
            return answers.json_answer(400, {"status": "ALREADY_COMPLETED"})
        await self.jobs.cancel(job.id)
        return answers.json_answer(202, {"status": "CANCELLATION_REQUESTED"})

    async def _keys(self, _call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, wire.published_keys(secret=self.options.webhook_secret))

    async def _file(self, call: calls.Call) -> answers.Answer:
        job = self.jobs.find(call.parameters["id"])
        number = None if job is None else wire.number_of(job, call.parameters["name"])
        if job is None or number is None:
            raise calls.Refused(404, "", "File not found")
        scene = await self._scene(job)
        data, media_type = wire.drawn(job, number) if scene is None else (scene, "image/png")
        return answers.Answer(status=200, pieces=(data,), media_type=media_type)

    async def _scene(self, job: jobs.Job) -> bytes | None:
        """Draw what a job's files show, away from the loop; None for files that are nothing to look at."""
        wanted = wire.scene_of(job)
        return None if wanted is None else await self._studio.draw(wanted)

    def _found(self, call: calls.Call) -> jobs.Job:
        job = self.jobs.find(call.parameters["id"].replace("-", ""))
        if job is None or job.paid.data["app"] != call.parameters["app"]:
            raise calls.Refused(404, "", "Request not found")
        return job


def _start_timeout_s(call: calls.Call) -> float | None:
    text = call.headers.get("x-fal-request-timeout")
    if text is None:
        return None
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = math.nan
    if not timeout_s > TIMEOUT_LEAST_S or math.isinf(timeout_s):
        raise calls.Refused(400, "bad_request", "X-Fal-Request-Timeout must be a number greater than 1")
    return timeout_s


def _priority(call: calls.Call) -> str:
    priority = call.headers.get("x-fal-queue-priority", "normal")
    if priority not in ("normal", "low"):
        raise calls.Refused(400, "bad_request", "X-Fal-Queue-Priority must be normal or low")
    return priority
