"""Set up a small house for tests of the doors: fake doors, artifacts in memory, two workflows, two tenants."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic

from heddle import client
from heddle.client import keys, needs
from heddle.config import settings
from heddle.core import artifact
from heddle.ports import blobs, provider
from heddle.program import errors
from tests.unit.api import fake_doors

SECRET = "a secret of the tests"
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64


class ShootInput(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    photo: Any
    scenes: list[str]
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Stand for a registered workflow whose input is a ``ShootInput``."""

    name: str
    version: int = 1
    input_schema: Mapping[str, Any] = dataclasses.field(default_factory=ShootInput.model_json_schema)
    output_schema: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"type": "array"})

    def validate_input(self, raw: dict[str, Any]) -> dict[str, Any]:
        try:
            parsed = ShootInput.model_validate(raw).model_dump()
        except pydantic.ValidationError as error:
            found = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
            raise errors.InputRefused(self.name, found) from error
        photo = parsed["photo"]
        if isinstance(photo, dict) and "id" in photo:
            parsed["photo"] = artifact.Artifact.from_json(photo).as_json()
        return parsed


WORKFLOWS = {"product_shoot": Workflow(name="product_shoot"), "approve_shoot": Workflow(name="approve_shoot")}


def _workflow(name: str, version: int | None) -> Workflow:
    if name not in WORKFLOWS or version not in (None, 1):
        raise errors.NotRegistered(name)
    return WORKFLOWS[name]


class MemoryMedia:
    """Keep artifacts in memory; PNG is told by its first bytes."""

    def __init__(self, *, bytes_max: int = 4_096) -> None:
        self.bytes_max = bytes_max
        self.kept: dict[tuple[str, str], bytes] = {}

    def write_sync(self, *, tenant: str, chunks: Iterator[bytes], claimed_media_type: str | None) -> artifact.Artifact:
        data = b""
        for chunk in chunks:
            data += chunk
            if len(data) > self.bytes_max:
                raise blobs.BlobRefused("too_large", f"the artifact is over {self.bytes_max} bytes")
        if not data:
            raise blobs.BlobRefused("empty", "the artifact has no bytes")
        is_png = data.startswith(PNG[:8])
        if claimed_media_type == "image/png" and not is_png:
            raise blobs.BlobRefused("media_type_refused", "the bytes are not image/png; name what they are")
        media_type = "image/png" if is_png else claimed_media_type or "application/octet-stream"
        sha256 = hashlib.sha256(data).hexdigest()
        self.kept[tenant, sha256] = data
        return artifact.Artifact(sha256=sha256, media_type=media_type, size_bytes=len(data))

    def read_sync(self, *, tenant: str, sha256: str, chunk_bytes: int = 65_536) -> Iterator[bytes]:
        if (tenant, sha256) not in self.kept:
            raise blobs.BlobMissing(sha256)
        yield self.kept[tenant, sha256]


def verify_callback(*, endpoint: str, headers: Mapping[str, str], body: bytes, now_s: float) -> provider.CallbackEvent:
    if endpoint != "paint":
        raise LookupError(endpoint)
    if headers.get("webhook-signature") != "good":
        raise provider.CallbackRefused("the signature does not fit the body")
    return provider.CallbackEvent(
        event_id=headers.get("webhook-id", hashlib.sha256(body).hexdigest()),
        is_verified=headers.get("x-unsigned") is None,
        handle=headers.get("x-job"),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Hold the parts a test looks at."""

    doors: fake_doors.FakeDoors
    media: MemoryMedia
    heddle: client.Heddle
    checks: dict[str, str | None]
    key: str
    foreign_key: str


def build(**changes: Any) -> House:
    """Build a house with the settings changed."""
    limits = settings.Settings(**{"secret_key": SECRET, "artifact_bytes_max": 4_096, "web_threads": 2, **changes})
    doors = fake_doors.FakeDoors()
    media = MemoryMedia(bytes_max=limits.artifact_bytes_max)
    checks: dict[str, str | None] = {"database": None, "artifacts": None}
    heddle = client.Heddle(
        doors=doors,
        media=media,
        programs=needs.Programs(workflows=lambda: list(WORKFLOWS.values()), workflow=_workflow, models=list),
        limits=limits,
        verify_callback=verify_callback,
        checks={name: lambda name=name: checks[name] for name in checks},  # type: ignore[misc]
        now=lambda: doors.now,
        pause=lambda delay_s: None,
    )
    key, _ = heddle.create_key(tenant="acme", name="tests")
    foreign_key, _ = heddle.create_key(tenant="globex", name="tests")
    assert keys.is_key(key)
    return House(doors=doors, media=media, heddle=heddle, checks=checks, key=key, foreign_key=foreign_key)
