"""The leader's house-keeping of webhooks: what is over goes as fast as it comes."""

import asyncio
import datetime
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


class Line:
    """Stand for a store with events that are due."""

    def __init__(self, *due: outbox.DueEvent) -> None:
        self.due = due
        self.written: list[outbox.EventWrite] = []

    async def take_events(self, taking: outbox.Taking) -> outbox.TakenEvents:
        assert taking.want > 0
        taken, self.due = self.due, ()
        return outbox.TakenEvents(events=taken)

    async def write_events(self, *, events: list[outbox.EventWrite], receivers: Any, disabled: Any) -> int:
        del receivers, disabled
        self.written += events
        return len(events)


def due(number: int) -> outbox.DueEvent:
    """Give an event of a run that is not stored any more."""
    run_id = uuid.UUID(int=number)
    return outbox.DueEvent(
        id=law.EventId(run_id, 1),
        fence=1,
        receiver=outbox.Receiver(tenant_id=1, address="https://one.example"),
        url="https://one.example/",
        type="run.failed",
        at=datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC),
        tries=0,
        failures=0,
        body=None,
        view=None,
        submitted_as=run_id,
        is_whole=True,
        is_disabled=False,
        keys=(),
    )


def test_one_pass_when_one_event_cannot_be_written_then_those_behind_it_are_seen_to() -> None:
    line = Line(due(1), due(2))

    def compose(event: outbox.DueEvent) -> str | None:
        if event.id.run_id.int == 1:
            raise KeyError("a form that no release knew")
        return None

    async def passes() -> None:
        alive = asyncio.Event()
        alive.set()
        parts: Any = types.SimpleNamespace(
            store=line,
            is_alive=alive,
            is_draining=False,
            clock=Clock(),
            compose=compose,
            settings=settings.Settings(),
        )
        made = deliver.Deliverer(cast("parts_module.Parts", parts), cast("sweep.Sweeper", None))
        for _ in range(2):
            await made.one_pass()

    asyncio.run(passes())

    assert [(each.id.run_id.int, each.state) for each in line.written] == [(2, law.EventState.DEAD)]


def test_keep_house_when_more_is_over_than_one_batch_then_all_of_it_goes_at_once() -> None:
    shelf = Shelf(over=12_345, late=0)

    keep_house(shelf)

    assert shelf.over == 0


def test_keep_house_when_receivers_left_events_no_time_then_all_of_them_are_given_up() -> None:
    shelf = Shelf(over=0, late=2_500)

    keep_house(shelf)

    assert shelf.late == 0
    assert shelf.asked == {(delivery.OPTIONS.overdue_max_s, delivery.OPTIONS.failures)}
