"""The leader's sweep: who is declared dead, and when nobody is: after an outage, and before one has listened."""

import asyncio
import dataclasses
import random
import types
from typing import Any, cast

import pytest

from heddle.config import settings
from heddle.engine import parts as parts_module
from heddle.engine import sweep
from heddle.ports import session, store


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
        self.looks: list[tuple[bool, session.Rule]] = []
        self.silence_s: float | None = None
        self.left_to_prune = 0
        self.is_prune_slow = False

    async def watch_sessions(self, *, is_leader: bool, rule: session.Rule) -> session.Seen:
        if self.is_away:
            raise store.StoreLost("the store is away")
        self.looks.append((is_leader, rule))
        return session.Seen()

    async def lead(self, *, worker: int, lead_s: float) -> bool:
        if self.is_away:
            raise store.StoreLost("the store is away")
        return self.is_leader

    async def reclaim(self, *, lease_s: float | None, **_: Any) -> store.ReclaimReport:
        self.asked.append("reclaim")
        self.silence_s = lease_s
        return store.ReclaimReport()

    async def fold_idle(self) -> None:
        self.asked.append("fold_idle")

    async def recount(self) -> list[store.SlotDrift]:
        return []

    async def prune(self, *, limit: int, **_: Any) -> int:
        self.asked.append("prune")
        if self.is_prune_slow:
            raise store.StoreLost("canceling statement due to statement timeout")
        pruned = min(limit, self.left_to_prune)
        self.left_to_prune -= pruned
        return pruned


class _House:
    """Hold a sweeper with a clock and a store that a test moves."""

    def __init__(self) -> None:
        self.clock, self.store = _Clock(), _Store()
        alive = asyncio.Event()
        alive.set()
        parts = types.SimpleNamespace(
            settings=settings.Settings(lease_s=15.0, sweep_interval_s=1.0, session_gone_s=2.0),
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
    await house.passes(after_s=7.0)

    asked = [await house.passes(after_s=1.0) for _ in range(15)]

    assert asked[:14] == [["fold_idle"]] * 14
    assert asked[14] == ["reclaim", "fold_idle"]


@pytest.mark.parametrize("after_s", [1.9, 5.9])
async def test_sweep_when_a_turn_is_late_and_nothing_was_lost_then_it_is_no_outage(after_s: float) -> None:
    house = _House()
    await house.passes(after_s=0.0)

    assert await house.passes(after_s=after_s) == ["reclaim", "fold_idle"]


async def test_sweep_when_the_store_goes_away_then_it_leads_no_more() -> None:
    house = _House()
    await house.passes(after_s=0.0)
    house.store.is_away = True

    with pytest.raises(store.StoreLost):
        await house.passes(after_s=1.0)

    assert not house.sweeper.is_leader


async def test_sweep_when_it_has_just_started_then_nobody_is_dead_for_silence_until_it_has_listened_for_one_lease() -> (
    None
):
    house = _House()

    heard = []
    for _ in range(16):
        await house.passes(after_s=1.0)
        heard.append(house.store.silence_s)

    assert heard == [None] * 15 + [15.0]


async def test_sweep_when_it_comes_to_lead_then_it_looks_at_everybody_in_the_same_turn() -> None:
    house = _House()

    for _ in range(2):
        await house.passes(after_s=1.0)

    assert [is_leader for is_leader, _ in house.store.looks] == [False, True, True]


async def test_sweep_when_another_leads_then_the_leaders_session_is_watched_all_the_same() -> None:
    house = _House()
    house.store.is_leader = False

    for _ in range(3):
        await house.passes(after_s=1.0)

    assert house.store.looks == [(False, session.Rule(gone_s=2.0, unwatched_s=15.0))] * 3


async def test_sweep_when_the_store_was_away_then_the_watch_begins_anew_and_declares_nobody_for_one_lease() -> None:
    house = _House()
    await house.passes(after_s=0.0)
    house.store.is_away = True
    with pytest.raises(store.StoreLost):
        await house.passes(after_s=1.0)
    house.store.is_away = False
    house.store.looks.clear()

    await house.passes(after_s=5.0)
    for _ in range(15):
        await house.passes(after_s=1.0)
    rules = [rule for _, rule in house.store.looks]

    assert [rule.is_anew for rule in rules] == [True] + [False] * 16
    assert [rule.may_declare for rule in rules] == [False] * 16 + [True]


async def test_sweep_when_it_stood_still_for_a_lease_then_its_first_look_declares_nobody() -> None:
    house = _House()
    await house.passes(after_s=1.0)
    house.store.looks.clear()

    await house.passes(after_s=15.0)

    assert [(rule.is_anew, rule.may_declare) for _, rule in house.store.looks] == [(True, False)]


async def test_sweep_when_sessions_are_not_watched_then_only_silence_counts() -> None:
    house = _House()
    house.sweeper._parts.settings = dataclasses.replace(house.sweeper._parts.settings, session_gone_s=0.0)

    for _ in range(5):
        await house.passes(after_s=1.0)

    assert house.store.looks == []


async def test_prune_when_a_whole_batch_went_then_the_next_turn_goes_on_with_it() -> None:
    house = _House()
    house.store.left_to_prune = 2_500

    turns = [await house.passes(after_s=1.0) for _ in range(70)]

    assert [number for number, asked in enumerate(turns, start=1) if "prune" in asked] == [60, 61, 62]
    assert house.store.left_to_prune == 0


async def test_prune_when_it_takes_too_long_then_the_sweeper_leads_on() -> None:
    house = _House()
    house.store.is_prune_slow = True

    turns = [await house.passes(after_s=1.0) for _ in range(61)]

    assert turns[59:] == [["reclaim", "fold_idle", "prune"], ["reclaim", "fold_idle"]]
    assert house.sweeper.is_leader
