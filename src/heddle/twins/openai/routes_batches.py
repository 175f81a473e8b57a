"""Serve files, batches of them, and the webhook endpoints of the account. Before it: the twin. After it: ``files``,
``batches``.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Final

from heddle.core import identity
from heddle.twins.kit import answers, callbacks, calls, jobs, server
from heddle.twins.openai import batches, chat, desk, files

Object = dict[str, identity.JsonValue]
METADATA_MAX: Final = 16
ENDPOINTS_MAX: Final = 16


class BatchRoutes:
    """The routes around files and batches."""

    def __init__(self, shared: desk.Desk, kept: files.Files) -> None:
        self._desk = shared
        self._files = kept

    def routes(self) -> Sequence[server.Route]:
        """List the routes."""
        return [
            server.Route(method="POST", path="/v1/files", handler=self._upload),
            server.question("GET", "/v1/files", self._list_files),
            server.question("GET", "/v1/files/{id}", self._file),
            server.question("GET", "/v1/files/{id}/content", self._content),
            server.Route(method="DELETE", path="/v1/files/{id}", handler=self._delete_file),
            server.paid("/v1/batches", self._begin),
            server.question("GET", "/v1/batches", self._list),
            server.question("GET", "/v1/batches/{id}", self._batch),
            server.Route(method="POST", path="/v1/batches/{id}/cancel", handler=self._cancel),
            server.Route(method="POST", path="/v1/webhook_endpoints", handler=self._subscribe),
            server.Route(method="GET", path="/v1/webhook_endpoints", handler=self._subscriptions),
            server.Route(method="DELETE", path="/v1/webhook_endpoints/{id}", handler=self._unsubscribe),
        ]

    async def _upload(self, call: calls.Call) -> answers.Answer:
        parts = {part.name: part for part in call.form()}
        file, purpose = parts.get("file"), parts.get("purpose")
        if file is None or purpose is None:
            missing = "file" if file is None else "purpose"
            raise chat.refused(missing, f"Missing required parameter: '{missing}'.")
        if len(file.body) > files.FILE_BYTES_MAX:
            raise calls.Refused(413, "file_too_large", f"Files have at most {files.FILE_BYTES_MAX} bytes here.")
        try:
            kept = self._files.put(
                file.body, filename=file.filename or "file", purpose=purpose.body.decode(), at_s=call.at_s
            )
        except files.FilesFull as error:
            raise calls.Refused(429, "rate_limit_exceeded", str(error)) from None
        return answers.json_answer(200, kept.shown())

    async def _list_files(self, call: calls.Call) -> answers.Answer:
        purpose = call.query.get("purpose")
        found = [file.shown() for file in self._files.newest_first() if purpose in (None, file.purpose)]
        return self._desk.page(call, found)

    async def _file(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, self._found(call).shown())

    async def _content(self, call: calls.Call) -> answers.Answer:
        file_id = call.parameters["id"]
        for mark, is_error in (("file-out-", False), ("file-err-", True)):
            if file_id.startswith(mark):
                return await self._results(file_id.replace(mark, "batch_"), is_error=is_error)
        data = self._files.read(self._found(call))
        return answers.Answer(status=200, pieces=(data,), media_type="application/octet-stream")

    async def _delete_file(self, call: calls.Call) -> answers.Answer:
        file = self._found(call)
        self._files.delete(file)
        return answers.json_answer(200, {"id": file.id, "object": "file", "deleted": True})

    def _found(self, call: calls.Call) -> files.File:
        file = self._files.find(call.parameters["id"])
        if file is None:
            raise calls.Refused(404, "not_found", f"No such File object: {call.parameters['id'][:100]}", field="id")
        return file

    async def _begin(self, call: calls.Call) -> answers.Answer:
        body = call.json()
        file_id, endpoint, metadata = (body.get(key) for key in ("input_file_id", "endpoint", "metadata"))
        file = self._files.find(file_id) if isinstance(file_id, str) else None
        if file is None:
            raise calls.Refused(400, "invalid_value", "The input file does not exist.", field="input_file_id")
        if endpoint not in batches.ENDPOINTS:
            raise chat.refused("endpoint", f"Invalid value; supported are {', '.join(batches.ENDPOINTS)}.")
        if body.get("completion_window") != "24h":
            raise chat.refused("completion_window", "Invalid value: supported is '24h'.")
        if metadata is not None and (not isinstance(metadata, dict) or len(metadata) > METADATA_MAX):
            raise chat.refused("metadata", f"Invalid metadata: at most {METADATA_MAX} pairs of strings.")
        lines = self._files.read(file).splitlines()
        trouble = batches.trouble(lines, endpoint=endpoint)
        answered = [] if trouble else await asyncio.to_thread(_answered, lines, call.at_s)
        tokens_in, tokens_out = (sum(getattr(each, name) for each in answered) for name in ("tokens_in", "tokens_out"))
        model = next((each.line["response"]["body"].get("model", "") for each in answered if not each.is_error), "")
        order = jobs.Order(
            operation="batch",
            model=model,
            digest=call.digest,
            amount_nano_usd=sum(each.price_nano_usd for each in answered),
            id_prefix="batch_",
            client_reference=_reference(metadata),
            callback_url=self._desk.callback_url("batch.completed"),
            data={
                "input_file_id": file.id,
                "endpoint": endpoint,
                "metadata": metadata,
                "trouble": trouble,
                "total": 0 if trouble else len(lines),
                "failed": sum(each.is_error for each in answered),
                "usage": {
                    "input_tokens": tokens_in,
                    "input_tokens_details": {"cached_tokens": 0},
                    "output_tokens": tokens_out,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": tokens_in + tokens_out,
                },
            },
        )
        job = await self._desk.charge(call, order, tokens=0)
        return answers.json_answer(200, batches.shown(job.as_accepted()))

    async def _list(self, call: calls.Call) -> answers.Answer:
        return self._desk.page(call, [batches.shown(job) for job in self._desk.jobs.newest_first(operation="batch")])

    async def _batch(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, batches.shown(self._desk.job(call, "batch", "Batch")))

    async def _cancel(self, call: calls.Call) -> answers.Answer:
        job = self._desk.job(call, "batch", "Batch")
        if job.status.is_over:
            message = f"Cannot cancel a batch with status '{batches.shown(job)['status']}'."
            raise calls.Refused(409, "invalid_request", message)
        cancelled = await self._desk.jobs.cancel(job.id) or job
        return answers.json_answer(200, {**batches.shown(cancelled), "status": "cancelling", "cancelled_at": None})

    async def _results(self, batch_id: str, *, is_error: bool) -> answers.Answer:
        job = self._desk.jobs.find(batch_id)
        file = self._files.find(job.paid.data["input_file_id"]) if job is not None else None
        if job is None or file is None or job.status is not jobs.Status.SUCCEEDED:
            raise calls.Refused(404, "not_found", "No such File object.", field="id")
        answered = await asyncio.to_thread(_answered, self._files.read(file).splitlines(), job.paid.at_s)
        lines = [json.dumps(each.line) for each in answered if each.is_error is is_error]
        text = "".join(f"{line}\n" for line in lines).encode()
        return answers.Answer(status=200, pieces=(text,), media_type="application/octet-stream")

    async def _subscribe(self, call: calls.Call) -> answers.Answer:
        """Register where webhooks go; on this machine only, and signed with the twin's one secret."""
        body = call.json()
        url, wanted = body.get("url"), body.get("event_types")
        if not isinstance(url, str) or not callbacks.is_loopback(url):
            raise chat.refused("url", "A twin sends webhooks to this machine only, such as http://127.0.0.1:8000/….")
        if not isinstance(wanted, list) or not wanted:
            raise chat.refused("event_types", "Missing required parameter: 'event_types'.")
        if len(self._desk.endpoints) >= ENDPOINTS_MAX:
            raise calls.Refused(429, "rate_limit_exceeded", f"At most {ENDPOINTS_MAX} webhook endpoints.")
        name = "we_" + hashlib.sha256(f"{len(self._desk.endpoints)}/{url}".encode()).hexdigest()[:24]
        self._desk.endpoints[name] = {
            "id": name,
            "object": "webhook_endpoint",
            "name": str(body.get("name") or ""),
            "url": url,
            "event_types": wanted,
            "created_at": int(call.at_s),
            "updated_at": int(call.at_s),
        }
        return answers.json_answer(
            200, {**self._desk.endpoints[name], "signing_secret": self._desk.options.webhook_secret}
        )

    async def _subscriptions(self, call: calls.Call) -> answers.Answer:
        return self._desk.page(call, list(reversed(self._desk.endpoints.values())))

    async def _unsubscribe(self, call: calls.Call) -> answers.Answer:
        if self._desk.endpoints.pop(call.parameters["id"], None) is None:
            raise calls.Refused(404, "not_found", "No such webhook endpoint.", field="id")
        deleted = {"id": call.parameters["id"], "object": "webhook_endpoint.deleted", "deleted": True}
        return answers.json_answer(200, deleted)


def _answered(lines: list[bytes], at_s: float) -> list[batches.Answered]:
    return [batches.answer(line, at_s=at_s) for line in lines]


def _reference(metadata: identity.JsonValue) -> str | None:
    """Give the client's own name for a batch: the first value of its metadata whose key ends in ``_attempt``."""
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    return next((str(value) for key, value in pairs if str(key).endswith("_attempt")), None)
