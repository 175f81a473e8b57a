"""What the leader needs from the store about scopes: to keep their books, to see what each did, to write what follows.

All calls may raise ``StoreLost``, and are safe to make again. Part of ``ports.store.EngineStore``.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScopeCounters:
    """Hold what a scope did, counted since it exists; what is not folded yet is in.

    ``concurrency``: its slots now, None for no limit; ``floor`` and ``ceiling`` are given when they adapt.
    ``is_full``: its last claim left nothing free. ``finished``: calls that succeeded, ``finished_s`` their time
    together. ``first_tries`` and ``retries``: sent.
    """

    id: int
    name: str
    concurrency: int | None
    floor: int | None
    ceiling: int | None
    in_flight: int
    is_full: bool
    finished: int
    finished_s: float
    throttled: int
    first_tries: int
    retries: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScopeOrder:
    """Say how many slots a scope has (None: as configured) and up to which count its retries may go."""

    id: int
    concurrency: int | None
    retries_upto: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SlotDrift:
    """Tell that a scope's count of slots was wrong; the bar is that this never happens."""

    scope: str
    was: int
    is_now: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Hold what the gauges show.

    ``ready``: by lane (count, oldest age in seconds). ``leases``: by purpose. ``slots`` and ``breakers``: by endpoint;
    a breaker is that of the worst of its scopes. ``unknown_attempts``: those whose step waits for it to be known.
    ``oldest_transaction_s``: of the sessions in this database that the role may see, without the asking one.
    """

    ready: dict[int, tuple[int, float]]
    leases: dict[str, int]
    slots: dict[str, int]
    late_timers: int
    workers_alive: int
    unknown_attempts: int
    breakers: dict[str, str]
    oldest_transaction_s: float
    partitions_ahead_s: float


class GovernStore(Protocol):
    """Show what scopes did and take what follows; keep their books when no claim does."""

    async def fold_idle(self) -> None:
        """Fold limit deltas nobody has claimed over."""
        ...

    async def recount(self) -> list[SlotDrift]:
        """Recount slots and correct drift."""
        ...

    async def scope_counters(self) -> list[ScopeCounters]:
        """Give the counters of every scope that an endpoint lists."""
        ...

    async def govern(self, *, orders: Sequence[ScopeOrder]) -> int:
        """Write orders to the scopes that no claim holds at this moment; give how many were written."""
        ...
