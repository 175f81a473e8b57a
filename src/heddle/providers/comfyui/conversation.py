"""Ask one ComfyUI server: what it has queued and done, and to take or stop a job.

Each question is one request, sent once. An answer is read into a record or becomes ``Unasked``, which says nothing of
any job. It decides no outcome. Before it: the adapter. After it: the transport.
"""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib import parse

from heddle.providers import transport
from heddle.providers.comfyui import wire

ANSWER_BYTES_MAX: Final = 64 * 1024**2  # queue and history repeat whole graphs
_INLINE_BYTES_MAX: Final = 65_536

Read = TypeVar("Read")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unasked:
    """Say why nothing was learnt. ``status``: of the answer, None when none came whole."""

    message: str
    status: int | None = None


class Conversation:
    """Speak to the server at one address; ``timeout_s`` bounds each request."""

    def __init__(
        self, connections: transport.Transport, *, base_url: str, headers: Mapping[str, str], timeout_s: float
    ) -> None:
        self.base_url = base_url
        self._transport = connections
        self._headers = headers
        self._timeout_s = timeout_s

    async def find(self, prompt_id: str) -> wire.Queued | wire.Ended | Unasked | None:
        """Find a job in the queue, then in the history; None when it is in neither.

        In this order, because jobs move from the queue to the history in one step: asked the other way round, one that
        ends in between would be in neither.
        """
        queued = await self.queued(prompt_id)
        return queued if queued is not None else await self.ended(prompt_id)

    async def queued(self, prompt_id: str) -> wire.Queued | Unasked | None:
        """Find a job in the queue."""
        return await self._read("/queue", lambda body: wire.read_queued(body, wanted=prompt_id))

    async def ended(self, prompt_id: str) -> wire.Ended | Unasked | None:
        """Find a job in the history."""
        return await self._read(f"/history/{prompt_id}", lambda body: wire.read_ended(body, wanted=prompt_id))

    async def submit(self, body: bytes) -> transport.Reply | transport.Lost:
        """Submit a job: the one request that is never to be repeated blindly."""
        call = self.call("POST", "/prompt", body=body, media_type="application/json")
        return await self._transport.exchange(dataclasses.replace(call, is_repeatable=False))

    async def upload(self, *, name: str, media_type: str, data: bytes) -> str | Unasked:
        """Store an input file; give the name under which graphs find it."""
        form, body = wire.upload(name=name, media_type=media_type, data=data)
        reply = await self._ask("POST", "/upload/image", body=body, media_type=form)
        if isinstance(reply, Unasked):
            return reply
        try:
            return wire.read_uploaded(reply.body)
        except wire.AnswerRefused as error:
            return Unasked(message=f"/upload/image: {error}", status=reply.status)

    async def cancel(self, prompt_id: str) -> bool:
        """Stop a job: by its id where the server can, else out of the queue or, while it runs, by an interruption."""
        reply = await self._ask("POST", f"/api/jobs/{prompt_id}/cancel")
        if not isinstance(reply, Unasked):
            return _was_cancelled(reply.body)
        if reply.status not in (404, 405):
            return False
        queued = await self.queued(prompt_id)
        if not isinstance(queued, wire.Queued):
            return False
        path, told = (
            ("/interrupt", {"prompt_id": prompt_id}) if queued.is_running else ("/queue", {"delete": [prompt_id]})
        )
        body = json.dumps(told).encode()
        return not isinstance(await self._ask("POST", path, body=body, media_type="application/json"), Unasked)

    async def remembers_since_ms(self) -> int | Unasked | None:
        """Tell since when the server's memory is whole: when the oldest job it knows was made, milliseconds since 1970.

        A restart forgets every job, so an older job proves that there was none since. None when it knows no job.
        """
        return await self._read("/api/jobs?sort_by=created_at&sort_order=asc&limit=1", wire.read_oldest_ms)

    async def has_jobs_api(self) -> bool | Unasked:
        """Ask whether the server is of the kind that lists jobs, and so takes job ids chosen by its clients."""
        reply = await self._ask("GET", "/api/jobs?limit=1")
        if isinstance(reply, Unasked):
            return False if reply.status in (404, 405) else reply
        return reply.media_type == "application/json"

    async def trouble(self) -> str | None:
        """Ask whether the server is up; None when it is."""
        reply = await self._ask("GET", "/system_stats")
        return reply.message if isinstance(reply, Unasked) else None

    def view(self, file: wire.File, *, bytes_max: int) -> transport.Call:
        """Give the request that fetches a file."""
        query = {"filename": file.filename, "subfolder": file.subfolder, "type": file.type}
        return dataclasses.replace(self.call("GET", f"/view?{parse.urlencode(query)}"), reply_bytes_max=bytes_max)

    def call(self, method: str, path: str, *, body: bytes | None = None, media_type: str = "") -> transport.Call:
        """Give a request to the server."""
        return transport.Call(
            method=method,
            url=self.base_url + path,
            headers={**self._headers, **({"Content-Type": media_type} if media_type else {})},
            body=body,
            timeout_s=self._timeout_s,
            is_repeatable=True,
            reply_bytes_max=ANSWER_BYTES_MAX,
        )

    async def _ask(
        self, method: str, path: str, *, body: bytes | None = None, media_type: str = ""
    ) -> transport.Reply | Unasked:
        reply = await self._transport.exchange(self.call(method, path, body=body, media_type=media_type))
        if not isinstance(reply, transport.Reply):
            return Unasked(message=reply.message)
        if reply.status != 200:
            return Unasked(message=f"{path.partition('?')[0]} answered {reply.status}", status=reply.status)
        return reply

    async def _read(self, path: str, read: Callable[[bytes], Read]) -> Read | Unasked:
        reply = await self._ask("GET", path)
        if isinstance(reply, Unasked):
            return reply
        try:
            if len(reply.body) <= _INLINE_BYTES_MAX:
                return read(reply.body)
            return await asyncio.to_thread(read, reply.body)
        except wire.AnswerRefused as error:
            return Unasked(message=f"{path}: {error}", status=reply.status)


def _was_cancelled(body: bytes) -> bool:
    try:
        value = json.loads(body)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("cancelled") is True
