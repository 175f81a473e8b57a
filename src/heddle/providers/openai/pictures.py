"""Make and edit pictures, and keep what comes back as artifacts.

A picture comes as base64 or as a link that dies within the hour. A link that cannot be followed now leaves a job behind
whose handle holds the whole answer, so that what was paid for is fetched later and never bought again. Before it: the
adapter. After it: ``line``, ``fetching`` and settle.
"""

import asyncio
import base64
import binascii

from heddle.core import artifact, faults, identity, settle
from heddle.ports import blobs, provider
from heddle.providers import fetching, json_wire, transport
from heddle.providers.openai import line, operations, usage, wire

Object = dict[str, identity.JsonValue]
PICTURES_MAX = 64
_KEPT_KEYS = ("b64_json", "url")


class Pictures:
    """Make the calls of one endpoint whose operation is images_generate or images_edit."""

    def __init__(self, to: line.Line) -> None:
        self._line = to
        self._operation = to.options.operation

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt."""
        try:
            body = await self._body(request)
        except (json_wire.WireRefused, wire.TooLarge, blobs.BlobMissing, ValueError) as error:
            return self._line.not_sent(error)
        path = operations.PATHS[self._operation]
        reply = await self._line.transport.exchange(
            self._line.call(request, "POST", path, body=body, bytes_max=self._line.options.response_bytes_max)
        )
        if not isinstance(reply, transport.Reply):
            return self._line.loss(reply)
        if not 200 <= reply.status < 300:
            return self._line.refused(reply)
        answer = self._line.object_of(reply)
        if isinstance(answer, str):
            return self._line.fault(faults.Fault.BAD_OUTPUT, answer, billed_nano_usd=None)
        used = usage.read(answer)
        cost, heard = self._line.cost_nano_usd(request, used), self._line.told(reply.headers, used)
        data = answer.get("data")
        if not isinstance(data, list) or not 0 < len(data) <= PICTURES_MAX or not all(map(_has_picture, data)):
            message = f"the answer has no pictures, or more than {PICTURES_MAX}: {self._line.excerpt(reply.body)}"
            return self._line.fault(faults.Fault.BAD_OUTPUT, message, billed_nano_usd=cost, heard=heard)
        try:
            answer = await kept(answer, artifacts=request.artifacts)
        except blobs.BlobRefused as error:
            return self._line.outcomes.blob_refused(error, billed=cost)
        except OSError as error:
            return self._line.outcomes.not_stored(error)
        outcome = await self._fetched(answer, request, cost=cost)
        if isinstance(outcome, settle.StillRunning):
            handle = json_wire.write_json({"answer": answer, "cost_nano_usd": cost}).decode()
            return settle.Accepted(handle=handle, poll_after_s=outcome.poll_after_s, told=heard)
        if isinstance(outcome, settle.Completed):
            return settle.Completed(output=outcome.output, cost_nano_usd=cost, told=heard)
        return outcome

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Try again to fetch the pictures of an answer that is paid for."""
        try:
            stored = json_wire.parse_json(handle.encode())
            answer, cost = stored["answer"], stored["cost_nano_usd"]
        except (json_wire.WireRefused, KeyError, TypeError):
            return self._line.elsewhere(handle)
        return await self._fetched(answer, request, cost=cost)

    async def _body(self, request: provider.ProviderRequest) -> wire.Body:
        model = self._line.model(request)
        if self._operation is operations.Operation.IMAGES_EDIT:
            return await wire.form_body(request, model=model)
        body = await wire.json_body(request, {"model": model})
        return wire.Body(media_type="application/json", data=json_wire.write_json(body))

    async def _fetched(self, answer: Object, request: provider.ProviderRequest, *, cost: int | None) -> settle.Outcome:
        """Follow the links that are left in an answer, all at once."""
        data: list[Object] = answer["data"]
        links = [(number, each["url"]) for number, each in enumerate(data) if isinstance(each.get("url"), str)]
        found = await asyncio.gather(*(self._copied(url, request) for _, url in links))
        failed = next((each for each in found if isinstance(each, fetching.NotCopied)), None)
        if failed is not None and failed.is_passing:
            return self._line.again(f"the pictures are made and not here yet: {failed.message}")
        if failed is not None:
            return self._line.fault(failed.fault, failed.message, billed_nano_usd=cost)
        shown = list(data)
        for (number, _), stored in zip(links, found, strict=True):
            assert isinstance(stored, artifact.Artifact)
            rest = {key: value for key, value in data[number].items() if key != "url"}
            shown[number] = {"image": stored.as_json(), **rest}
        return settle.Completed(output={**answer, "data": shown}, cost_nano_usd=cost)

    async def _copied(self, url: str, request: provider.ProviderRequest) -> artifact.Artifact | fetching.NotCopied:
        return await fetching.copy(
            url,
            source=self._line.source(),
            connections=self._line.transport,
            artifacts=request.artifacts,
            timeout_s=self._line.timeout_s(request),
        )


async def kept(answer: Object, *, artifacts: provider.ArtifactReader) -> Object:
    """Give a copy of an answer with the media inside it stored: pictures in ``data``, made by a response's tools, and
    sound in a message. Raises BlobRefused or OSError.
    """
    changed = dict(answer)
    if isinstance(answer.get("data"), list):
        changed["data"] = [await _kept_under(each, "b64_json", "image", artifacts) for each in answer["data"]]
    if isinstance(answer.get("output"), list):
        changed["output"] = [
            await _kept_under(each, "result", "result", artifacts)
            if isinstance(each, dict) and each.get("type") == "image_generation_call"
            else each
            for each in answer["output"]
        ]
    if isinstance(answer.get("choices"), list):
        changed["choices"] = [await _kept_sound(each, artifacts) for each in answer["choices"]]
    return changed


async def _kept_sound(choice: identity.JsonValue, artifacts: provider.ArtifactReader) -> identity.JsonValue:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict) or not isinstance(message.get("audio"), dict):
        return choice
    sound = await _kept_under(message["audio"], "data", "data", artifacts)
    return {**choice, "message": {**message, "audio": sound}}


async def _kept_under(
    value: identity.JsonValue, key: str, name: str, artifacts: provider.ArtifactReader
) -> identity.JsonValue:
    """Store what stands in base64 under a key and put its reference under a name."""
    if not isinstance(value, dict) or not isinstance(value.get(key), str):
        return value
    try:
        data = base64.b64decode(value[key], validate=True)
    except (binascii.Error, ValueError):
        raise blobs.BlobRefused("media_type_refused", f"what stands at {key!r} is no base64") from None
    stored = await artifacts.write(data, media_type=None)
    return {name: stored.as_json(), **{rest: each for rest, each in value.items() if rest not in (key, name)}}


def _has_picture(value: identity.JsonValue) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(key), str) for key in _KEPT_KEYS)
