"""What the engine needs from the store to carry out what operators asked for, and to keep the house over weeks.

``EngineStore`` extends it. Each call is one step of something long, safe to make again after a crash: how far it has
come is kept in the transaction that did the work. Neighbours: ``ports.operators``, where operators ask.
"""

import dataclasses
import uuid
from typing import Protocol


class SchemaBehind(Exception):
    """Say that the store answers and lacks tables or columns of this release, and what to run."""


class ChunkFailed(Exception):
    """Say that a chunk of a bulk operation failed by itself: the store answers, and others' work goes on.

    ``id`` and ``action``: whose chunk; ``reason``: what went wrong, in one line. The cause has all of it.
    """

    def __init__(self, *, id: uuid.UUID, action: str, reason: str) -> None:  # noqa: A002 - the name of the column
        super().__init__(f"a chunk of the bulk operation {id} ({action}) failed: {reason}")
        self.id = id
        self.action = action
        self.reason = reason


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OperationStep:
    """Tell what one chunk of a bulk operation did. ``changed_in_all``: runs that all chunks by now have changed.
    ``stopped``: runs of which a worker was on a call when they were cancelled. ``is_over``: the operation came to its
    end with this chunk.
    """

    id: uuid.UUID
    action: str
    changed: int
    changed_in_all: int
    readied: int
    is_over: bool
    stopped: tuple[uuid.UUID, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptWeek:
    """Tell what keeps a week of history beyond its time."""

    week: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetentionReport:
    """Tell what retention did: tables that are gone, weeks kept beyond their time and why, rows pruned elsewhere."""

    dropped: tuple[str, ...] = ()
    kept: tuple[KeptWeek, ...] = ()
    pruned: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Tell which history of the database this is. ``is_new``: it differs from the one noted before, so the database was
    restored or failed over. ``is_paused``: nothing is sent until outcomes are known.
    """

    timeline: int
    is_new: bool
    is_paused: bool


class OperatingStore(Protocol):
    """Carry bulk operations on, remove old history, know a restored database."""

    async def operate(self, *, batch: int, cleanup_s: float) -> OperationStep | None:
        """Do one chunk of a bulk operation, of each tenant the oldest in turn; None when there is none to take.

        Raises ChunkFailed, StoreLost; either way nothing of the chunk was done. A chunk that takes too long is one that
        failed when it is as small as can be.
        """
        ...

    async def fail_operation(self, *, id: uuid.UUID, reason: str) -> bool:  # noqa: A002 - the name of the column
        """End a bulk operation that fails again and again; False when it is over already. What it did stays."""
        ...

    async def retain(self, *, runs_days: int, ledger_days: int, weeks_ahead: int) -> RetentionReport:
        """Remove history past its time, week by week, without blocking workers; 0 days: kept for ever.

        A week in which something lives is kept and named. What another session holds for longer than 200 ms is left
        for the next call.
        """
        ...

    async def note_lineage(self) -> Lineage | None:
        """Note which history this is; pause sending when it is a new one. None: this server does not tell."""
        ...

    async def end_restore(self, *, hold_s: float) -> bool:
        """Resume sending once nothing sent before the restore is in doubt, or after ``hold_s`` (0: never by itself)."""
        ...

    async def ensure_partitions(self, *, weeks_ahead: int) -> list[str]:
        """Make the partitions that are missing and name them. A second call makes none."""
        ...

    async def prune(self, *, idempotency_hours: int, limit: int) -> int:
        """Remove idempotency keys, inbox rows and strays past their time, in small batches; give how many went."""
        ...
