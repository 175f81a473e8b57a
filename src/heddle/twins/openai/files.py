"""Keep the files that clients upload, beside the ledger, so that they survive the twin's own death.

Files cost nothing and no fault touches them but those of questions. Before it: the twin's routes. After it:
``batches``, which reads them.
"""

import hashlib
import json
import pathlib
import re
from dataclasses import asdict, dataclass
from typing import Final

from heddle.core import identity

FILES_MAX: Final = 1_000
FILE_BYTES_MAX: Final = 64 * 1024**2
_ID: Final = re.compile(r"file-[0-9a-f]{24}\Z")


class FilesFull(RuntimeError):
    """Say that as many files are kept as may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file, without its bytes."""

    id: str
    filename: str
    purpose: str
    size_bytes: int
    at_s: float

    def shown(self) -> dict[str, identity.JsonValue]:
        """Show the file as the API does."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size_bytes,
            "created_at": int(self.at_s),
            "expires_at": None,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class Files:
    """All files of one twin, in one folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes, *, filename: str, purpose: str, at_s: float) -> File:
        """Keep a file. Two uploads of the same bytes make two files. Raises FilesFull or OSError."""
        count = len(list(self._folder.glob("*.json")))
        if count >= FILES_MAX:
            raise FilesFull(f"{FILES_MAX} files are kept; delete some.")
        name = hashlib.sha256(f"{count}/{at_s}/{filename}/".encode() + data).hexdigest()[:24]
        file = File(id=f"file-{name}", filename=filename, purpose=purpose, size_bytes=len(data), at_s=at_s)
        (self._folder / f"{file.id}.bin").write_bytes(data)
        draft = self._folder / f"{file.id}.new"
        draft.write_text(json.dumps(asdict(file)))
        draft.replace(self._folder / f"{file.id}.json")
        return file

    def find(self, file_id: str) -> File | None:
        """Find a file by its id."""
        path = self._folder / f"{file_id}.json"
        if not _ID.match(file_id) or not path.is_file():
            return None
        return File(**json.loads(path.read_text()))

    def read(self, file: File) -> bytes:
        """Give a file's bytes."""
        return (self._folder / f"{file.id}.bin").read_bytes()

    def newest_first(self) -> list[File]:
        """List the files."""
        found = [File(**json.loads(path.read_text())) for path in self._folder.glob("*.json")]
        return sorted(found, key=lambda file: (file.at_s, file.id), reverse=True)

    def delete(self, file: File) -> None:
        """Forget a file."""
        (self._folder / f"{file.id}.json").unlink(missing_ok=True)
        (self._folder / f"{file.id}.bin").unlink(missing_ok=True)
