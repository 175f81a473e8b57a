"""The simulator's HTTP face: routes, authorisation, caps and the form of answers. README.md describes it to customers.

Thin: it parses by `submission`, decides through `desk` and draws through `picture` in threads of its own. It refuses
bodies over 32 KiB and requests without the key. `server` builds the application.
"""

import asyncio
import collections
import concurrent.futures
import hmac
import json
import typing
from collections import abc

from aiohttp import web

from heddle.core import attempt
from heddle.providers.simulator import desk, jobs, picture, submission

BODY_SIZE_MAX_BYTES = 32_768
KEY_CHARACTERS_MAX = 200
PICTURE_THREADS = 2
PICTURES_WAITING_MAX = 64
PICTURES_KEPT_MAX = 128

Handler = abc.Callable[[web.Request], abc.Awaitable[web.StreamResponse]]


class JobsApi:
    """The handlers and what they share."""

    def __init__(self, *, counter: desk.Desk, api_key: str) -> None:
        self._desk = counter
        self._api_key = api_key
        self._artists = concurrent.futures.ThreadPoolExecutor(PICTURE_THREADS, thread_name_prefix="simulator-picture")
        self._pictures: collections.OrderedDict[jobs.PictureRequest, bytes] = collections.OrderedDict()
        self._waiting_pictures = 0

    def application(self) -> web.Application:
        """Build the aiohttp application."""
        application = web.Application(client_max_size=BODY_SIZE_MAX_BYTES, middlewares=[self._guard])
        application.add_routes(
            [
                web.get("/v1/health", self._health),
                web.post("/v1/jobs", self._submit),
                web.get("/v1/jobs", self._look_up),
                web.get("/v1/jobs/{job_id}", self._get),
                web.post("/v1/jobs/{job_id}/cancel", self._cancel),
                web.get("/v1/jobs/{job_id}/result", self._result),
            ]
        )
        return application

    def close(self) -> None:
        """Let the drawing threads end."""
        self._artists.shutdown(wait=False, cancel_futures=True)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Ask for the key, and give every refusal the same form."""
        expected = f"Bearer {self._api_key}".encode()
        given = request.headers.get("Authorization", "").encode()
        if request.path != "/v1/health" and not hmac.compare_digest(given, expected):
            return _problem(
                status=401, code="unauthorized", message="Send Authorization: Bearer with the account's key."
            )
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            message = f"The body is larger than {BODY_SIZE_MAX_BYTES} bytes."
            return _problem(status=413, code="too_large", message=message)
        except web.HTTPException as refusal:
            return _problem(
                status=refusal.status, code="http_error", message=f"{request.method} {request.path}: {refusal.reason}."
            )

    async def _health(self, _request: web.Request) -> web.Response:
        terms = self._desk.terms
        return web.json_response(
            {
                "status": "ok",
                "class": terms.idempotency.value,
                "open_jobs": self._desk.open_jobs,
                "concurrency": terms.concurrency,
            }
        )

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        idempotency_key = request.headers.get("Idempotency-Key")
        if idempotency_key is not None and not 1 <= len(idempotency_key) <= KEY_CHARACTERS_MAX:
            message = f"Idempotency-Key must be 1 to {KEY_CHARACTERS_MAX} characters."
            return _problem(status=400, code="bad_idempotency_key", message=message)
        try:
            wanted = submission.parse(await request.read())
        except submission.Malformed as error:
            return _problem(status=400, code="malformed", message=str(error))
        except submission.Invalid as error:
            return _problem(status=422, code="invalid_input", message=str(error))
        answer = await self._desk.submit(wanted=wanted, idempotency_key=idempotency_key)
        if isinstance(answer, desk.Refused):
            return _refused(answer)
        if answer.is_cut and request.transport is not None:
            # The job is paid and on disk; the customer sees nothing but a dead connection.
            request.transport.abort()
        headers = {"Location": f"/v1/jobs/{answer.job.id}"}
        if answer.is_replay:
            headers["Idempotent-Replayed"] = "true"
        found = self._desk.find(answer.job.id) if answer.is_replay else None
        shown = self._view(answer.job, jobs.Status.QUEUED) if found is None else self._view(*found)
        return web.json_response(shown, status=202, headers=headers)

    async def _look_up(self, request: web.Request) -> web.Response:
        if self._desk.terms.idempotency is not attempt.IdempotencyClass.B:
            message = "This account's API has no look-up by client_job_id."
            return _problem(status=404, code="lookup_not_offered", message=message)
        client_job_id = request.query.get("client_job_id", "")
        if not 1 <= len(client_job_id) <= jobs.CLIENT_JOB_ID_CHARACTERS_MAX:
            return _problem(status=422, code="invalid_input", message="client_job_id is missing or too long.")
        found = self._desk.find_by_client_job_id(client_job_id)
        return web.json_response({"items": [self._view(job, state) for job, state in found[:100]]})

    async def _get(self, request: web.Request) -> web.Response:
        found = self._desk.find(request.match_info["job_id"])
        return _no_job(request) if found is None else web.json_response(self._view(*found))

    async def _cancel(self, request: web.Request) -> web.Response:
        answer = await self._desk.cancel(request.match_info["job_id"])
        if isinstance(answer, desk.Refused):
            return _refused(answer)
        return _no_job(request) if answer is None else web.json_response(self._view(*answer))

    async def _result(self, request: web.Request) -> web.Response:
        found = self._desk.find(request.match_info["job_id"])
        if found is None:
            return _no_job(request)
        job, state = found
        if state is not jobs.Status.SUCCEEDED:
            return _problem(status=409, code="no_result", message=f"{job.id} is {state.value}: it has no result.")
        if self._waiting_pictures >= PICTURES_WAITING_MAX:
            return _problem(status=503, code="busy", message="Too many results are being fetched.", retry_after_s=1)
        self._waiting_pictures += 1
        try:
            content = await self._draw(job.request)
        except ImportError as error:
            message = f"Pictures need numpy and OpenCV; install the extra `demo`. {error}"
            return _problem(status=501, code="pictures_unavailable", message=message)
        finally:
            self._waiting_pictures -= 1
        return web.Response(body=content, content_type=picture.MEDIA_TYPES[job.request.output_format])

    async def _draw(self, wanted: jobs.PictureRequest) -> bytes:
        kept = self._pictures.get(wanted)
        if kept is not None:
            self._pictures.move_to_end(wanted)
            return kept
        content = await asyncio.get_running_loop().run_in_executor(self._artists, _drawn, wanted)
        self._pictures[wanted] = content
        if len(self._pictures) > PICTURES_KEPT_MAX:
            self._pictures.popitem(last=False)
        return content

    def _view(self, job: jobs.Job, state: jobs.Status) -> dict[str, typing.Any]:
        return jobs.view(job=job, state=state, base_url=self._desk.base_url)


def _drawn(wanted: jobs.PictureRequest) -> bytes:
    return picture.draw(
        prompt=wanted.prompt,
        seed=wanted.seed,
        width_px=wanted.width_px,
        height_px=wanted.height_px,
        output_format=wanted.output_format,
    )


def _refused(answer: desk.Refused) -> web.Response:
    return _problem(status=answer.status, code=answer.code, message=answer.message, retry_after_s=answer.retry_after_s)


def _no_job(request: web.Request) -> web.Response:
    return _problem(status=404, code="not_found", message=f"There is no job {request.match_info['job_id'][:100]}.")


def _problem(*, status: int, code: str, message: str, retry_after_s: int | None = None) -> web.Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    body = json.dumps({"error": {"code": code, "message": message}})
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)
