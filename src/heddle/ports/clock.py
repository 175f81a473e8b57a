"""What the engine needs of time and chance, so that both can be handed in.

Database time decides everything durable; this port is for waits inside one process and for jitter.
"""

import random
from typing import Protocol


class Clock(Protocol):
    """Tell time and make waits."""

    rng: random.Random

    def monotonic_s(self) -> float:
        """Give seconds that never go back, for durations inside this process."""
        ...

    def unix_s(self) -> float:
        """Give this machine's idea of seconds since 1970; never used for leases or limits."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait."""
        ...
