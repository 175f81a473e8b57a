"""Bound how many lines one event may write, so that an outage does not add a flood of lines to itself.

Pure bookkeeping over a clock that is handed in: it decides which line passes and says afterwards how many did not. It
writes nothing. Before it: ``logs``. After: the handler, which writes the reports.
"""

from dataclasses import dataclass
from typing import Final

OTHER: Final = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """Say how many lines of one name were held back in a window that has ended."""

    name: str
    count: int


class LineLimit:
    """Let at most ``lines_max`` lines of each name pass in each window of ``window_s`` seconds.

    At most ``names_max`` names are told apart in one window; the rest share one allowance. Not safe for several
    threads: the handler's lock is held by every caller.
    """

    def __init__(self, *, lines_max: int, window_s: float, names_max: int) -> None:
        for name, value in (("lines_max", lines_max), ("window_s", window_s), ("names_max", names_max)):
            if value <= 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        self._lines_max = lines_max
        self._window_s = window_s
        self._names_max = names_max
        self._counts: dict[str, int] = {}
        self._window_ends_s: float | None = None

    def may_pass(self, *, name: str) -> bool:
        """Count one line and tell whether it may be written."""
        if name not in self._counts and len(self._counts) >= self._names_max:
            name = OTHER
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return count <= self._lines_max

    def roll(self, *, now_s: float) -> tuple[Suppressed, ...]:
        """Begin a new window when the present one is over, and report what was held back in it; else report nothing."""
        if self._window_ends_s is not None and now_s < self._window_ends_s:
            return ()
        self._window_ends_s = now_s + self._window_s
        return self.flush()

    def flush(self) -> tuple[Suppressed, ...]:
        """End the present window now and report what was held back in it."""
        reports = tuple(
            Suppressed(name=name, count=count - self._lines_max)
            for name, count in self._counts.items()
            if count > self._lines_max
        )
        self._counts = {}
        return reports
