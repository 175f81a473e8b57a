"""Answer as a ComfyUI server answers, under ``/`` and under ``/api``.

Jobs of one's own GPU take no money; each submission is a line of the ledger all the same, with amount 0 and the job's
id as the client's reference, so that work done twice shows. Queue, history and files are in memory, as ComfyUI's are: a
restart forgets them. Source: Comfy-Org/ComfyUI server.py, execution.py, comfy_execution/jobs.py (read 2026-11-29).
Before it: a client. After it: ``graphs``, ``queue``, the kit.
"""

import asyncio
import contextlib
import mimetypes
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from aiohttp import web

from heddle.core import identity
from heddle.twins.comfyui import graphs, queue
from heddle.twins.kit import answers, calls, jobs, options, server

VERSION: Final = "0.9.2"
_STATES: Final = ("pending", "in_progress", "completed", "failed", "cancelled")
_NOTHING: Final = answers.Answer(status=200, pieces=(b"",), media_type="application/octet-stream")


class ComfyuiTwin(server.Twin):
    """One ComfyUI server. It asks for no key, as ComfyUI does not."""

    name: ClassVar[str] = "comfyui"

    def __init__(self, given: options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(given, now_s=now_s)
        self.queue = queue.Queue(now_s=now_s)
        self._number = 0

    def routes(self) -> Sequence[server.Route]:
        """List the routes, each also under ``/api``."""
        listed = [
            server.paid("/prompt", self._submit),
            server.question("GET", "/prompt", self._queue_size),
            server.question("GET", "/queue", self._queue),
            server.Route(method="POST", path="/queue", handler=self._change_queue),
            server.question("GET", "/history/{prompt_id}", self._history),
            server.question("GET", "/history", self._history),
            server.Route(method="POST", path="/history", handler=self._change_history),
            server.Route(method="POST", path="/interrupt", handler=self._interrupt),
            server.Route(method="POST", path="/free", handler=self._free),
            server.Route(method="POST", path="/upload/image", handler=self._upload),
            server.question("GET", "/view", self._view),
            server.Route(method="GET", path="/system_stats", handler=self._stats),
            server.Route(method="GET", path="/embeddings", handler=self._embeddings),
            server.Route(method="GET", path="/object_info", handler=self._object_info),
            server.Route(method="GET", path="/object_info/{node_class}", handler=self._object_info),
        ]
        only_api = [
            server.question("GET", "/api/jobs", self._jobs),
            server.question("GET", "/api/jobs/{prompt_id}", self._job),
            server.Route(method="POST", path="/api/jobs/{prompt_id}/cancel", handler=self._cancel),
        ]
        made = [*only_api, *listed, *(replace(route, path=f"/api{route.path}") for route in listed)]
        return [replace(route, is_open=True) for route in made]

    def application(self) -> web.Application:
        """Build the application, which works on the queue while it lives."""
        application = super().application()
        for path in ("/ws", "/api/ws"):
            application.router.add_get(path, self.queue.news.serve)
        application.on_shutdown.append(self._closing)
        application.cleanup_ctx.append(self._working)
        return application

    async def _closing(self, application: web.Application) -> None:
        await self.queue.news.close()

    async def _working(self, application: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self.queue.work(), name="twin-comfyui-queue")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal."""
        error = {"type": refused.code, "message": str(refused), "details": "", "extra_info": {}}
        return answers.json_answer(refused.status, {"error": error, "node_errors": {}}, headers=refused.headers)

    def broken(self, call: calls.Call) -> calls.Refused:
        """Word the 502 of the proxy in front: ComfyUI itself is not there."""
        return calls.Refused(502, "bad_gateway", "Bad Gateway")

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Say that a job was taken and forget it, as a server does that restarts at this moment."""
        self.queue.clear()
        self.queue.interrupt(None)
        return answer

    # Submitting

    async def _submit(self, call: calls.Call) -> answers.Answer:
        given = call.json()
        if "prompt" not in given:
            raise calls.Refused(400, "no_prompt", "No prompt provided")
        prompt_id = given.get("prompt_id")
        if prompt_id is None:
            prompt_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.plan.seed}/{call.request_id}"))
        elif not _is_canonical(prompt_id):
            raise calls.Refused(400, "invalid_prompt_id", "prompt_id must be a valid UUID")
        checked = graphs.check(given["prompt"], has_input=self._has_input)
        if checked.error is not None:
            return answers.json_answer(400, {"error": checked.error, "node_errors": checked.node_errors})
        if self.queue.is_full:
            raise calls.Refused(503, "full", f"{queue.PENDING_MAX} prompts wait; this is a twin: clear its queue.")
        number = self._next_number(given)
        order = jobs.Order(
            operation="prompt",
            model="graph",
            digest=call.digest,
            amount_nano_usd=0,
            id_prefix="work_",
            client_reference=prompt_id,
            is_job=False,
        )
        paid = (await self.jobs.pay(order)).paid
        extra = given.get("extra_data")
        client = {"client_id": given["client_id"]} if "client_id" in given else {}
        job = queue.Job(
            number=number,
            prompt_id=prompt_id,
            graph=given["prompt"],
            extra_data={**(extra if isinstance(extra, dict) else {}), **client, "create_time": int(call.at_s * 1_000)},
            outputs=checked.outputs,
            latency_s=paid.fate.latency_s,
            is_failed=paid.fate.is_failed,
        )
        self.queue.put(job, is_stuck=paid.fate.is_stuck)
        told = {"prompt_id": prompt_id, "number": number, "node_errors": checked.node_errors}
        return answers.json_answer(200, told)

    def _next_number(self, given: dict[str, identity.JsonValue]) -> float:
        if isinstance(given.get("number"), int | float):
            return float(given["number"])
        number = -self._number if given.get("front") else self._number
        self._number += 1
        return number

    async def _upload(self, call: calls.Call) -> answers.Answer:
        parts = {part.name: part for part in call.form()}
        image = parts.get("image")
        if image is None or not image.filename:
            return answers.Answer(status=400, pieces=(b"",), media_type="application/octet-stream")
        fields = {name: part.body.decode("utf-8", "replace") for name, part in parts.items() if part.filename is None}
        kind, subfolder = fields.get("type", "input"), fields.get("subfolder", "")
        if kind not in ("input", "temp", "output") or ".." in subfolder or ".." in image.filename:
            return answers.Answer(status=400, pieces=(b"",), media_type="application/octet-stream")
        filename = image.filename
        is_overwriting = fields.get("overwrite") in ("true", "1")
        stem, dot, suffix = filename.rpartition(".")
        count = 1
        while not is_overwriting and self.queue.files.get((kind, subfolder, filename), image.body) != image.body:
            filename = f"{stem} ({count}){dot}{suffix}"
            count += 1
        self.queue.store(kind=kind, subfolder=subfolder, filename=filename, data=image.body)
        return answers.json_answer(200, {"name": filename, "subfolder": subfolder, "type": kind})

    def _has_input(self, name: str) -> bool:
        subfolder, _, filename = name.rpartition("/")
        return ("input", subfolder, filename) in self.queue.files

    # Asking

    async def _queue_size(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, {"exec_info": {"queue_remaining": self.queue.remaining}})

    async def _queue(self, call: calls.Call) -> answers.Answer:
        running = [] if self.queue.running is None else [self.queue.running.as_json()]
        pending = [job.as_json() for job in self.queue.pending]
        return answers.json_answer(200, {"queue_running": running, "queue_pending": pending})

    async def _history(self, call: calls.Call) -> answers.Answer:
        prompt_id = call.parameters.get("prompt_id")
        if prompt_id is None:
            wanted = call.query.get("max_items", "")
            entries = list(self.queue.history.items())
            return answers.json_answer(200, dict(entries[-int(wanted) :] if wanted.isdigit() else entries))
        found = self.queue.history.get(prompt_id)
        return answers.json_answer(200, {} if found is None else {prompt_id: found})

    async def _view(self, call: calls.Call) -> answers.Answer:
        key = (call.query.get("type", "output"), call.query.get("subfolder", ""), call.query.get("filename", ""))
        if not key[2] or key[2].startswith("/") or ".." in key[2]:
            return answers.Answer(status=400, pieces=(b"",), media_type="application/octet-stream")
        data = self.queue.files.get(key)
        if data is None:
            return answers.Answer(status=404, pieces=(b"",), media_type="application/octet-stream")
        return answers.Answer(
            status=200,
            pieces=(data,),
            media_type=mimetypes.guess_type(key[2])[0] or "application/octet-stream",
            headers={"Content-Disposition": f'filename="{key[2]}"', "X-Content-Type-Options": "nosniff"},
        )

    async def _jobs(self, call: calls.Call) -> answers.Answer:
        wanted = {state.strip() for state in call.query.get("status", "").split(",") if state.strip()}
        if wanted - set(_STATES):
            return answers.json_answer(400, {"error": f"Invalid status value(s): {', '.join(sorted(wanted))}"})
        told = [job for job in map(self._told, self._known_ids()) if job and (not wanted or job["status"] in wanted)]
        told.sort(key=lambda job: job["create_time"], reverse=call.query.get("sort_order", "desc") == "desc")
        limit = int(call.query["limit"]) if call.query.get("limit", "").isdigit() else None
        shown = told[:limit]
        pagination = {"offset": 0, "limit": limit, "total": len(told), "has_more": len(shown) < len(told)}
        return answers.json_answer(200, {"jobs": shown, "pagination": pagination})

    async def _job(self, call: calls.Call) -> answers.Answer:
        told = self._told(call.parameters["prompt_id"])
        if told is None:
            return answers.json_answer(404, {"error": "Job not found"})
        entry = self.queue.history.get(call.parameters["prompt_id"])
        if entry is not None:
            told |= {"outputs": entry["outputs"], "execution_status": entry["status"]}
        return answers.json_answer(200, told)

    def _known_ids(self) -> list[str]:
        running = [] if self.queue.running is None else [self.queue.running]
        return [job.prompt_id for job in [*running, *self.queue.pending]] + list(reversed(self.queue.history))

    def _told(self, prompt_id: str) -> dict[str, identity.JsonValue] | None:
        entry = self.queue.history.get(prompt_id)
        if entry is not None:
            last = entry["status"]["messages"][-1][0]
            states = {"execution_success": "completed", "execution_interrupted": "cancelled"}
            count = sum(len(items) for node in entry["outputs"].values() for items in node.values())
            made_ms = entry["prompt"][3]["create_time"]
            status = states.get(last, "failed")
            return {"id": prompt_id, "status": status, "create_time": made_ms, "outputs_count": count}
        running = [] if self.queue.running is None else [self.queue.running]
        for status, known in (("in_progress", running), ("pending", self.queue.pending)):
            for job in known:
                if job.prompt_id == prompt_id:
                    made_ms = job.extra_data["create_time"]
                    return {"id": prompt_id, "status": status, "create_time": made_ms, "outputs_count": 0}
        return None

    async def _stats(self, call: calls.Call) -> answers.Answer:
        system = {"os": "linux", "comfyui_version": VERSION, "python_version": "3.12", "argv": ["main.py"]}
        device = {"name": "cuda:0 twin", "type": "cuda", "index": 0, "vram_total": 24 * 1024**3, "vram_free": 1024**3}
        return answers.json_answer(200, {"system": system, "devices": [device]})

    async def _embeddings(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, [])

    async def _object_info(self, call: calls.Call) -> answers.Answer:
        wanted = call.parameters.get("node_class")
        told = {
            name: {
                "input": {"required": {key: [each.kind, {}] for key, each in node.inputs.items()}},
                "name": name,
                "output_node": node.output_key is not None,
            }
            for name, node in graphs.NODES.items()
            if wanted in (None, name)
        }
        return answers.json_answer(200, told)

    # Stopping

    async def _change_queue(self, call: calls.Call) -> answers.Answer:
        given = call.json()
        if given.get("clear"):
            self.queue.clear()
        for prompt_id in given.get("delete", []):
            self.queue.remove(prompt_id)
        return _NOTHING

    async def _change_history(self, call: calls.Call) -> answers.Answer:
        given = call.json()
        if given.get("clear"):
            self.queue.history.clear()
        for prompt_id in given.get("delete", []):
            self.queue.history.pop(prompt_id, None)
        return _NOTHING

    async def _interrupt(self, call: calls.Call) -> answers.Answer:
        prompt_id = call.json().get("prompt_id") if call.body else None
        self.queue.interrupt(prompt_id if isinstance(prompt_id, str) else None)
        return _NOTHING

    async def _cancel(self, call: calls.Call) -> answers.Answer:
        prompt_id = call.parameters["prompt_id"]
        was_cancelled = self.queue.interrupt(prompt_id) or self.queue.remove(prompt_id)
        return answers.json_answer(200, {"cancelled": was_cancelled})

    async def _free(self, call: calls.Call) -> answers.Answer:
        return _NOTHING


def _is_canonical(value: identity.JsonValue) -> bool:
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False
