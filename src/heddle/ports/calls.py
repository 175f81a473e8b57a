"""What a door that holds a request open needs from the store: admit runs of one model call, and learn of their ends.

Such a run is planned as it is admitted; its call is ready with the same commit. Every call may raise ``StoreLost``.
"""

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from heddle.core import identity
from heddle.ports import records


class QuotaFull(Exception):
    """Say that runs admitted before this one have used up its tenant's quota; nothing of it was kept. ``bound``: the
    key of the tenant's table in heddle.toml.
    """

    def __init__(self, bound: str) -> None:
        super().__init__(f"the tenant's {bound} is used up")
        self.bound = bound


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """Hold one run of one call (``run.call``) to be admitted, under an id made before."""

    run_id: uuid.UUID
    run: records.NewRun


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Let a worker take calls in the transaction that admits them, where nobody is ahead of them (docs/adr/0038).

    ``endpoints``: those it can send to, and whether a call there is paid for; ``lines``: the lanes in which calls of a
    model wait, of every class; ``places``: how many calls it takes at most.
    """

    worker: int
    claim_id: uuid.UUID
    endpoints: Mapping[int, bool]
    lines: Mapping[str, Sequence[int]]
    places: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TakenCall:
    """Hold the lease of a call that was taken as it was admitted. ``is_sending``: it is paid for, and its intent is
    durable. ``price_nano_usd``: what its attempt is reserved at.
    """

    run_id: uuid.UUID
    fence: int
    endpoint_id: int
    is_sending: bool
    price_nano_usd: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Tell what became of a batch of calls: one outcome each, in order, and which of them were taken at once.

    An outcome may be IdempotencyConflict, IdempotencyBusy or QuotaFull.
    """

    outcomes: Sequence[records.Submission | Exception]
    taken: Sequence[TakenCall] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndedCall:
    """Tell what came of a run of one call. ``output``: encoded, of one that succeeded. ``error``: the fault of one that
    did not. ``is_stuck``: it is not over; its outcome is not known, and nobody looks it up any more.
    """

    run_id: uuid.UUID
    state: str
    output: identity.JsonValue = None
    error: Mapping[str, Any] | None = None
    is_stuck: bool = False


class CallStore(Protocol):
    """Admit calls and show how they ended."""

    def new_run_id(self) -> uuid.UUID:
        """Make an id for a run, from the store's time."""
        ...

    async def submit_calls(self, *, calls: Sequence[NewCall], offer: Offer | None = None) -> Admitted:
        """Write runs of one call in one transaction, once per idempotency key, and lease what may go at once to the
        worker of ``offer``. Of a batch that passes a tenant's quota those with the lowest ids stand.

        After StoreLost it is not known whether they were written or leased: with a key, a second call tells; without
        one it writes them again.
        """
        ...

    async def ended_calls(self, *, run_ids: Sequence[uuid.UUID]) -> list[EndedCall]:
        """Give those of the runs that are over, or stuck."""
        ...
