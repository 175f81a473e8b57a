"""Give an adapter the artifacts of one tenant, and note in the store what it writes."""

from collections.abc import AsyncIterator

from heddle.core import artifact
from heddle.engine import parts as parts_module
from heddle.engine import supervise
from heddle.ports import blobs as blobs_port


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content


class TenantArtifacts:
    """Read and write artifacts of one tenant (``ports.provider.ArtifactReader``)."""

    def __init__(self, parts: parts_module.Parts, *, tenant_id: int, tenant: str) -> None:
        self._parts = parts
        self._tenant_id = tenant_id
        self._tenant = tenant

    async def read(self, reference: artifact.Artifact) -> bytes:
        """Read a whole artifact. Raises BlobMissing or BlobUnread."""
        try:
            chunks = [chunk async for chunk in self._parts.blobs.read(tenant=self._tenant, sha256=reference.sha256)]
        except OSError as error:
            raise blobs_port.BlobUnread(f"the artifact storage could not be read: {error}") from error
        return b"".join(chunks)

    async def write(self, chunks: AsyncIterator[bytes] | bytes, *, media_type: str | None) -> artifact.Artifact:
        """Store bytes and record them as the tenant's."""
        stream = _one(chunks) if isinstance(chunks, bytes) else chunks
        reference = await self._parts.blobs.write(tenant=self._tenant, chunks=stream, claimed_media_type=media_type)
        await record(self._parts, self._tenant_id, reference)
        return reference


async def record(parts: parts_module.Parts, tenant_id: int, reference: artifact.Artifact) -> None:
    """Note that a tenant owns an artifact, before any step refers to it.

    A store that is away is waited for, as long as the attempt may take: what was made must not be lost with it.
    """
    await supervise.until_stored(
        parts,
        "execute",
        lambda: parts.store.record_artifact(
            tenant_id=tenant_id,
            sha256=reference.sha256,
            media_type=reference.media_type,
            size_bytes=reference.size_bytes,
        ),
    )
