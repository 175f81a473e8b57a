"""What the engine needs from the store to deliver webhooks. See ``ports.store`` for what every call may raise.

An event that was taken is leased: nobody else takes it until the lease is over, and then somebody does, so a worker
that dies while it sends costs a repeated delivery and never a lost one. Times are the store's own.
"""

import dataclasses
import datetime
import uuid
from collections.abc import Sequence
from typing import Protocol

from heddle.core import outbox
from heddle.ports import records


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Receiver:
    """Name what stands or falls together: scheme, host and port of one tenant's address."""

    tenant_id: int
    address: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """Name one version of a tenant's signing secret; ``core.outbox.secret`` derives it."""

    version: int
    salt: uuid.UUID


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DueEvent:
    """Hold one event to be sent. ``tries``: those before this one. ``failures``: the receiver's in a row.

    ``body`` is None before the first try; ``view`` then shows the run, unless it is not stored any more. ``is_whole``:
    its output came along. ``submitted_as``: the first run of its chain, which the customer knows. ``is_disabled``: its
    address said that it is gone.
    """

    id: outbox.EventId
    fence: int
    receiver: Receiver
    url: str
    type: str
    at: datetime.datetime
    tries: int
    failures: int
    body: str | None
    view: records.RunView | None
    submitted_as: uuid.UUID
    is_whole: bool
    is_disabled: bool
    keys: tuple[SigningKey, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """Say what to take: at most ``want`` events, of them ``want_failing`` of receivers that failed last.

    ``receiver_max``: at most so many to one receiver, ``busy`` counted in; to one with ``failures_max`` failures, one.
    ``after``: where the last look ended (``Taken.next_after``).
    """

    want: int
    want_failing: int
    receiver_max: int
    failures_max: int
    busy: tuple[tuple[Receiver, int], ...]
    after: Receiver | None
    lease_s: float
    output_bytes_max: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TakenEvents:
    """Hold what was taken. ``next_after``: where to go on when not every receiver was looked at; ``next_in_s``: in how
    many seconds the next event is due, None when there is none.
    """

    events: tuple[DueEvent, ...] = ()
    next_after: Receiver | None = None
    next_in_s: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventWrite:
    """Write what became of one event. ``delay_s`` counts for ``due``. ``is_try``: False when nothing was sent."""

    id: outbox.EventId
    fence: int
    state: outbox.EventState
    delay_s: float
    is_try: bool
    status: int | None
    error: str | None
    body: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverWrite:
    """Write how a receiver is: failures in a row, and for how long nothing is sent to it."""

    receiver: Receiver
    failures: int
    hold_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Disabling:
    """Write that nothing more is sent to an address, and why."""

    tenant_id: int
    url: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OutboxCounts:
    """Count what is not delivered. ``overdue_s``: how long the event has been due that nobody took, of receivers that
    are not left alone; 0 when there is none.
    """

    due: int
    dead: int
    disabled: int
    overdue_s: float


class OutboxStore(Protocol):
    """Keep events until customers have them."""

    async def take_events(self, taking: Taking) -> TakenEvents:
        """Lease due events, from as many receivers as possible."""
        ...

    async def write_events(
        self, *, events: Sequence[EventWrite], receivers: Sequence[ReceiverWrite], disabled: Sequence[Disabling]
    ) -> int:
        """Write what became of events whose lease is still held; that one was delivered counts in any case.

        Gives how many were written.
        """
        ...

    async def count_events(self, *, limit: int) -> OutboxCounts:
        """Count, each kind to ``limit`` at most."""
        ...

    async def give_up_events(
        self, *, overdue_s: float, failures: int, reason: str, limit: int
    ) -> Sequence[outbox.EventId]:
        """End as dead, for a reason, events that were due so long without a try, of receivers with so many failures in
        a row that are still tried; a batch.
        """
        ...

    async def prune_events(self, *, days: int, limit: int) -> int:
        """Remove events that have been over for so long, what is known of receivers that are well, and disabled
        addresses that no event was for in so long; a batch of each.
        """
        ...
