"""Serve the steps of this process from the artifact storage, its refusals turned into the faults a step fails with.

Before it: ``program.artifacts``, which steps read and write through. After it: ``store.blobs``.
"""

from heddle.core import artifact, faults
from heddle.ports import blobs as blobs_port
from heddle.program import errors
from heddle.store import blobs


class StepArtifacts:
    """Serve steps from the artifact storage, refusals turned into the faults that their step fails with."""

    def __init__(self, storage: blobs.FilesystemBlobs) -> None:
        self._storage = storage

    def read(self, *, tenant: str, reference: artifact.Artifact) -> bytes:
        """Read a whole artifact. Raises ArgumentsRefused when the tenant has none of this hash."""
        try:
            return b"".join(self._storage.read_sync(tenant=tenant, sha256=reference.sha256))
        except blobs_port.BlobMissing as error:
            message = f"the artifact {reference.id} is not in the storage of tenant {tenant}: {error}"
            raise errors.ArgumentsRefused(_fault(faults.Fault.REJECTED_PERMANENT, message)) from error

    def write(self, *, tenant: str, content: bytes, media_type: str | None) -> artifact.Artifact:
        """Store bytes. Raises OutputRefused when they are too large or not what they are said to be."""
        try:
            return self._storage.write_sync(tenant=tenant, chunks=(content,), claimed_media_type=media_type)
        except blobs_port.BlobRefused as error:
            kind = faults.Fault.TOO_LARGE if error.code.startswith("too_") else faults.Fault.BAD_OUTPUT
            raise errors.OutputRefused(_fault(kind, f"an artifact was not stored: {error}")) from error


def _fault(kind: faults.Fault, message: str) -> faults.StepFault:
    return faults.StepFault(fault=kind, message=message, where="artifacts")
