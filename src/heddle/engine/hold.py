"""Remember, in memory, what this worker holds: leases and the tasks that act on them.

The store's leases are the truth; this is what the heartbeat compares them with, and how a stopped run's calls in
flight are found. Bounded by the places of the worker. Neighbours: claim adds, settle removes.
"""

import asyncio
import collections
import dataclasses
import uuid

from heddle.ports import store

Key = tuple[uuid.UUID, int]


@dataclasses.dataclass(slots=True)
class Held:
    """Hold one lease, the task that acts on it (None: waiting to be settled), and when it was taken (monotonic
    seconds). ``is_buying``: a paid call is on its way, whose answer is worth having whoever owns the step by then.
    """

    fence: int
    kind: str
    taken_at_s: float
    task: asyncio.Task[None] | None = None
    lane: tuple[str, str, int, str] | None = None
    is_buying: bool = False


class Hold:
    """Keep the leases of one worker. Used from the loop's thread only."""

    def __init__(self) -> None:
        self._leases: dict[Key, Held] = {}
        self._counts: collections.Counter[str] = collections.Counter()
        self._outlived: collections.Counter[str] = collections.Counter()

    def __len__(self) -> int:
        return len(self._leases)

    def count(self, kind: str) -> int:
        """Tell how many leases of a kind (activate, async, sync, send, poll) are held, and how many paid calls of it
        go on whose lease was lost.
        """
        return self._counts[kind] + self._outlived[kind]

    def add(self, claimed: store.Claimed, *, kind: str, now_s: float) -> Held:
        """Note a lease just taken."""
        before = self._leases.get((claimed.run_id, claimed.ordinal))
        if before is not None:
            # Taken from us, made ready and claimed by us again, before we noticed: its old place is free.
            self._counts[before.kind] -= 1
            self._outlive(before)
        held = Held(fence=claimed.fence, kind=kind, taken_at_s=now_s)
        self._leases[claimed.run_id, claimed.ordinal] = held
        self._counts[kind] += 1
        return held

    def drop(self, key: Key, fence: int) -> None:
        """Forget a lease that was settled or given back. A second call changes nothing."""
        held = self._leases.get(key)
        if held is not None and held.fence == fence:
            del self._leases[key]
            self._counts[held.kind] -= 1

    def get(self, key: Key) -> Held | None:
        """Give a lease, None when it is not held."""
        return self._leases.get(key)

    def has_run(self, run_id: uuid.UUID) -> bool:
        """Tell whether a call of a run is held."""
        return any(run == run_id and ordinal > 0 for run, ordinal in self._leases)

    def cancel_run(self, run_id: uuid.UUID, *, still_leased: set[tuple[uuid.UUID, int, int]]) -> int:
        """Cancel the tasks of a stopped run's calls whose lease (run, ordinal, fence) is gone; its activation and its
        cleanup calls go on. Give how many.
        """
        found = [
            held.task
            for (run, ordinal), held in self._leases.items()
            if run == run_id and ordinal > 0 and held.task and (run, ordinal, held.fence) not in still_leased
        ]
        for task in found:
            task.cancel()
        return len(found)

    def note_buying(self, key: Key, fence: int) -> None:
        """Note that a paid call is on its way to its provider."""
        held = self._leases.get(key)
        if held is not None and held.fence == fence:
            held.is_buying = True

    def cancel_unpaid(self) -> None:
        """Cancel what costs nothing to lose: this worker was declared dead.

        Paid calls on their way go on, each within its own timeout. Their answers come late, and late answers are
        booked and used; a call that is cut off can only be looked up, or bought again.
        """
        for held in self._leases.values():
            if held.task is not None and not held.is_buying:
                held.task.cancel()

    def clear(self) -> None:
        """Forget everything: the leases are somebody else's now. Paid calls on their way still take their places."""
        for held in self._leases.values():
            self._outlive(held)
        self._leases.clear()
        self._counts.clear()

    def _outlive(self, held: Held) -> None:
        """Count a paid call on its way for as long as it goes on without its lease."""
        if held.task is None or held.task.done() or not held.is_buying:
            return
        self._outlived[held.kind] += 1
        held.task.add_done_callback(lambda _: self._outlived.subtract((held.kind,)))

    def unknown_to(self, stored: set[tuple[uuid.UUID, int, int]], *, older_than_s: float) -> list[Held]:
        """List what is held here and no longer in the store: taken from us, or stopped with its run."""
        return [
            held
            for (run, ordinal), held in self._leases.items()
            if held.taken_at_s < older_than_s and (run, ordinal, held.fence) not in stored
        ]

    def refs(self) -> list[store.LeaseRef]:
        """List every lease held."""
        return [
            store.LeaseRef(run_id=run, ordinal=ordinal, fence=held.fence)
            for (run, ordinal), held in self._leases.items()
        ]
