"""What the rest needs from artifact storage: content-addressed bytes per tenant, streamed both ways.

Sizes, pixel counts and media types are checked while bytes stream in; what is refused leaves nothing behind. Access is
decided before this port is reached: a caller names the tenant, and a hash of another tenant's is simply not there.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from heddle.core import artifact


class BlobRefused(Exception):
    """Say why bytes were not stored. ``code``: too_large, too_many_pixels, media_type_refused, truncated, empty."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BlobMissing(LookupError):
    """Say that a tenant has no such artifact."""


class BlobUnread(OSError):
    """Say that the storage could not give the bytes of an artifact just now; it may the next time."""


class Blobs(Protocol):
    """Keep artifacts. Storing the same bytes twice gives the same reference and keeps one copy."""

    async def write(
        self, *, tenant: str, chunks: AsyncIterator[bytes], claimed_media_type: str | None
    ) -> artifact.Artifact:
        """Store a stream: hashed, sniffed and capped on the way, published by one atomic rename. Raises BlobRefused."""
        ...

    async def stat(self, *, tenant: str, sha256: str) -> artifact.Artifact:
        """Tell media type and size. Raises BlobMissing."""
        ...

    def read(self, *, tenant: str, sha256: str, chunk_bytes: int = 65_536) -> AsyncIterator[bytes]:
        """Stream the bytes. Raises BlobMissing at the first step."""
        ...

    async def check(self) -> str | None:
        """Tell what is wrong with the storage, None when nothing is."""
        ...

    async def is_empty(self) -> bool:
        """Tell whether no tenant has anything here: of a storage that should hold something, that it is not there."""
        ...
