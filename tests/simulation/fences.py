"""Watch, from outside of the statements, that a lease ends only by a write that names its fence."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from heddle.testing.memory import store as memory_store
from heddle.testing.memory.tables import Key, Rows

# The statements that may end leases, and where they name runs and ordinals (a number: that of all their leases).
NAMED_BY: dict[str, tuple[str, str | int]] = {
    "settle": ("run_ids", "ordinals"),
    "settle_results": ("run_ids", "ordinals"),
    "settle_call": ("run_ids", 1),
    "plan": ("run_ids", 0),
    "unplan": ("run_ids", 0),
    "end_functions": ("run_ids", 0),
    "reclaim": ("runs", "ordinals"),
    "close_attempt": ("runs", "ordinals"),
    "look_again": ("runs", "ordinals"),
}


class FenceWatch:
    """Stand before the statements of one store. ``stale`` lists what a write under an old fence has ended."""

    def __init__(self, memory: memory_store.Memory) -> None:
        self.stale: list[str] = []
        self._tables = memory.tables
        self._rows: Callable[[str, Mapping[str, Any]], Rows] = memory.rows
        memory.rows = self.rows  # type: ignore[method-assign]

    def rows(self, name: str, parameters: Mapping[str, Any]) -> Rows:
        """Run one statement and look which leases it ended."""
        named = _named(name, parameters)
        before = {key: lease.fence for key in named if (lease := self._tables.leases.get(key)) is not None}
        found = self._rows(name, parameters)
        for key, fence in before.items():
            lease = self._tables.leases.get(key)
            if (lease is None or lease.fence != fence) and fence not in named[key]:
                told = ", ".join(map(str, sorted(named[key])))
                self.stale.append(f"{name} under fence {told} ended the lease {fence} of {key[0]}.{key[1]}")
        return found


def _named(name: str, parameters: Mapping[str, Any]) -> dict[Key, set[int]]:
    """Give the fences that a statement names, by step."""
    if name not in NAMED_BY:
        return {}
    runs_name, place = NAMED_BY[name]
    runs: list[uuid.UUID] = parameters[runs_name]
    ordinals = parameters[place] if isinstance(place, str) else [place] * len(runs)
    found: dict[Key, set[int]] = {}
    for run_id, ordinal, fence in zip(runs, ordinals, parameters["fences"], strict=True):
        found.setdefault((run_id, ordinal), set()).add(fence)
    return found
