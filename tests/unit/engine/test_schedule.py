"""A timer over which the store is lost each time is put off like one that is refused; what is remembered is bounded."""

import asyncio
import random
import types
import uuid
from collections.abc import Sequence
from typing import Any, cast

from heddle.config import settings
from heddle.engine import parts as parts_module
from heddle.engine import schedule, sweep
from heddle.ports import store, timers

SLOW, *QUICK = (timers.TimerRef(uuid.UUID(int=number), 0, "deadline") for number in range(6))


class _Store:
    """Hold timers of which one takes longer than a statement may."""

    def __init__(self) -> None:
        self.due = [SLOW, *QUICK]
        self.put: list[timers.TimerRef] = []
        self.is_away = False

    async def due_timers(self, *, late_s: float, limit: int) -> list[timers.TimerRef]:
        if self.is_away:
            raise store.StoreLost("the connection was closed")
        return self.due[:limit]

    async def carry_out(self, *, due: Sequence[timers.TimerRef], **_: Any) -> store.PumpReport:
        if SLOW in due or self.is_away:
            raise store.StoreLost("canceling statement due to statement timeout")
        self.due = [timer for timer in self.due if timer not in due]
        return store.PumpReport(taken=len(due))

    async def next_timer_s(self) -> float | None:
        return None

    async def put_off(self, *, timer: timers.TimerRef, delay_s: float) -> bool:
        self.put.append(timer)
        self.due.remove(timer)
        return True


class _Clock:
    rng = random.Random(7)

    def monotonic_s(self) -> float:
        return 1.0

    def unix_s(self) -> float:
        return 1.0

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(0)


def scheduler(there: _Store) -> schedule.Scheduler:
    """Make the stage of a worker that leads."""
    alive = asyncio.Event()
    alive.set()
    parts: Any = types.SimpleNamespace(
        store=there,
        clock=_Clock(),
        is_alive=alive,
        worker=1,
        settings=settings.Settings(),
        wake=lambda *, readied: None,
    )
    leading = types.SimpleNamespace(is_leader=True)
    return schedule.Scheduler(cast("parts_module.Parts", parts), cast("sweep.Sweeper", leading))


async def passes(stage: schedule.Scheduler, count: int) -> int:
    """Make passes; count those that lost the store."""
    lost = 0
    for _ in range(count):
        try:
            await stage.one_pass()
        except store.StoreLost:
            lost += 1
    return lost


async def test_one_pass_when_one_timer_takes_too_long_each_time_then_it_is_put_off_and_the_others_fire() -> None:
    there = _Store()

    lost = await passes(scheduler(there), 10)

    assert there.put == [SLOW]
    assert there.due == []
    assert lost < 8


async def test_one_pass_when_a_slow_timer_comes_due_again_then_it_is_tried_alone_and_the_others_first() -> None:
    there = _Store()
    stage = scheduler(there)
    await passes(stage, 10)
    there.due = [SLOW, *QUICK]

    lost = await passes(stage, 8)

    assert (lost, there.put, there.due) == (0, [SLOW, SLOW], [])


async def test_one_pass_when_the_store_is_away_then_nothing_is_put_off() -> None:
    there = _Store()
    there.is_away = True

    lost = await passes(scheduler(there), 20)

    assert (lost, there.put) == (20, [])


def test_refusals_when_more_are_counted_than_are_kept_then_the_oldest_begins_anew() -> None:
    refusals = schedule.Refusals(2)

    counts = [refusals.add(timer) for timer in (*QUICK[:2], QUICK[1], QUICK[2], QUICK[0])]

    assert counts == [1, 1, 2, 1, 1]


def test_refusals_when_a_timer_was_carried_out_then_it_is_no_longer_doubted() -> None:
    refusals = schedule.Refusals(2)
    refusals.add(SLOW)

    refusals.forget([SLOW])

    assert SLOW not in refusals
