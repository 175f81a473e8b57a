"""What the engine needs to tell customers something: one letter at a time to an address that a stranger chose.

A courier signs, sends once, follows no redirect, reads no more of the answer than its head, and reaches nothing but the
public internet unless the installation allows otherwise. It decides nothing: ``core.policy.delivery`` does.
"""

import dataclasses
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """Hold one try. ``secrets``: one signature is made with each, the newest first. ``timeout_s`` bounds all of it."""

    url: str
    message_id: str
    body: bytes
    secrets: tuple[str, ...] = dataclasses.field(repr=False)
    timeout_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Say what the receiver answered. ``retry_after_s``: the pause it asks for, None for none."""

    status: int
    retry_after_s: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Say that no answer came. ``reason`` is a sentence for the customer that tells nothing about our network."""

    reason: str


class Courier(Protocol):
    """Carry letters."""

    async def send(self, letter: Letter) -> Answered | Unanswered:
        """Try once. Never raises for what the outside does; cancelling closes the connection."""
        ...

    async def close(self) -> None:
        """Close what is open. A later call opens anew."""
        ...
