"""Make videos: submit, ask, and copy the file into an artifact before the provider deletes it.

The API tells of videos by polling; a job that has succeeded is never given up: when its file cannot be fetched now, it
is asked for again. Before it: the adapter. After it: ``line``, ``fetching`` and settle.
"""

from heddle.core import artifact, settle
from heddle.ports import blobs, provider
from heddle.providers import fetching, json_wire, transport
from heddle.providers.openai import faults as openai_faults
from heddle.providers.openai import line, operations, wire

_WORKING = frozenset({"queued", "in_progress"})


class Videos:
    """Make the calls of one endpoint whose operation is videos."""

    def __init__(self, to: line.Line) -> None:
        self._line = to

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Submit a job."""
        try:
            body = await wire.form_body(request, model=self._line.model(request))
        except (json_wire.WireRefused, wire.TooLarge, blobs.BlobMissing, ValueError) as error:
            return self._line.not_sent(error)
        path = operations.PATHS[operations.Operation.VIDEOS]
        reply = await self._line.transport.exchange(self._line.call(request, "POST", path, body=body))
        if not isinstance(reply, transport.Reply):
            return self._line.loss(reply)
        if not 200 <= reply.status < 300:
            return self._line.refused(reply)
        job = self._line.object_of(reply)
        if isinstance(job, str) or not wire.text(job, "id"):
            said = job if isinstance(job, str) else f"the answer names no job: {self._line.excerpt(reply.body)}"
            return self._line.unproven(f"answered {reply.status}, but {said}")
        return settle.Accepted(
            handle=f"{self._line.base_url}/videos/{wire.quoted(wire.text(job, 'id'))}",
            poll_after_s=self._line.options.poll_after_s,
            told=self._line.told(reply.headers, None),
        )

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after a job, and copy its file when it is done."""
        if not self._line.is_ours(handle):
            return self._line.elsewhere(handle)
        job = await self._line.ask(request, handle, name="video")
        if not isinstance(job, dict):
            return job
        status, progress = wire.text(job, "status"), job.get("progress")
        if status in _WORKING:
            return self._line.again(f"{status}, {progress} %" if isinstance(progress, int) else status)
        if status == "failed":
            code = wire.code_of(job.get("error"))
            said = self._line.excerpt(wire.text(job.get("error"), "message").encode())
            message = f"the video {wire.text(job, 'id')} failed ({code or 'no code'}): {said}"
            return self._line.fault(openai_faults.job_fault_of(code), message)
        if status != "completed":
            return self._line.again(f"the video has the unknown status {status[:40]!r}")
        stored = await self._copied(handle, request)
        if isinstance(stored, artifact.Artifact):
            return settle.Completed(output={**job, "video": stored.as_json()})
        if stored.is_passing:
            return self._line.again(f"the video is made and not here yet: {stored.message}")
        return self._line.fault(stored.fault, stored.message, billed_nano_usd=None)

    async def _copied(self, handle: str, request: provider.ProviderRequest) -> artifact.Artifact | fetching.NotCopied:
        return await fetching.copy(
            f"{handle}/content",
            source=self._line.source(),
            connections=self._line.transport,
            artifacts=request.artifacts,
            timeout_s=self._line.timeout_s(request),
        )
