"""The leader's sweep: reclaim waits one lease after the store was away, and at no other time."""

import asyncio
import random
import types
from typing import Any, cast

import pytest

from heddle.config import settings
from heddle.engine import parts as parts_module
from heddle.engine import sweep
from heddle.ports import store


class _Clock:
    """Tell the time that a test sets; a wait is over at once and takes no time."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.rng = random.Random(7)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(0)


class _Store:
    """Answer the leader, or be away."""

    def __init__(self) -> None:
        self.is_leader = True
        self.is_away = False
        self.asked: list[str] = []

    async def lead(self, *, worker: int, lead_s: float) -> bool:
        if self.is_away:
            raise store.StoreLost("the store is away")
        return self.is_leader

    async def reclaim(self, **_: Any) -> store.ReclaimReport:
        self.asked.append("reclaim")
        return store.ReclaimReport()

    async def ensure_partitions(self, *, weeks_ahead: int) -> list[str]:
        assert weeks_ahead == settings.Settings().partition_weeks_ahead
        return []

    async def fold_idle(self) -> None:
        self.asked.append("fold_idle")


class _House:
    """Hold a sweeper with a clock and a store that a test moves."""

    def __init__(self) -> None:
        self.clock, self.store = _Clock(), _Store()
        alive = asyncio.Event()
        alive.set()
        parts = types.SimpleNamespace(
            settings=settings.Settings(lease_s=15.0, sweep_interval_s=1.0),
            store=self.store,
            clock=self.clock,
            is_alive=alive,
            worker=5,
            name="one",
            endpoints={},
            wake=lambda *, readied: None,
        )
        self.sweeper = sweep.Sweeper(cast("parts_module.Parts", parts))

    async def passes(self, *, after_s: float) -> list[str]:
        """Let time go by, sweep once, and tell what the store was asked to do."""
        self.clock.now_s += after_s
        self.store.asked.clear()
        await self.sweeper.one_pass()
        return list(self.store.asked)


async def test_sweep_when_it_leads_then_it_reclaims_at_once_and_at_every_turn() -> None:
    house = _House()

    assert await house.passes(after_s=0.0) == ["reclaim", "fold_idle"]
    assert await house.passes(after_s=1.0) == ["reclaim", "fold_idle"]


async def test_sweep_when_another_leads_then_nothing_is_done() -> None:
    house = _House()
    house.store.is_leader = False

    assert await house.passes(after_s=1.0) == []
    assert not house.sweeper.is_leader


async def test_sweep_when_the_store_was_away_then_reclaim_waits_one_lease_and_the_rest_does_not() -> None:
    house = _House()
    await house.passes(after_s=0.0)
    house.store.is_away = True
    with pytest.raises(store.StoreLost):
        await house.passes(after_s=1.0)
    house.store.is_away = False

    assert await house.passes(after_s=5.0) == ["fold_idle"]
    assert await house.passes(after_s=1.0) == ["fold_idle"]
    assert await house.passes(after_s=13.9) == ["fold_idle"]


async def test_sweep_when_one_lease_has_passed_since_the_outage_then_it_reclaims_again() -> None:
    house = _House()
    await house.passes(after_s=0.0)
    await house.passes(after_s=5.0)

    asked = [await house.passes(after_s=1.0) for _ in range(15)]

    assert asked[:14] == [["fold_idle"]] * 14
    assert asked[14] == ["reclaim", "fold_idle"]


async def test_sweep_when_a_turn_is_a_little_late_then_it_is_no_outage() -> None:
    house = _House()
    await house.passes(after_s=0.0)

    assert await house.passes(after_s=1.9) == ["reclaim", "fold_idle"]


async def test_sweep_when_the_store_goes_away_then_it_leads_no_more() -> None:
    house = _House()
    await house.passes(after_s=0.0)
    house.store.is_away = True

    with pytest.raises(store.StoreLost):
        await house.passes(after_s=1.0)

    assert not house.sweeper.is_leader
