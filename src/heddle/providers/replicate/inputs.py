"""Send the artifacts of an input to Replicate: small ones inside the JSON, large ones by its files API.

An upload costs nothing and orders nothing, so when it fails the prediction was provably not ordered. This module
refuses to send a large file in another way and names the field. Before it: the adapter with a request. After it: the
transport. Sources: replicate 1.0.7 ``file.py`` (the multipart field ``content``, ``urls.get`` in the answer) and
https://sdks.replicate.com/resources/predictions/methods/create ("data URL when … <= 256kb"), read 2026-11-29.
"""

import dataclasses
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from heddle.core import artifact, faults, identity, settle
from heddle.ports import blobs, provider
from heddle.providers import json_wire, media, outcomes, transport
from heddle.providers.replicate import faults as replicate_faults
from heddle.providers.replicate import wire

INLINE_BYTES_MAX: Final = 256_000
# Of one input, so that a webhook, which repeats the input, stays below what our door reads (``request_bytes_max``).
INLINE_SUM_BYTES_MAX: Final = 512_000
_ANSWER_BYTES_MAX: Final = 64 * 1024


class NotOrdered(Exception):
    """Say that an input could not be brought to Replicate, so that nothing was ordered; ``outcome`` tells why."""

    def __init__(self, outcome: settle.Outcome) -> None:
        super().__init__("nothing was ordered")
        self.outcome = outcome


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Bring the artifacts of inputs to Replicate.

    ``is_uploading``: whether files above 256 kB go by the files API; when not, they are refused. ``headers``: our
    credential. ``words``: of an endpoint that is not guarded, since uploads order nothing.
    """

    connections: transport.Transport
    base_url: str
    headers: Mapping[str, str]
    is_uploading: bool
    words: outcomes.Outcomes

    async def send(
        self, request: provider.ProviderRequest, *, left_s: Callable[[], float]
    ) -> Mapping[str, identity.JsonValue]:
        """Give the input with every artifact replaced by a data URL or the address of its upload.

        Small ones go inside as long as they are not too many; without uploads all of them do. left_s: what is left of
        the attempt's time, in seconds. Raises NotOrdered.
        """

        inside_bytes = 0

        async def write(reference: artifact.Artifact, place: str) -> str:
            nonlocal inside_bytes
            data = await request.artifacts.read(reference)
            is_room = not self.is_uploading or inside_bytes + len(data) <= INLINE_SUM_BYTES_MAX
            if len(data) <= INLINE_BYTES_MAX and is_room:
                inside_bytes += len(data)
                return media.data_url(reference.media_type, data)
            if not self.is_uploading:
                raise media.MediaRefused(
                    f"{place} is an artifact of {len(data)} bytes; Replicate takes at most {INLINE_BYTES_MAX} inside a "
                    "request, and `upload` is off"
                )
            return await self._upload(reference, data, place, left_s())

        try:
            sent = await media.sent(request.input, write=write)
        except (media.MediaRefused, blobs.BlobMissing) as error:
            raise NotOrdered(self.words.unsent(error)) from None
        assert isinstance(sent, dict)
        return sent

    async def _upload(self, reference: artifact.Artifact, data: bytes, place: str, timeout_s: float) -> str:
        boundary = uuid.uuid4().hex
        kind = reference.media_type if reference.media_type.isascii() else "application/octet-stream"
        reply = await self.connections.exchange(
            transport.Call(
                method="POST",
                url=f"{self.base_url}/v1/files",
                headers={**self.headers, "Content-Type": f"multipart/form-data; boundary={boundary}"},
                body=wire.multipart(
                    field="content", filename=reference.sha256, media_type=kind, data=data, boundary=boundary
                ),
                timeout_s=timeout_s,
                is_repeatable=True,
                reply_bytes_max=_ANSWER_BYTES_MAX,
            )
        )
        told = f"nothing was ordered: the upload of {place}"
        if not isinstance(reply, transport.Reply):
            lost = dataclasses.replace(reply, message=f"{told}: {reply.message}")
            raise NotOrdered(self.words.loss(lost))
        if not 200 <= reply.status < 300:
            raise NotOrdered(
                self.words.judged(
                    replicate_faults.fault_of(reply.status),
                    f"{told} answered {reply.status}: {self.words.excerpt(reply.body)}",
                    headers=reply.headers,
                    retry_after_s=wire.resets_in_s(reply.body),
                )
            )
        try:
            return wire.read_upload_url(reply.body)
        except json_wire.AnswerRefused as error:
            message = f"{told} answered {reply.status}, but {error}: {self.words.excerpt(reply.body)}"
            raise NotOrdered(self.words.fault(faults.Fault.REJECTED_TRANSIENT, message)) from None
