"""What the engine needs from the store to know which timers are due, and to move one that cannot be carried out.

See ``ports.store`` for what every call may raise, and for ``carry_out`` beside these.
"""

import uuid
from typing import NamedTuple, Protocol


class TimerRef(NamedTuple):
    """Name one timer: what a call, or the run itself (ordinal 0), waits for; ``kind`` as in ``heddle_timer``."""

    run_id: uuid.UUID
    ordinal: int
    kind: str


class TimerStore(Protocol):
    """Look at timers, and put one off."""

    async def due_timers(self, *, late_s: float, limit: int) -> list[TimerRef]:
        """Give timers that are due by more than ``late_s`` seconds, the earliest first, at most ``limit``."""
        ...

    async def next_timer_s(self) -> float | None:
        """Tell in how many seconds the next timer is due, below 0 when it has been; None when none is set."""
        ...

    async def put_off(self, *, timer: TimerRef, delay_s: float) -> bool:
        """Let a timer that is due be due ``delay_s`` from now. False when it is gone or was moved already."""
        ...
