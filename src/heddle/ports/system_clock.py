"""Tell this machine's time: the one implementation of ``ports.clock`` that is not a test's."""

import asyncio
import random
import time


class SystemClock:
    """Tell time by the operating system and make real waits."""

    def __init__(self) -> None:
        self.rng = random.Random()  # noqa: S311 - the source of jitter that everything else is handed

    def monotonic_s(self) -> float:
        """Give seconds that never go back."""
        return time.monotonic()

    def unix_s(self) -> float:
        """Give this machine's idea of seconds since 1970."""
        return time.time()

    async def sleep(self, delay_s: float) -> None:
        """Wait."""
        await asyncio.sleep(delay_s)
