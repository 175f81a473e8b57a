"""Say how much one transaction takes on: less when the store did not manage it, and soon as much as ever.

One batch may be more work than a statement may take, such as five hundred deadlines of runs with thousands of calls.
Asked for again as it was, it would fail again for ever, and everything behind it would wait. Used by the stages whose
next batch is the one that failed: schedule and operate.
"""

from typing import Final

_SHRINK: Final = 4
_GROW: Final = 2


class Pace:
    """Keep the size of the next batch, from 1 to ``most``."""

    def __init__(self, most: int) -> None:
        assert most >= 1
        self._most = most
        self.size = most

    def shrink(self) -> None:
        """Learn that a batch of this size failed."""
        self.size = max(1, self.size // _SHRINK)

    def grow(self) -> None:
        """Learn that a batch of this size was managed."""
        self.size = min(self._most, self.size * _GROW)
