"""What the engine needs from the store to notice at once that a worker's process ended: the session of its heartbeat.

The operating system closes a dead process's connections, so a database session that ended is news of a death long
before the lease is. It is a sign and no proof (a proxy may cut a living worker off), which is why who watches waits a
little, declares by compare-and-set, and relies on the fence for the rest.
"""

import dataclasses
from typing import Any, Protocol


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Say when a session that is gone is a death: at every look of the last ``gone_s``, seconds.

    The watch is kept by the store and goes from one who looks to the next. It begins again where nobody looked for
    ``unwatched_s``, and with ``is_anew``, for who knows that the store was away. Without ``may_declare`` it only goes
    on.
    """

    gone_s: float
    unwatched_s: float
    is_anew: bool = False
    may_declare: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Tell by their ids whose session is gone and may come back, and who was declared dead at this look."""

    gone: frozenset[int] = frozenset()
    dead: frozenset[int] = frozenset()


class Sessions(Protocol):
    """Watch the sessions of living workers."""

    async def watch_sessions(self, *, is_leader: bool, rule: Rule) -> Seen:
        """Look whose session is gone, and declare dead whose was gone for long enough; to one that does not lead, only
        the leader is of interest.

        A worker without a session of its own (behind a pooler), and one whose session the store's own restart ended,
        is never seen gone: for those only silence counts. One that has come back under another session in the
        meantime is left alone. The leases of the dead are taken by the next ``reclaim``. Raises StoreLost.
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
