"""What the engine needs to learn that work may be ready: a doorbell, never the work itself.

A lost doorbell costs at most one poll interval; a repeated one costs one empty claim. Truth stays in the store.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

# What rings: work may be ready; a run was stopped (its id is the payload). Doors ring these too, outside of the engine.
CHANNEL_READY = "heddle_ready"
CHANNEL_STOPPED = "heddle_stopped"
# What tells of ends: runs that somebody may hold a request open for at another process, ids with a comma between.
CHANNEL_ENDED = "heddle_ended"


class Doorbell(Protocol):
    """Ring when work became ready somewhere, and wait for a ring."""

    async def start(self) -> None:
        """Begin to listen. A failure to connect is not an error: the engine polls until the doorbell is back."""
        ...

    def ring(self) -> None:
        """Tell the other processes that work may be ready: at once, then at most one message per debounce interval.
        Never blocks or raises.
        """
        ...

    def wake(self) -> None:
        """Wake this process alone: it has work of its own making, and places for it. Never blocks or raises."""
        ...

    def tell_stopped(self, run_id: uuid.UUID) -> None:
        """Tell every process of a stopped run, so that its calls in flight end at once. Never blocks or raises."""
        ...

    def tell_ended(self, run_ids: Sequence[uuid.UUID]) -> None:
        """Tell those who watch of ends, without waking anybody else. What gets lost is found by looking. Never blocks
        or raises.
        """
        ...

    async def wait(self, *, timeout_s: float) -> bool:
        """Wait for a ring from this process or another; False when the time was up first."""
        ...

    def watch_stops(self, told: Callable[[uuid.UUID], None]) -> None:
        """Say who is told, in the loop's thread, of runs that were stopped, so that calls in flight end at once."""
        ...

    def watch_ends(self, told: Callable[[uuid.UUID], None]) -> None:
        """Say, before the start, who is told in the loop's thread of runs that ended at another process."""
        ...

    async def close(self) -> None:
        """Stop listening."""
        ...
