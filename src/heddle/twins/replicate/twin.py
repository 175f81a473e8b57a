"""Answer as Replicate's HTTP API does: predictions with webhooks, files, models, versions and the account.

Before it: ``heddle twin replicate`` or a test. After it: ``kit.jobs`` with an order, ``predictions`` with what a job
looks like. Sources: https://replicate.com/docs/reference/http and replicate 1.0.7, read 2026-11-29.
"""

import asyncio
import collections
import dataclasses
import itertools
import json
import re
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from aiohttp import web

from heddle.core import identity
from heddle.providers import signing
from heddle.twins.kit import answers, callbacks, calls, jobs, options, server, studio
from heddle.twins.replicate import files, models, predictions

PAGE_PREDICTIONS: Final = 100
INPUT_BYTES_MAX: Final = 2 * 1024**2
WAIT_DEFAULT_S: Final = 60.0
LOOK_S: Final = 0.02
DEADLINES_MAX: Final = 10_000
VERSIONS_MAX: Final = 1_000
_WAIT: Final = re.compile(r"wait(?:=(\d{1,2}))?\Z")
_TITLES: Final = {401: "Unauthenticated", 404: "Not found", 422: "Input validation failed"}


class ReplicateTwin(server.CallbackTwin):
    """The twin of Replicate."""

    name: ClassVar[str] = "replicate"

    def __init__(self, given: options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(given, now_s=now_s)
        self.files = files.Files()
        self._studio = studio.Studio()
        self._deadlines: set[asyncio.Task[None]] = set()
        self._models: collections.OrderedDict[str, str] = collections.OrderedDict()

    def routes(self) -> Sequence[server.Route]:
        """List the routes."""
        named = "/{owner}/{name}"
        return [
            server.paid("/v1/predictions", self._create),
            server.paid(f"/v1/models{named}/predictions", self._create_of_model),
            server.paid(f"/v1/deployments{named}/predictions", self._create_of_model),
            server.Route(method="GET", path="/v1/predictions", handler=self._list),
            server.question("GET", "/v1/predictions/{id}", self._get),
            server.Route(method="POST", path="/v1/predictions/{id}/cancel", handler=self._cancel),
            server.Route(method="GET", path="/v1/stream/{id}", handler=self._stream, is_open=True),
            server.Route(method="GET", path="/delivery/{id}/{file}", handler=self._deliver, is_open=True),
            server.Route(method="GET", path=f"/v1/models{named}", handler=self._model),
            server.Route(method="GET", path=f"/v1/models{named}/versions", handler=self._versions),
            server.Route(method="GET", path=f"/v1/models{named}/versions/{{version}}", handler=self._version),
            server.Route(method="POST", path="/v1/files", handler=self._upload),
            server.Route(method="GET", path="/v1/files", handler=self._list_files),
            server.Route(method="GET", path="/v1/files/{id}", handler=self._file),
            server.Route(method="DELETE", path="/v1/files/{id}", handler=self._delete_file),
            server.Route(method="GET", path="/v1/account", handler=self._account),
            server.Route(method="GET", path="/v1/webhooks/default/secret", handler=self._secret),
        ]

    def application(self) -> web.Application:
        """Build the application, which takes the waits for deadlines along when it ends."""
        application = super().application()
        application.on_cleanup.append(self._let_go)
        return application

    async def _let_go(self, _: web.Application) -> None:
        for task in self._deadlines:
            task.cancel()
        await asyncio.gather(*self._deadlines, return_exceptions=True)

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal as a problem; a 429 has its one sentence alone and no header."""
        if refused.status == 429:
            return answers.json_answer(429, {"detail": str(refused)})
        value: dict[str, identity.JsonValue] = {"detail": str(refused), "status": refused.status}
        if refused.status in _TITLES:
            value = {"title": _TITLES[refused.status], **value}
        if refused.field is not None:
            value["invalid_fields"] = [{"field": refused.field, "description": str(refused).strip("- \n")}]
        return answers.json_answer(refused.status, value)

    def sign(self, job: jobs.Job, now_s: float) -> callbacks.Letter:
        """Sign by Standard Webhooks; every copy of an event has the same id."""
        event = job.event if isinstance(job, predictions.Told) else predictions.Event.COMPLETED
        body = json.dumps(predictions.shown(job, url=self.url), separators=(",", ":")).encode()
        headers = signing.sign(
            secret=self.options.webhook_secret,
            message_id=f"msg_{job.id}_{event.value}",
            timestamp_s=int(now_s),
            body=body,
        )
        return callbacks.Letter(headers={"Content-Type": "application/json", **headers}, body=body)

    async def watch(self, job: jobs.Job) -> None:
        """Tell the webhook of the events that it was asked to be told of."""
        wanted = job.paid.data["events"]
        if job.status.is_over:
            happened = [predictions.Event.COMPLETED]
            if job.status is jobs.Status.SUCCEEDED:
                happened = [predictions.Event.LOGS, predictions.Event.OUTPUT, predictions.Event.COMPLETED]
        else:
            happened = [predictions.Event.START]
        for event in happened:
            if event.value in wanted:
                await self.callbacks.tell(_told(job, event))

    def is_authorised(self, call: calls.Call) -> bool:
        """Take ``Bearer``, and ``Token`` as older clients say it."""
        kind, _, key = call.headers.get("authorization", "").partition(" ")
        return kind in ("Bearer", "Token") and server.is_equal(key, self.options.api_key)

    def unauthorised(self, call: calls.Call) -> calls.Refused:
        """Word a 401."""
        return calls.Refused(401, "unauthenticated", "You did not pass a valid authentication token")

    def throttled(self, call: calls.Call, *, wait_s: float) -> calls.Refused:
        """Word a 429: the seconds stand in the sentence."""
        sentence = f"Request was throttled. Your rate limit resets in ~{max(1, round(wait_s))}s."
        return calls.Refused(429, "throttled", sentence)

    def broken(self, call: calls.Call) -> calls.Refused:
        """Word a 5xx before acceptance."""
        return calls.Refused(500, "internal", "Internal server error.")

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Say that a prediction succeeded which has an error and no output."""
        claimed = {"status": "succeeded", "output": None, "error": "The model returned nothing."}
        return answers.json_answer(answer.status, {**json.loads(answer.body), **claimed})

    async def _create(self, call: calls.Call) -> answers.Answer:
        asked = call.json()
        version = asked.get("version")
        if not isinstance(version, str) or not version:
            raise calls.Refused(422, "invalid_input", "- version is required\n", field="version")
        if models.NAMED.match(version):
            return await self._ordered(call, asked, model=version, version=None)
        owner_name, is_named, digest = version.rpartition(":")
        model = owner_name if is_named else self._models.get(digest) or models.model_of_version(digest)
        return await self._ordered(call, asked, model=model, version=digest)

    async def _create_of_model(self, call: calls.Call) -> answers.Answer:
        model = f"{call.parameters['owner']}/{call.parameters['name']}"
        return await self._ordered(call, call.json(), model=model, version=None)

    async def _ordered(
        self, call: calls.Call, asked: dict[str, identity.JsonValue], *, model: str, version: str | None
    ) -> answers.Answer:
        given, events = asked.get("input"), asked.get("webhook_events_filter")
        webhook = asked.get("webhook")
        if webhook is None and asked.get("webhook_completed") is not None:  # as older clients say it
            webhook, events = asked["webhook_completed"], ["completed"]
        if not isinstance(given, dict):
            raise calls.Refused(422, "invalid_input", "- input is required\n", field="input")
        if len(json.dumps(given)) > INPUT_BYTES_MAX:
            raise calls.Refused(413, "too_large", "The input is too large; pass files by their address.")
        models.check(model, given)
        if webhook is not None and (not isinstance(webhook, str) or not callbacks.is_loopback(webhook)):
            message = "- webhook: Must be an address on this machine, since this is a twin\n"
            raise calls.Refused(422, "invalid_input", message, field="webhook")
        after = call.headers.get("cancel-after")
        deadline_at_s = None if after is None else call.at_s + predictions.cancel_after_s(after)
        job = await self.jobs.pay(
            jobs.Order(
                operation="predictions",
                model=model,
                digest=call.digest,
                amount_nano_usd=models.price_nano_usd(model, given),
                id_prefix="",
                callback_url=webhook,
                data={
                    "input": given,
                    "version": version,
                    "events": predictions.events_of(events),
                    "deadline_at_s": deadline_at_s,
                    "is_scenic": self.options.is_scenic,
                },
            )
        )
        if deadline_at_s is not None:
            self._stop_at(job.id, deadline_at_s)
        job = await self._waited(call, job)
        return answers.json_answer(201, predictions.shown(job, url=self.url))

    async def _waited(self, call: calls.Call, job: jobs.Job) -> jobs.Job:
        """Hold the request as ``Prefer: wait`` or ``wait=n`` asks, until the prediction is over."""
        asked = _WAIT.match(call.headers.get("prefer", ""))
        if asked is None:
            return job
        until_s = self.now_s() + float(asked[1] or WAIT_DEFAULT_S)
        while not job.status.is_over and self.now_s() < until_s:
            await asyncio.sleep(LOOK_S)
            job = self.jobs.find(job.id) or job
        return job

    def _stop_at(self, job_id: str, deadline_at_s: float) -> None:
        """Cancel a prediction at its deadline while this twin lives; ``_seen`` does it for one that was restored."""
        if len(self._deadlines) >= DEADLINES_MAX:
            return

        async def stop() -> None:
            await asyncio.sleep(max(0.0, deadline_at_s - self.now_s()))
            await self.jobs.cancel(job_id)

        task = asyncio.create_task(stop(), name=f"twin-deadline-{job_id}")
        self._deadlines.add(task)
        task.add_done_callback(self._deadlines.discard)

    async def _seen(self, call: calls.Call) -> jobs.Job:
        job = self.jobs.find(call.parameters["id"])
        if job is None:
            raise calls.Refused(404, "not_found", "The requested resource could not be found.")
        deadline_at_s = job.paid.data.get("deadline_at_s")
        if not job.status.is_over and deadline_at_s is not None and self.now_s() >= float(deadline_at_s):
            job = await self.jobs.cancel(job.id) or job
        return job

    async def _get(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, predictions.shown(await self._seen(call), url=self.url))

    async def _cancel(self, call: calls.Call) -> answers.Answer:
        job = await self._seen(call)
        job = await self.jobs.cancel(job.id) or job
        return answers.json_answer(200, predictions.shown(job, url=self.url))

    async def _list(self, call: calls.Call) -> answers.Answer:
        cursor = call.query.get("cursor", "0")
        start = int(cursor) if cursor.isdigit() else 0
        found = self.jobs.newest_first(operation="predictions")
        page = list(itertools.islice(found, start, start + PAGE_PREDICTIONS + 1))
        at = f"{self.url}/v1/predictions?cursor="
        value = {
            "previous": f"{at}{max(0, start - PAGE_PREDICTIONS)}" if start else None,
            "next": f"{at}{start + PAGE_PREDICTIONS}" if len(page) > PAGE_PREDICTIONS else None,
            "results": [predictions.shown(job, url=self.url) for job in page[:PAGE_PREDICTIONS]],
        }
        return answers.json_answer(200, value)

    async def _stream(self, call: calls.Call) -> answers.Answer:
        """Stream the tokens of a model of texts as Server-Sent Events, then ``done``."""
        job = await self._seen(call)
        if models.kind_of(job.paid.model) is not models.Kind.TEXT:
            raise calls.Refused(404, "not_found", "The requested resource could not be found.")
        tokens = models.tokens_of(job.id, job.paid.model, job.paid.data["input"])
        events = [f"event: output\nid: {job.id}:{number}\ndata: {token}\n\n" for number, token in enumerate(tokens)]
        return answers.stream([each.encode() for each in [*events, "event: done\ndata: {}\n\n"]])

    async def _deliver(self, call: calls.Call) -> answers.Answer:
        job = await self._seen(call)
        model, given, name = job.paid.model, job.paid.data["input"], call.parameters["file"]
        is_scenic = bool(job.paid.data.get("is_scenic"))
        names = models.names_of(model, given, is_scenic=is_scenic)
        if name not in names or job.status is not jobs.Status.SUCCEEDED:
            raise calls.Refused(404, "not_found", "The requested resource could not be found.")
        if is_scenic and models.kind_of(model) is models.Kind.PICTURES:
            wanted = models.scene_of(given)
            data, media_type = await self._studio.draw(wanted), wanted.media_type
            return answers.Answer(status=200, pieces=(data,), media_type=media_type)
        file = models.file_of(job.id, model, given, number=names.index(name))
        return answers.Answer(status=200, pieces=(file.data,), media_type=file.media_type)

    async def _model(self, call: calls.Call) -> answers.Answer:
        owner, name = call.parameters["owner"], call.parameters["name"]
        value = {
            "url": f"{self.url}/{owner}/{name}",
            "owner": owner,
            "name": name,
            "description": "A model of the twin.",
            "visibility": "public",
            "github_url": None,
            "paper_url": None,
            "license_url": None,
            "run_count": 0,
            "cover_image_url": None,
            "default_example": None,
            "latest_version": self._shown_version(f"{owner}/{name}", models.version_of(f"{owner}/{name}")),
        }
        return answers.json_answer(200, value)

    async def _versions(self, call: calls.Call) -> answers.Answer:
        model = f"{call.parameters['owner']}/{call.parameters['name']}"
        results = [self._shown_version(model, models.version_of(model))]
        return answers.json_answer(200, {"previous": None, "next": None, "results": results})

    async def _version(self, call: calls.Call) -> answers.Answer:
        model = f"{call.parameters['owner']}/{call.parameters['name']}"
        return answers.json_answer(200, self._shown_version(model, call.parameters["version"]))

    def _shown_version(self, model: str, version: str) -> dict[str, identity.JsonValue]:
        self._models[version] = model  # so that a later order of the version alone is known to be of this model
        if len(self._models) > VERSIONS_MAX:
            self._models.popitem(last=False)
        return {
            "id": version,
            "created_at": predictions.instant(0.0),
            "cog_version": "0.17.0",
            "openapi_schema": models.schema_of(model),
        }

    async def _upload(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(201, files.shown(self.files.store(call), url=self.url))

    async def _list_files(self, call: calls.Call) -> answers.Answer:
        results = [files.shown(each, url=self.url) for each in self.files.newest_first()]
        return answers.json_answer(200, {"previous": None, "next": None, "results": results})

    async def _file(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, files.shown(self.files.find(call.parameters["id"]), url=self.url))

    async def _delete_file(self, call: calls.Call) -> answers.Answer:
        self.files.forget(call.parameters["id"])
        return answers.Answer(status=204, pieces=(b"",))

    async def _account(self, call: calls.Call) -> answers.Answer:
        value = {"type": "organization", "username": "twin", "name": "The twin", "github_url": None}
        return answers.json_answer(200, value)

    async def _secret(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, {"key": self.options.webhook_secret})


def _told(job: jobs.Job, event: predictions.Event) -> predictions.Told:
    """Give a job as it was at one of its events: before the end it is still running."""
    if event is predictions.Event.COMPLETED:
        return predictions.Told(paid=job.paid, status=job.status, over_at_s=job.over_at_s, event=event)
    running = dataclasses.replace(job, status=jobs.Status.RUNNING, over_at_s=None)
    return predictions.Told(paid=running.paid, status=running.status, over_at_s=None, event=event)
