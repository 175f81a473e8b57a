"""Media by reference: what a step passes on instead of bytes.

An artifact belongs to one tenant; knowing a hash gives no access. The bytes live behind the blobs port.
"""

import dataclasses
import re
from typing import Any

_HASH = re.compile(r"[0-9a-f]{64}\Z")
MARK = "$artifact"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Refer to stored bytes: ``sha256`` in lower-case hex, a media type such as ``image/png``, a size in bytes."""

    sha256: str
    media_type: str
    size_bytes: int

    def __post_init__(self) -> None:
        if not _HASH.match(self.sha256):
            raise ValueError(f"an artifact's sha256 is 64 lower-case hex digits, not {self.sha256[:80]!r}")

    @property
    def id(self) -> str:
        """Give the public id, ``sha256:…``."""
        return f"sha256:{self.sha256}"

    def as_json(self) -> dict[str, Any]:
        """Give the form inside journals: marked, so that it is found in untyped values too."""
        return {MARK: self.id, "media_type": self.media_type, "size_bytes": self.size_bytes}

    def as_public_json(self) -> dict[str, Any]:
        """Give the form at the doors."""
        return {"id": self.id, "media_type": self.media_type, "size_bytes": self.size_bytes}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Artifact":
        """Read ``as_json``'s or ``as_public_json``'s form. Raises ValueError when it is neither."""
        identifier = value.get(MARK) or value.get("id")
        if not isinstance(identifier, str) or not identifier.startswith("sha256:"):
            raise ValueError("an artifact is named by an id of the form sha256:<64 hex digits>")
        try:
            size_bytes = int(value.get("size_bytes", 0))
        except (TypeError, OverflowError) as error:
            raise ValueError("an artifact's size_bytes is a whole number") from error
        return cls(
            sha256=identifier.removeprefix("sha256:"),
            media_type=str(value.get("media_type", "application/octet-stream")),
            size_bytes=size_bytes,
        )


def is_artifact(value: object) -> bool:
    """Tell whether a JSON value is the marked form of an artifact."""
    return isinstance(value, dict) and MARK in value
