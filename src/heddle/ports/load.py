"""What the engine needs from the store to tell how long work waits: workers report, the leader measures.

The measured load is read by the doors (admission) and by ``why``. Nothing here decides.
"""

import dataclasses
from collections.abc import Mapping
from typing import Protocol


@dataclasses.dataclass(slots=True, kw_only=True)
class LaneWork:
    """Add up what one worker did in one lane: steps taken, steps ended well, and for how long those were held (sum in
    seconds, and sum of squares).
    """

    kind: str
    name: str
    version: int
    priority: str
    taken: int = 0
    ended: int = 0
    held_s: float = 0.0
    held_s2: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Tell how much the leader found: lanes that are known, and steps in line in all of them."""

    lanes: int
    queued: int


class LoadStore(Protocol):
    """Keep the load of lanes."""

    async def post_load(self, *, work: Mapping[int, LaneWork]) -> None:
        """Add what a worker did since it last told, by lane. Raises StoreLost; a second call would count twice."""
        ...

    async def prune_quotas(self, *, limit: int) -> int:
        """Forget runs that are over in the list of open ones; looks at ``limit`` of them and gives how many went."""
        ...

    async def measure_load(self) -> Measured:
        """Measure every lane and write what is found; the leader's alone. A second call measures anew."""
        ...
