"""State what the client needs besides the ports: registered code, artifacts without a loop, verified callbacks.

Protocols only. The wiring hands in what fulfils them.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol

from heddle.core import artifact, plan
from heddle.ports import provider, spending

Quotes = Callable[[str], spending.WorkflowCost | None]
"""Tell what runs of a workflow cost lately, None when nothing is known; answers from memory."""

StatedUse = Callable[[str], tuple[int | None, int | None]]
"""Tell the tokens and the images that a model's declaration says each of its calls uses, None where it says nothing."""


class Named(Protocol):
    """Stand for a decorated workflow: whatever has its name and version."""

    @property
    def name(self) -> str:
        """Give the registered name."""
        ...

    @property
    def version(self) -> int:
        """Give the version."""
        ...


class Workflow(Protocol):
    """Show one registered workflow."""

    @property
    def name(self) -> str:
        """Give the registered name."""
        ...

    @property
    def version(self) -> int:
        """Give the version."""
        ...

    @property
    def input_schema(self) -> Mapping[str, Any]:
        """Give the JSON Schema of the input."""
        ...

    @property
    def output_schema(self) -> Mapping[str, Any]:
        """Give the JSON Schema of the result."""
        ...

    def validate_input(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Give the encoded input. Raises an error with ``errors``, pairs of field path and message."""
        ...


class DirectCall(Protocol):
    """Show one model or step that is started by itself."""

    @property
    def name(self) -> str:
        """Give the name that stands in the place of a workflow's."""
        ...

    @property
    def version(self) -> int:
        """Give the version."""
        ...

    def validate_input(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Give the encoded input. Raises an error with ``errors``, pairs of field path and message."""
        ...

    def planned(self, encoded: dict[str, Any]) -> plan.PlannedCall:
        """Plan the call."""
        ...


class Model(Protocol):
    """Show one model that code declares."""

    @property
    def name(self) -> str:
        """Give the logical name."""
        ...

    @property
    def input_schema(self) -> Mapping[str, Any] | None:
        """Give the JSON Schema of the input, None when the code declares none."""
        ...

    @property
    def output_schema(self) -> Mapping[str, Any] | None:
        """Give the JSON Schema of the output, None when the code declares none."""
        ...


class Media(Protocol):
    """Keep artifacts for synchronous callers; the promises are those of ``ports.blobs``."""

    def write_sync(self, *, tenant: str, chunks: Iterator[bytes], claimed_media_type: str | None) -> artifact.Artifact:
        """Store a stream. Raises ``ports.blobs.BlobRefused``."""
        ...

    def read_sync(self, *, tenant: str, sha256: str, chunk_bytes: int = 65_536) -> Iterator[bytes]:
        """Stream the bytes. Raises ``ports.blobs.BlobMissing`` at the first step."""
        ...


class CallbackVerifier(Protocol):
    """Verify callbacks with the adapter of the endpoint they are for."""

    def __call__(
        self, *, endpoint: str, headers: Mapping[str, str], body: bytes, now_s: float
    ) -> provider.CallbackEvent:
        """Verify a raw body.

        Raises LookupError for an unknown endpoint, ``ports.provider.CallbackRefused`` otherwise.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Hand the registry of code over as functions: all workflows, one workflow by name, all models, and the call that a
    name stands for when it is none of a workflow (LookupError: it is none of anything).
    """

    workflows: Callable[[], Collection[Workflow]]
    workflow: Callable[[str, int | None], Workflow]
    models: Callable[[], Collection[Model]]
    direct: Callable[[str], DirectCall | None] = lambda _name: None
