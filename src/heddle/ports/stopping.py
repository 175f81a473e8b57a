"""What the engine needs from the store to bring the provider jobs of stopped calls to their end.

A cancelled step is over for its run at once; its slot is held until the job behind it is known to be over. See
``ports.store`` for what every call may raise.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from heddle.ports import leases


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """Tell what was newly charged at an endpoint, and how many of these charges are estimates."""

    endpoint_id: int
    amount_nano_usd: int
    estimates: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LookAgain:
    """Ask for another look at a job in ``delay_s`` seconds; ``handle`` is new when the look found one."""

    lease: leases.LeaseRef
    delay_s: float
    handle: str | None = None


class StoppedJobs(Protocol):
    """Follow jobs whose calls were cancelled."""

    async def close_cancelled(
        self, *, closings: Sequence[tuple[leases.LeaseRef, str, int | None]]
    ) -> Sequence[Charged]:
        """Close cancelled steps whose provider job is known to be over: (lease, attempt state, cost), and tell what was
        charged. A job that is done at a cost nobody told costs what was reserved.
        """
        ...

    async def look_again(self, *, looks: Sequence[LookAgain]) -> None:
        """Let go of the leases and look later; slots stay taken. A second call changes nothing."""
        ...
