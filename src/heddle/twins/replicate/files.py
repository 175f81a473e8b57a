"""Keep the files that clients upload as inputs: in memory, bounded, gone with the twin.

Before it: ``twin`` with a form. After it: a file's representation, as replicate 1.0.7 ``file.py`` reads it.
"""

import base64
import collections
import hashlib
import json
from dataclasses import dataclass
from typing import Final

from heddle.core import identity
from heddle.twins.kit import calls
from heddle.twins.replicate import predictions

FILES_MAX: Final = 200
BYTES_MAX: Final = 256 * 1024**2
KEPT_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One uploaded file."""

    id: str
    name: str
    media_type: str
    data: bytes
    metadata: identity.JsonValue
    at_s: float


class Files:
    """All uploads of one twin, at most 200 of 256 MiB together; of more, the oldest is forgotten."""

    def __init__(self) -> None:
        self._files: collections.OrderedDict[str, Stored] = collections.OrderedDict()

    def store(self, call: calls.Call) -> Stored:
        """Store the file of a form's field ``content``. Raises Refused."""
        parts = {part.name: part for part in call.form()}
        content = parts.get("content")
        if content is None:
            raise calls.Refused(422, "invalid_input", "- content is required\n", field="content")
        metadata = parts["metadata"].body if "metadata" in parts else b"{}"
        try:
            told = json.loads(metadata)
        except ValueError:
            raise calls.Refused(422, "invalid_input", "- metadata: Must be JSON\n", field="metadata") from None
        digest = hashlib.sha256(content.body + f"{len(self._files)}/{call.request_id}".encode()).digest()
        stored = Stored(
            id=base64.b32encode(digest)[:40].decode().lower(),
            name=content.filename or "file",
            media_type=content.media_type,
            data=content.body,
            metadata=told,
            at_s=call.at_s,
        )
        self._files[stored.id] = stored
        while len(self._files) > FILES_MAX or sum(len(each.data) for each in self._files.values()) > BYTES_MAX:
            self._files.popitem(last=False)
        return stored

    def find(self, file_id: str) -> Stored:
        """Find a file. Raises Refused."""
        stored = self._files.get(file_id)
        if stored is None:
            raise calls.Refused(404, "not_found", "The requested resource could not be found.")
        return stored

    def forget(self, file_id: str) -> None:
        """Forget a file. Raises Refused when there is none."""
        self.find(file_id)
        del self._files[file_id]

    def newest_first(self) -> list[Stored]:
        """List all files."""
        return list(reversed(self._files.values()))


def shown(stored: Stored, *, url: str) -> dict[str, identity.JsonValue]:
    """Show a file. url: the twin's own address."""
    sha256 = hashlib.sha256(stored.data).hexdigest()
    return {
        "id": stored.id,
        "name": stored.name,
        "content_type": stored.media_type,
        "size": len(stored.data),
        "etag": sha256[:32],
        "checksums": {"sha256": sha256, "md5": hashlib.md5(stored.data, usedforsecurity=False).hexdigest()},
        "metadata": stored.metadata,
        "created_at": predictions.instant(stored.at_s),
        "expires_at": predictions.instant(stored.at_s + KEPT_S),
        "urls": {"get": f"{url}/v1/files/{stored.id}"},
    }
