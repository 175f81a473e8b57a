"""What the engine needs from the store to notice at once that a worker's process ended: the session of its heartbeat.

The operating system closes a dead process's connections, so a database session that ended is news of a death long
before the lease is. It is a sign and no proof (a proxy may cut a living worker off), which is why who watches waits a
little, declares by compare-and-set, and relies on the fence for the rest.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Name the session of a worker's last heartbeat. ``name`` is the store's own: it never comes again."""

    worker: int
    name: str


class Sessions(Protocol):
    """Tell whose session is gone, and declare them dead."""

    async def gone_sessions(self, *, is_leader: bool) -> list[Session]:
        """List living workers whose session is gone; to one that does not lead, only the leader is of interest.

        A worker without a session of its own (behind a pooler), and one whose session the store's own restart ended,
        is never listed: for those only silence counts. Raises StoreLost.
        """
        ...

    async def declare_dead(self, *, sessions: Sequence[Session]) -> int:
        """Declare dead those who still are alive, still have this session, and whose session still is gone.

        Gives how many; a second call gives 0. Their leases are taken by the next ``reclaim``. Raises StoreLost.
        """
        ...


class Pulse(Protocol):
    """Tell that a worker lives, from a thread of its own on a connection of its own."""

    def beat(self, *, worker: int, detail: dict[str, Any]) -> bool:
        """Beat once; False when somebody has declared this worker dead. Raises StoreLost."""
        ...

    def is_lost(self) -> bool:
        """Tell whether the session of the last beat has ended since; looks at the connection and sends nothing."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
