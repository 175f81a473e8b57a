"""The leader's house-keeping of webhooks: what is over goes as fast as it comes."""

import asyncio
import random
import types
import uuid
from typing import Any, cast

from heddle.config import settings
from heddle.core import outbox as law
from heddle.core.policy import delivery
from heddle.engine import deliver, sweep
from heddle.engine import parts as parts_module
from heddle.ports import outbox


class Shelf:
    """Stand for the store: so many events are over, and so many were left no time."""

    def __init__(self, *, over: int, late: int) -> None:
        self.over = over
        self.late = late
        self.asked: set[tuple[float, int]] = set()

    async def count_events(self, *, limit: int) -> outbox.OutboxCounts:
        del limit
        return outbox.OutboxCounts(due=0, dead=0, disabled=0, overdue_s=0.0)

    async def prune_events(self, *, days: int, limit: int) -> int:
        assert days > 0
        gone = min(self.over, limit)
        self.over -= gone
        return gone

    async def give_up_events(self, *, overdue_s: float, failures: int, reason: str, limit: int) -> list[law.EventId]:
        assert reason
        self.asked.add((overdue_s, failures))
        gone = min(self.late, limit)
        self.late -= gone
        return [law.EventId(uuid.UUID(int=number), 1) for number in range(gone)]


class Clock:
    """Let no time pass."""

    rng = random.Random(0)

    def monotonic_s(self) -> float:
        return 1_000.0

    async def sleep(self, seconds: float) -> None:
        del seconds


def keep_house(shelf: Shelf) -> None:
    """Keep house once, as the leader."""
    alive = asyncio.Event()
    alive.set()
    parts: Any = types.SimpleNamespace(store=shelf, is_alive=alive, clock=Clock(), settings=settings.Settings())
    leader: Any = types.SimpleNamespace(is_leader=True)
    made = deliver.Deliverer(cast("parts_module.Parts", parts), cast("sweep.Sweeper", leader))
    asyncio.run(made.keep_house())


def test_keep_house_when_more_is_over_than_one_batch_then_all_of_it_goes_at_once() -> None:
    shelf = Shelf(over=12_345, late=0)

    keep_house(shelf)

    assert shelf.over == 0


def test_keep_house_when_receivers_left_events_no_time_then_all_of_them_are_given_up() -> None:
    shelf = Shelf(over=0, late=2_500)

    keep_house(shelf)

    assert shelf.late == 0
    assert shelf.asked == {(delivery.OPTIONS.overdue_max_s, delivery.OPTIONS.failures)}
