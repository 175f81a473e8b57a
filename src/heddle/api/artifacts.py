"""Take artifacts in and hand them out, as streams: no request holds a whole file in memory.

Sizes are refused by their announced length before a byte is read, and by the storage while bytes arrive. A body that
ends early is refused and leaves nothing behind. Access is by ownership: knowing a hash gives none.
"""

from collections.abc import Iterator
from typing import Any

import django.http
import ninja
from django.core.files import uploadedfile, uploadhandler
from django.http import multipartparser

from heddle import client
from heddle.api import auth, bodies, forms, problems, render
from heddle.api.room import room
from heddle.client import media
from heddle.core import artifact
from heddle.ports import blobs
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

router = ninja.Router(tags=["artifacts"])

MULTIPART_OVERHEAD_BYTES = 65_536
"""What boundaries and part headers may add to the size of the file itself."""
FILE_FIELD = "file"
# What clients send when nobody told them a type; none of them says anything about the bytes.
_UNCLAIMED = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded"})

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes under their own media type, or multipart/form-data with one part named file.",
        "content": {
            "*/*": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {FILE_FIELD: {"type": "string", "format": "binary"}}}
            },
        },
    }
}


@router.post(
    "/artifacts",
    auth=auth.writes,
    summary="Upload an artifact",
    openapi_extra=_BODY,
    response={201: forms.ArtifactView},
)
def upload(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """Store the bytes of the body, raw or as the multipart part `file`; the same bytes give the same id."""
    here = room()
    tenant = auth.tenant_of(request)
    bytes_max = here.heddle.limits.artifact_bytes_max
    is_multipart = (request.content_type or "").lower() == "multipart/form-data"
    _check_length(request, bytes_max=bytes_max + (MULTIPART_OVERHEAD_BYTES if is_multipart else 0))
    try:
        if is_multipart:
            reference = _upload_part(request, here.heddle, tenant)
        else:
            claimed = _claimed(request.content_type)
            reference = here.heddle.upload(_Body(request).chunks(), media_type=claimed, tenant=tenant)
    except blobs.BlobRefused as error:
        recorder.event(events.ARTIFACT_REFUSED, reason=str(error), size_bytes=bodies.content_length(request))
        raise
    recorder.event(events.ARTIFACT_STORED, size_bytes=reference.size_bytes)
    recorder.count(metrics.ARTIFACTS, 1, direction="stored")
    recorder.count(metrics.ARTIFACT_BYTES, reference.size_bytes, direction="stored")
    response = render.answer(reference.as_public_json(), status=201)
    response["Location"] = f"{request.path.rstrip('/')}/{reference.id}"
    return response


@router.get("/artifacts/{artifact_id}", auth=auth.reads, summary="Download an artifact")
def download(request: django.http.HttpRequest, artifact_id: str) -> django.http.HttpResponseBase:
    """Stream an artifact; it never changes under its id and may be kept for ever."""
    heddle, tenant = room().heddle, auth.tenant_of(request)
    reference = heddle.find_artifact(artifact_id, tenant=tenant)
    if reference is None:
        raise problems.Refusal("not_found", "There is no such artifact.")
    headers = media.headers(reference)
    if media.is_same(reference, request.headers.get("If-None-Match")):
        return django.http.HttpResponse(status=304, headers={name: headers[name] for name in ("ETag", "Cache-Control")})
    stream = heddle.read(reference, tenant=tenant)
    # The first piece is read here, so that bytes that are gone are a 404 and not a broken 200.
    first = next(stream, b"")
    recorder.count(metrics.ARTIFACTS, 1, direction="served")
    recorder.count(metrics.ARTIFACT_BYTES, reference.size_bytes, direction="served")
    return django.http.StreamingHttpResponse(_with_first(first, stream), headers=headers)


class _Body:
    """Read a request's body piece by piece and notice when it ends before its announced length."""

    def __init__(self, request: django.http.HttpRequest) -> None:
        self._request = request
        self._announced = bodies.content_length(request) or 0
        self._seen = 0

    def read(self, size: int = bodies.CHUNK_BYTES) -> bytes:
        """Give the next piece, empty at the announced end. Raises BlobRefused ``truncated`` before it."""
        piece = self._request.read(min(size, bodies.CHUNK_BYTES) if size > 0 else bodies.CHUNK_BYTES)
        self._seen += len(piece)
        if not piece and self._seen < self._announced:
            raise blobs.BlobRefused(
                "truncated", f"the upload ended after {self._seen} of {self._announced} bytes; send it again"
            )
        return bytes(piece)

    def chunks(self) -> Iterator[bytes]:
        """Yield the body."""
        while piece := self.read():
            yield piece


def _check_length(request: django.http.HttpRequest, *, bytes_max: int) -> None:
    length = bodies.content_length(request)
    if length is None:
        raise problems.Refusal("length_required", "An upload needs a Content-Length.")
    if length > bytes_max:
        raise problems.Refusal("too_large", f"The upload has {length} bytes; at most {bytes_max} are taken.")


def _upload_part(request: django.http.HttpRequest, heddle: client.Heddle, tenant: Any) -> artifact.Artifact:
    """Store the part named ``file``. Django spools it to a temporary file, which goes away with the request."""
    handlers = [uploadhandler.TemporaryFileUploadHandler(request)]
    try:
        # The stubs ask for a whole file; the parser needs nothing of it but ``read``.
        parser = multipartparser.MultiPartParser(request.META, _Body(request), handlers)  # type: ignore[arg-type]
        _, files = parser.parse()
    except multipartparser.MultiPartParserError as error:
        raise problems.Refusal("malformed_request", f"The multipart body cannot be read: {error}"[:300]) from error
    parts = [(name, each) for name in files for each in files.getlist(name)]
    try:
        if len(parts) != 1 or parts[0][0] != FILE_FIELD:
            message = f"must be the one file of the upload; the body has {len(parts)} file parts"
            raise problems.invalid([client.Problem(field=FILE_FIELD, message=message)])
        part = parts[0][1]
        assert isinstance(part, uploadedfile.UploadedFile)
        claimed = _claimed(part.content_type)
        return heddle.upload(part.chunks(bodies.CHUNK_BYTES), media_type=claimed, tenant=tenant)
    finally:
        for _, each in parts:
            each.close()


def _claimed(content_type: str | None) -> str | None:
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return None if media_type in _UNCLAIMED else media_type


def _with_first(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
