"""A batch that is more than one statement manages is made smaller until it goes, and what is behind it with it."""

import asyncio
import random
import types
import uuid
from typing import Any, cast

import pytest

from heddle.config import settings
from heddle.engine import operate, schedule, sweep
from heddle.engine import parts as parts_module
from heddle.ports import operating, store, timers

MANAGED = 40


class _Store:
    """Manage so many at a time and no more."""

    def __init__(self) -> None:
        self.left = 900
        self.asked: list[int] = []

    def _take(self, size: int) -> int:
        self.asked.append(size)
        if size > MANAGED:
            raise store.StoreLost("canceling statement due to statement timeout")
        taken = min(size, self.left)
        self.left -= taken
        return taken

    async def due_timers(self, *, limit: int, **_: Any) -> list[timers.TimerRef]:
        return [timers.TimerRef(uuid.UUID(int=number), 0, "start") for number in range(min(limit, self.left))]

    async def carry_out(self, *, due: list[timers.TimerRef], **_: Any) -> store.PumpReport:
        return store.PumpReport(taken=self._take(len(due)))

    async def next_timer_s(self) -> float | None:
        return None

    async def operate(self, *, batch: int, **_: Any) -> operating.OperationStep | None:
        self._take(batch)
        return None


class _Clock:
    rng = random.Random(7)

    def monotonic_s(self) -> float:
        return 1.0

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", [schedule.Scheduler, operate.Operator])
async def test_batch_when_it_is_more_than_the_store_manages_then_smaller_ones_do_it_all(kind: Any) -> None:
    there = _Store()
    alive = asyncio.Event()
    alive.set()
    parts = types.SimpleNamespace(
        store=there,
        clock=_Clock(),
        is_alive=alive,
        worker=1,
        settings=settings.Settings(operation_batch=500),
        wake=lambda *, readied: None,
    )
    sweeper = cast("sweep.Sweeper", types.SimpleNamespace(is_leader=True))
    stage = kind(cast("parts_module.Parts", parts), sweeper)

    failed = 0
    for _ in range(80):
        try:
            await stage.one_pass()
        except store.StoreLost:
            failed += 1

    assert there.left == 0
    assert there.asked[:3] == [500, 125, 31]
    assert failed < 40
