"""Show progress: one bar that is redrawn in a terminal, plain lines otherwise.

Lines that come meanwhile are printed above the bar. Where nobody watches, a line is written when the numbers changed
and a few seconds have passed, so that a log stays short. It measures nothing and waits for nothing.
"""

import dataclasses
import os
import shutil
import sys
import threading
import time
import typing
from typing import TextIO

PLAIN_EVERY_S = 3.0
BAR_CHARACTERS_MAX = 32
_FULL, _EMPTY = "━", "─"
_GREEN, _RED, _GREY, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[90m", "\x1b[0m"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far something is: `done` of `total` counts for the bar, the rest is told beside it."""

    title: str
    done: int
    running: int
    waiting: int
    failed: int
    total: int
    note: str = ""


class Progress:
    """One bar on one stream; use as a context manager, which leaves the terminal in order. Safe from any thread."""

    def __init__(self, stream: TextIO | None = None, *, is_quiet: bool = False) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._is_terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        # https://no-color.org, read 2026-11-30: present and not empty.
        self._has_colour = not os.environ.get("NO_COLOR")
        self._is_quiet = is_quiet
        self._lock = threading.Lock()
        self._drawn = ""
        self._written_at_s = -PLAIN_EVERY_S
        self._last: Standing | None = None

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state of the bar standing, on a line of its own."""
        with self._lock:
            if self._drawn:
                self._stream.write("\n")
                self._stream.flush()
                self._drawn = ""

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._is_quiet:
            return
        with self._lock:
            self._clear()
            self._stream.write(f"{line}\n")
            self._stream.write(self._drawn)
            self._stream.flush()

    def show(self, standing: Standing, *, is_last: bool = False) -> None:
        """Show how far it is."""
        if self._is_quiet:
            return
        with self._lock:
            if self._is_terminal:
                self._clear()
                self._drawn = self._bar(standing)
                self._stream.write(self._drawn)
                self._stream.flush()
            elif is_last or self._is_due(standing):
                self._stream.write(f"{standing.title}: {_numbers(standing)}\n")
                self._stream.flush()
                self._written_at_s = time.monotonic()
            self._last = standing

    def _is_due(self, standing: Standing) -> bool:
        is_news = self._last is None or _numbers(standing) != _numbers(self._last)
        return is_news and time.monotonic() - self._written_at_s >= PLAIN_EVERY_S

    def _clear(self) -> None:
        if self._drawn and self._is_terminal:
            self._stream.write("\r\x1b[2K")

    def _bar(self, standing: Standing) -> str:
        width = shutil.get_terminal_size().columns
        numbers = _numbers(standing)
        room = width - len(standing.title) - len(numbers) - 5
        size = max(0, min(BAR_CHARACTERS_MAX, room))
        if size < 4:
            return f"{standing.title} {numbers}"[: width - 1]
        total = max(1, standing.total)
        full = min(size, size * standing.done // total)
        broken = min(size - full, -(-size * standing.failed // total))
        encoding = (self._stream.encoding or "ascii").lower()
        filled, empty = (_FULL, _EMPTY) if encoding.startswith("utf") else ("#", "-")
        parts = ((_GREEN, filled * full), (_RED, filled * broken), (_GREY, empty * (size - full - broken)))
        bar = "".join(f"{colour}{text}" if self._has_colour else text for colour, text in parts)
        bar += _PLAIN if self._has_colour else ""
        return f"{standing.title} {bar}  {numbers}"


def _numbers(standing: Standing) -> str:
    parts = [
        f"{standing.done}/{standing.total} done",
        f"{standing.running} running",
        f"{standing.waiting} waiting",
        f"{standing.failed} failed",
    ]
    return " | ".join([*parts, standing.note] if standing.note else parts)
