"""The artifacts of one tenant as an adapter sees them, over real files."""

from collections.abc import AsyncIterator

from heddle.core import artifact
from heddle.ports import blobs


class TenantArtifacts:
    """Binds a tenant to a store; counts what was read."""

    def __init__(self, store: blobs.Blobs, *, tenant: str = "acme") -> None:
        self._store = store
        self._tenant = tenant

    async def read(self, reference: artifact.Artifact) -> bytes:
        return b"".join([chunk async for chunk in self._store.read(tenant=self._tenant, sha256=reference.sha256)])

    async def write(self, chunks: AsyncIterator[bytes] | bytes, *, media_type: str | None) -> artifact.Artifact:
        stream = _once(chunks) if isinstance(chunks, bytes) else chunks
        return await self._store.write(tenant=self._tenant, chunks=stream, claimed_media_type=media_type)


async def _once(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk
