"""Run a graph on a ComfyUI server as a job.

``send`` stores the input's files there and submits the graph under an id made of the attempt's; ``poll`` follows it
and copies its files; ``lookup`` finds it by that id. Queue and history live in the server's memory: a job that is in
neither past the bound was never accepted or was lost by a restart, and is submitted anew. Before it in the walk:
execute and poll. After it: settle.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Final

from heddle.core import artifact, attempt, faults, identity, ids, run, settle
from heddle.ports import blobs, provider
from heddle.providers import endpoints, fetching, json_wire, media, options, templates, transport
from heddle.providers.comfyui import conversation, graph, wire
from heddle.providers.comfyui import faults as comfyui_faults

INPUT_FILES_MAX: Final = 16
EARLIER_MAX: Final = 4
CLOCKS_APART_MS: Final = 60_000  # how far the server's clock may be from the database's


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ComfyuiOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    nodes: Mapping[str, identity.JsonValue]
    outputs: tuple[graph.Selector, ...]
    poll_after_s: float
    lookup_bound_s: float
    is_paid: bool


def read_options(config: provider.EndpointConfig) -> ComfyuiOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    nodes = graph.read(source)
    read = ComfyuiOptions(
        nodes=nodes,
        outputs=graph.read_outputs(source, nodes),
        poll_after_s=source.number("poll_after_s", default=1.0, low=0.05, high=3_600, unit="s"),
        lookup_bound_s=source.number("lookup_bound_s", default=10.0, low=0, high=86_400, unit="s"),
        is_paid=source.flag("paid", default=False),
    )
    source.end()
    return read


class ComfyuiProvider(endpoints.Endpoint):
    """Speak to one server."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._options = read_options(config)
        self._headers = {"Authorization": f"Bearer {config.secret}"} if config.secret else {}
        # Guarded though free: a lost submission is looked up, not made again, because the GPU may be at work on it.
        super().__init__(config, connections, is_guarded=True)
        self.capabilities = provider.Capabilities(
            idempotency=attempt.IdempotencyClass.B,
            is_paid=self._options.is_paid,
            has_poll=True,
            has_lookup=True,
            has_cancel=True,
            lookup_bound_s=self._options.lookup_bound_s,
        )

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Submit a job, unless an earlier attempt's job of the same request is still known to the server."""
        ends_at_s = time.monotonic() + self._timeout_s(request)
        try:
            files = media.artifacts_in(request.input)
            if len(files) > INPUT_FILES_MAX:
                raise json_wire.WireRefused(f"the input has {len(files)} files; at most {INPUT_FILES_MAX} are sent")
            filled = templates.body(dict(self._options.nodes), request, _named(request.input))
            digest = self._digest(request)
            is_front = request.priority is run.Priority.INTERACTIVE
            body = wire.submission(filled=filled, attempt_id=request.attempt_id, digest=digest, is_front=is_front)
        except (json_wire.WireRefused, ValueError) as error:
            return self._outcomes.unsent(error)
        found = await self._earlier(request, digest, ends_at_s)
        if found is not None:
            return found
        named = set(_texts(filled))
        for file in {file.sha256: file for file in files if _input_name(file) in named}.values():
            refused = await self._stored(file, request, ends_at_s)
            if refused is not None:
                return refused
        there = self._conversation(ends_at_s - time.monotonic())
        return await self._submitted(await there.submit(body), there)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after a job, and fetch and store its files when it has succeeded."""
        place = _place_of(handle)
        if place is None or not self._is_ours(place[0]):
            return settle.Unknown(message=f"the handle {handle[:200]!r} does not lead to {self._outcomes.where}")
        base_url, prompt_id = place
        there = self._conversation(self._timeout_s(request), base_url=base_url)
        ended = await there.ended(prompt_id)
        if ended is None:
            # The other way round than the history was asked, for a job that ends in between.
            found = await there.find(prompt_id)
            if isinstance(found, wire.Queued):
                again = self._again("running" if found.is_running else f"queued, {found.before} before it")
                return dataclasses.replace(again, is_queued=not found.is_running)
            ended = found
        if isinstance(ended, conversation.Unasked):
            return self._again(f"asked after {prompt_id}: {ended.message}")
        if ended is None:
            return await self._absent(prompt_id, there, request)
        if ended.code:
            fault = comfyui_faults.job_fault_of(ended.code)
            return self._outcomes.fault(fault, f"the job {prompt_id}: {self._outcomes.quoted(ended.message)}")
        return await self._fetched(ended, there, request)

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Find the job of an attempt in queue and history, by the id we gave it."""
        prompt_id = wire.prompt_id(request.attempt_id)
        there = self._conversation(self._timeout_s(request))
        found = await there.find(prompt_id)
        if isinstance(found, conversation.Unasked):
            return settle.Unknown(message=f"could not ask: {found.message}")
        if found is None:
            return await self._absent(prompt_id, there, request)
        return self._accepted(prompt_id, there, is_open=_is_open(found))

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask for a job to be stopped; no when it could not be asked or is over already."""
        place = _place_of(handle)
        if place is None or not self._is_ours(place[0]):
            return False
        there = self._conversation(self._timeout_s(request), base_url=place[0])
        return await there.cancel(place[1])

    async def check(self) -> str | None:
        """Ask whether the server is up and, where money is at stake, whether it takes the ids that we choose."""
        there = self._conversation(endpoints.CHECK_TIMEOUT_S)
        trouble = await there.trouble()
        if trouble is not None or not self._options.is_paid:
            return trouble
        answer = await there.has_jobs_api()
        if isinstance(answer, conversation.Unasked):
            return answer.message
        return None if answer else "has no /api/jobs, so it may not take our prompt_id; a paid job could not be found"

    async def _absent(
        self, prompt_id: str, there: conversation.Conversation, request: provider.ProviderRequest
    ) -> settle.Outcome:
        """Judge a job that is in neither queue nor history: never accepted, taken out, or forgotten by a restart.

        On a GPU of one's own all three may be made anew. Where a job may have cost money, a restart since the run began
        must be ruled out first.
        """
        if not self._options.is_paid:
            return settle.Absent()
        since_ms, began_ms = await there.remembers_since_ms(), _began_ms(request.attempt_id)
        if isinstance(since_ms, int) and began_ms is not None and since_ms + CLOCKS_APART_MS < began_ms:
            return settle.Absent()
        return settle.Unknown(message=f"the server knows no job {prompt_id}, and may have forgotten it by a restart")

    def _digest(self, request: provider.ProviderRequest) -> str:
        """Name what is asked for, the same for every attempt at it, even where the graph names the attempt."""
        any_attempt = dataclasses.replace(request, attempt_id="attempt", idempotency_key="key")
        return wire.digest(templates.body(dict(self._options.nodes), any_attempt, _named(request.input)))

    async def _earlier(self, request: provider.ProviderRequest, digest: str, ends_at_s: float) -> settle.Outcome | None:
        """Look for jobs of earlier attempts at the same request, which a worker may have left behind when it died."""
        for attempt_id in _earlier_attempts(request.attempt_id):
            prompt_id = wire.prompt_id(attempt_id)
            there = self._conversation(ends_at_s - time.monotonic())
            found = await there.find(prompt_id)
            if isinstance(found, conversation.Unasked):
                message = f"nothing was submitted: could not ask for the attempt before: {found.message}"
                return self._outcomes.fault(faults.Fault.REJECTED_TRANSIENT, message)
            is_usable = _is_open(found) or (isinstance(found, wire.Ended) and not found.code)
            if found is not None and found.digest == digest and is_usable:
                return self._accepted(prompt_id, there, is_open=_is_open(found))
        return None

    async def _stored(
        self, file: artifact.Artifact, request: provider.ProviderRequest, ends_at_s: float
    ) -> settle.Outcome | None:
        """Store an input file at the server; an outcome when that cannot be done. Nothing has been submitted yet."""
        name = wire.upload_name(sha256=file.sha256, media_type=file.media_type)
        try:
            data = await request.artifacts.read(file)
        except blobs.BlobMissing as error:
            return self._outcomes.unsent(error)
        there = self._conversation(ends_at_s - time.monotonic())
        stored = await there.upload(name=name, media_type=file.media_type, data=data)
        if isinstance(stored, conversation.Unasked):
            fault = faults.Fault.TOO_LARGE if stored.status == 413 else faults.Fault.REJECTED_TRANSIENT
            return self._outcomes.fault(fault, f"nothing was submitted: {stored.message}")
        if stored != _input_name(file):
            message = f"nothing was submitted: the input {_input_name(file)} was stored as {stored[:200]!r}"
            return self._outcomes.fault(faults.Fault.UNCLASSIFIED, message)
        return None

    async def _submitted(
        self, reply: transport.Reply | transport.Lost, there: conversation.Conversation
    ) -> settle.Outcome:
        if not isinstance(reply, transport.Reply):
            is_accepted = isinstance(reply, transport.MaybeSent) and reply.status == 200
            return settle.Unknown(message=reply.message) if is_accepted else self._outcomes.loss(reply)
        if reply.status != 200:
            said = wire.read_refusal(reply.body)
            message = f"answered {reply.status}: {self._outcomes.excerpt(said.encode() if said else reply.body)}"
            fault = comfyui_faults.fault_of(reply.status)
            return self._outcomes.judged(fault, message, headers=reply.headers)
        try:
            submitted = wire.read_submitted(reply.body)
        except wire.AnswerRefused as error:
            return settle.Unknown(message=f"answered 200 but {error}: {self._outcomes.excerpt(reply.body)}")
        if submitted.node_errors:
            # Some of the graph's outputs would come and some not: half an answer is none.
            await there.cancel(submitted.prompt_id)
            message = f"the graph is refused in part: {self._outcomes.quoted(submitted.node_errors)}"
            return self._outcomes.fault(faults.Fault.REJECTED_PERMANENT, message)
        return self._accepted(submitted.prompt_id, there, is_open=True)

    async def _fetched(
        self, ended: wire.Ended, there: conversation.Conversation, request: provider.ProviderRequest
    ) -> settle.Outcome:
        output: dict[str, identity.JsonValue] = {}
        try:
            for part in wire.parts(ended.outputs, self._options.outputs):
                stored: list[identity.JsonValue] = []
                for file in part.files:
                    kept = await self._kept(file, there, request)
                    if not isinstance(kept, artifact.Artifact):
                        return kept
                    stored.append(kept.as_json())
                output[part.name] = part.value if part.value is not None else stored if part.is_list else stored[0]
        except wire.AnswerRefused as error:
            message = f"the job's result cannot be used: {error}"
            return self._outcomes.fault(faults.Fault.BAD_OUTPUT, message, billed=None)
        return settle.Completed(output=output)

    async def _kept(
        self, file: wire.File, there: conversation.Conversation, request: provider.ProviderRequest
    ) -> artifact.Artifact | settle.Outcome:
        """Copy one file into an artifact. The job is done: what cannot be fetched now is fetched at the next poll."""
        name = self._outcomes.quoted(file.filename)
        async with self._transport.open(there.view(file, bytes_max=fetching.MEDIUM_BYTES_MAX)) as opened:
            if not isinstance(opened, transport.Opened):
                return self._again(f"{name} is not here yet: {opened.message}")
            if opened.status in (400, 403, 404):
                message = f"the job is done and its file {name} cannot be had: answered {opened.status}"
                return self._outcomes.fault(faults.Fault.BAD_OUTPUT, message, billed=None)
            if opened.status != 200:
                return self._again(f"{name} is not here yet: answered {opened.status}")
            kept = await fetching.store(opened, artifacts=request.artifacts)
        if isinstance(kept, artifact.Artifact):
            return kept
        message = f"{name}: {kept.message}"
        return self._again(message) if kept.is_passing else self._outcomes.fault(kept.fault, message, billed=None)

    def _accepted(self, prompt_id: str, there: conversation.Conversation, *, is_open: bool) -> settle.Accepted:
        """Give the job's address as its handle, so that it is found wherever the endpoint's url leads later on."""
        handle = f"{there.base_url}/history/{prompt_id}"
        return settle.Accepted(handle=handle, poll_after_s=self._options.poll_after_s if is_open else 0.0)

    def _again(self, note: str) -> settle.StillRunning:
        return settle.StillRunning(poll_after_s=self._options.poll_after_s, note=note)

    def _conversation(self, timeout_s: float, *, base_url: str | None = None) -> conversation.Conversation:
        return conversation.Conversation(
            self._transport, base_url=base_url or self._base_url, headers=self._headers, timeout_s=timeout_s
        )

    def _is_ours(self, base_url: str) -> bool:
        return fetching.is_same_origin(base_url, self._base_url)


def _is_open(found: wire.Queued | wire.Ended | None) -> bool:
    return isinstance(found, wire.Queued)


def _named(value: identity.JsonValue) -> identity.JsonValue:
    """Replace each artifact by the name under which the server will have it."""
    if artifact.is_artifact(value):
        return _input_name(artifact.Artifact.from_json(value))
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    return [_named(item) for item in value] if isinstance(value, list) else value


def _texts(value: identity.JsonValue) -> Iterator[str]:
    """Give every text inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _input_name(file: artifact.Artifact) -> str:
    return f"{wire.SUBFOLDER}/{wire.upload_name(sha256=file.sha256, media_type=file.media_type)}"


def _earlier_attempts(attempt_id: str) -> list[str]:
    """List the attempts before this one, the latest first, at most four."""
    try:
        told = ids.AttemptId.parse(attempt_id)
    except ValueError:
        return []
    numbers = range(told.number - 1, max(0, told.number - 1 - EARLIER_MAX), -1)
    return [str(dataclasses.replace(told, number=number)) for number in numbers]


def _began_ms(attempt_id: str) -> int | None:
    """Tell when an attempt's run was made, in milliseconds since 1970: before anything of it can have been sent."""
    try:
        return ids.unix_ms(ids.AttemptId.parse(attempt_id).run_id)
    except ValueError:
        return None


def _place_of(handle: str) -> tuple[str, str] | None:
    """Read the server's address and the job's id from a handle; None when it is none."""
    base_url, found, prompt_id = handle.rpartition("/history/")
    return (base_url, prompt_id) if found and base_url and prompt_id else None
