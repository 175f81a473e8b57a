"""Run many requests as one batch: upload a file of them, begin the batch, ask, and copy what came out into artifacts.

The batch carries our attempt's id in its metadata, so that a lost answer is looked up before anything is sent again
(class B). Uploading costs nothing: an upload that fails ends the attempt with nothing begun. Before it: the adapter.
After it: ``line``, ``fetching`` and settle.
"""

import dataclasses
from typing import Final

from heddle.core import artifact, faults, identity, settle
from heddle.ports import blobs, provider
from heddle.providers import fetching, json_wire, transport
from heddle.providers.openai import faults as openai_faults
from heddle.providers.openai import line, usage, wire

Object = dict[str, identity.JsonValue]
MARK: Final = "heddle_attempt"
REQUESTS_MAX: Final = 50_000  # developers.openai.com/api/docs/guides/batch, read 2026-11-29
FILE_BYTES_MAX: Final = 200 * 1000**2  # the same page
PAGE: Final = 100
PAGES_MAX: Final = 20
_WORKING: Final = frozenset({"validating", "in_progress", "finalizing", "cancelling"})


class Batches:
    """Make the calls of one endpoint whose operation is batch."""

    def __init__(self, to: line.Line) -> None:
        self._line = to

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Upload the requests and begin a batch of them."""
        try:
            lines = await self._lines(request)
        except (json_wire.WireRefused, wire.TooLarge, blobs.BlobMissing, ValueError) as error:
            return self._line.not_sent(error)
        file_id = await self._uploaded(lines, request)
        if not isinstance(file_id, str):
            return file_id
        metadata = request.input.get("metadata")
        body = {
            "input_file_id": file_id,
            "endpoint": self._line.options.batch_endpoint,
            "completion_window": "24h",
            "metadata": {**(metadata if isinstance(metadata, dict) else {}), MARK: request.attempt_id},
        }
        data = wire.Body(media_type="application/json", data=json_wire.write_json(body))
        reply = await self._line.transport.exchange(self._line.call(request, "POST", "/batches", body=data))
        if not isinstance(reply, transport.Reply):
            return self._line.loss(reply)
        if not 200 <= reply.status < 300:
            return self._line.refused(reply)
        batch = self._line.object_of(reply)
        if isinstance(batch, str) or not wire.text(batch, "id"):
            said = batch if isinstance(batch, str) else f"the answer names no batch: {self._line.excerpt(reply.body)}"
            return self._line.unproven(f"answered {reply.status}, but {said}")
        return settle.Accepted(
            handle=self.handle(wire.text(batch, "id")),
            poll_after_s=self._line.options.poll_after_s,
            told=self._line.told(reply.headers, None),
        )

    def handle(self, batch_id: str) -> str:
        """Give the handle of a batch."""
        return f"{self._line.base_url}/batches/{wire.quoted(batch_id)}"

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after a batch, and copy its files when it is over."""
        if not self._line.is_ours(handle):
            return self._line.elsewhere(handle)
        batch = await self._line.ask(request, handle, name="batch")
        if not isinstance(batch, dict):
            return batch
        status = wire.text(batch, "status")
        if status in _WORKING:
            return self._line.again(f"{status}{_progress(batch)}")
        if status == "failed":
            return self._failed(batch)
        if status not in ("completed", "expired", "cancelled"):
            return self._line.again(f"the batch has the unknown status {status[:40]!r}")
        return await self._over(batch, status, request)

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Find the batch that carries the attempt's id, among the newest 2,000."""
        after = ""
        for _ in range(PAGES_MAX):
            url = f"/batches?limit={PAGE}{f'&after={wire.quoted(after)}' if after else ''}"
            reply = await self._line.transport.exchange(self._line.call(request, "GET", url))
            if not isinstance(reply, transport.Reply):
                return settle.Unknown(message=f"could not ask: {reply.message}")
            page = self._line.object_of(reply) if reply.status == 200 else f"answered {reply.status}"
            batches = page.get("data") if isinstance(page, dict) else None
            if isinstance(page, str) or not isinstance(batches, list):
                return settle.Unknown(message=f"could not ask: {page if isinstance(page, str) else 'no list came'}")
            found = next((each for each in batches if _mark(each) == request.attempt_id), None)
            if found is not None:
                return settle.Accepted(handle=self.handle(wire.text(found, "id")), poll_after_s=0.0)
            after = wire.text(batches[-1], "id") if batches else ""
            if not page.get("has_more") or not after:
                return settle.Absent()
        return settle.Unknown(message=f"not among the newest {PAGE * PAGES_MAX} batches, and there are older ones")

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask for a batch to be stopped; it may take ten minutes, and what is done stays done."""
        if not self._line.is_ours(handle):
            return False
        reply = await self._line.transport.exchange(self._line.call(request, "POST", f"{handle}/cancel"))
        if not isinstance(reply, transport.Reply) or reply.status != 200:
            return False
        batch = self._line.object_of(reply)
        return isinstance(batch, dict) and wire.text(batch, "status") in ("cancelling", "cancelled")

    async def _lines(self, request: provider.ProviderRequest) -> bytes:
        """Write one line for each request, or take the file of lines that the input names."""
        unknown = sorted(set(request.input) - {"requests", "file", "metadata"})
        given, file = request.input.get("requests"), request.input.get("file")
        if unknown or (given is None) == (file is None):
            raise json_wire.WireRefused("the input of a batch has either requests or file, and metadata if you like")
        if file is not None:
            if not artifact.is_artifact(file):
                raise json_wire.WireRefused("file must be an artifact of JSON lines")
            reference = artifact.Artifact.from_json(file)
            _require_size(reference.size_bytes)
            return await request.artifacts.read(reference)
        if not isinstance(given, list) or not 0 < len(given) <= REQUESTS_MAX:
            raise json_wire.WireRefused(f"requests must be a list of 1 to {REQUESTS_MAX} bodies")
        extra: Object = {"model": self._line.model(request)}
        lines = bytearray()
        for number, each in enumerate(given):
            if not isinstance(each, dict):
                raise json_wire.WireRefused(f"request {number} is no object")
            body = await wire.json_body(dataclasses.replace(request, input=each), extra)
            entry = {"custom_id": str(number), "method": "POST", "url": self._line.options.batch_endpoint, "body": body}
            lines += json_wire.write_json(entry) + b"\n"
            _require_size(len(lines))
        return bytes(lines)

    async def _uploaded(self, lines: bytes, request: provider.ProviderRequest) -> str | settle.Outcome:
        """Upload the lines; give the file's id. Whatever goes wrong here, no batch was begun."""
        file = wire.File(field="file", filename="batch.jsonl", media_type="application/jsonl", data=lines)
        body = wire.multipart({"purpose": "batch"}, [file], mark=request.attempt_id)
        reply = await self._line.transport.exchange(self._line.call(request, "POST", "/files", body=body))
        if isinstance(reply, transport.NotSent):
            return self._line.loss(reply)
        if isinstance(reply, transport.MaybeSent):
            message = f"no batch was begun, its file is not known to have arrived: {reply.message}"
            return self._line.fault(faults.Fault.REJECTED_TRANSIENT, message)
        if not 200 <= reply.status < 300:
            refused = self._line.refused(reply)
            if isinstance(refused, settle.Unknown):
                return self._line.fault(
                    faults.Fault.REJECTED_TRANSIENT, f"no batch was begun, its file was not taken: {refused.message}"
                )
            return refused
        answer = self._line.object_of(reply)
        if isinstance(answer, str) or not wire.text(answer, "id"):
            said = answer if isinstance(answer, str) else "the answer names no file"
            return self._line.fault(faults.Fault.REJECTED_TRANSIENT, f"no batch was begun: {said}")
        return wire.text(answer, "id")

    async def _over(self, batch: Object, status: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Copy the files of a batch that is over and judge by what is in them."""
        kept: Object = {}
        for name, key in (("results", "output_file_id"), ("errors", "error_file_id")):
            file_id = wire.text(batch, key)
            stored = await self._copied(file_id, request) if file_id else None
            if isinstance(stored, fetching.NotCopied):
                if stored.is_passing:
                    return self._line.again(f"the batch is over and its {name} are not here yet: {stored.message}")
                message = f"the {name} of the batch: {stored.message}"
                return self._line.fault(stored.fault, message, billed_nano_usd=None)
            kept[name] = None if stored is None else stored.as_json()
        heard = self._line.told({}, usage.read(batch))
        if status == "cancelled":
            message, results = f"the batch {wire.text(batch, 'id')} was cancelled", kept["results"]
            if results is None:
                return self._line.fault(faults.Fault.CANCELLED, message, heard=heard)
            # It "will have partial results (if any) available" (reference, "Cancel batch"), which are charged for.
            message = f"{message}; what was done until then is kept as {results['$artifact']}"
            return self._line.fault(faults.Fault.CANCELLED, message, billed_nano_usd=None, heard=heard)
        if kept["results"] is None:
            fault = faults.Fault.DEADLINE if status == "expired" else faults.Fault.REJECTED_PERMANENT
            where = kept["errors"]["$artifact"] if kept["errors"] else "nowhere"
            message = f"the batch {wire.text(batch, 'id')} {status} without a single result; its errors are {where}"
            return self._line.fault(fault, message, heard=heard)
        return settle.Completed(output={"batch": batch, **kept}, told=heard)

    async def _copied(self, file_id: str, request: provider.ProviderRequest) -> artifact.Artifact | fetching.NotCopied:
        return await fetching.copy(
            f"{self._line.base_url}/files/{wire.quoted(file_id)}/content",
            source=self._line.source(),
            connections=self._line.transport,
            artifacts=request.artifacts,
            timeout_s=self._line.timeout_s(request),
            media_type="text/plain",
        )

    def _failed(self, batch: Object) -> settle.Outcome:
        """Judge a batch that was refused while it was looked through: nothing of it was carried out."""
        errors = batch.get("errors")
        data = errors.get("data") if isinstance(errors, dict) else None
        first = data[0] if isinstance(data, list) and data else None
        code = wire.code_of(first)
        said = self._line.excerpt(wire.text(first, "message").encode())
        place = f" in line {first['line']}" if isinstance(first, dict) and isinstance(first.get("line"), int) else ""
        message = f"the batch {wire.text(batch, 'id')} was refused ({code or 'no code'}{place}): {said}"
        return self._line.fault(openai_faults.job_fault_of(code), message)


def _require_size(size_bytes: int) -> None:
    if size_bytes > FILE_BYTES_MAX:
        raise wire.TooLarge(f"a batch's file has at most {FILE_BYTES_MAX} bytes")


def _mark(batch: identity.JsonValue) -> str:
    return wire.text(batch.get("metadata"), MARK) if isinstance(batch, dict) else ""


def _progress(batch: Object) -> str:
    counts = batch.get("request_counts")
    if not isinstance(counts, dict) or not isinstance(counts.get("total"), int):
        return ""
    return f", {counts.get('completed')} of {counts['total']} done, {counts.get('failed')} failed"
