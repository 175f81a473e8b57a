"""A callback that was to come counts as missed when its grace is over, and not when a poll was sooner."""

import random
import types
from typing import Any, cast

import pytest

from heddle.core import ids
from heddle.core.policy.scorecard import Count
from heddle.engine import load, scores, sweep
from heddle.engine import parts as parts_module
from tests.unit.engine import claims


class Store:
    """Know which jobs were called back for; keep what is posted."""

    def __init__(self) -> None:
        self.heard: set[ids.AttemptId] = set()
        self.cards: list[dict[Any, Any]] = []

    async def post_load(self, *, work: Any) -> None:
        """Take what was done."""

    async def called_back(self, *, attempts: list[ids.AttemptId]) -> frozenset[ids.AttemptId]:
        return frozenset(each for each in attempts if each in self.heard)

    async def post_scores(self, *, cards: dict[Any, Any]) -> None:
        self.cards += [cards] if cards else []


class House:
    """One worker's keeper of load, on a clock of the test's."""

    def __init__(self) -> None:
        self.now_s, self.store, self.scores = 1_000.0, Store(), scores.Scores()
        alive = types.SimpleNamespace(wait=self._nothing)
        parts = types.SimpleNamespace(
            store=self.store,
            scores=self.scores,
            tally=load.Tally(),
            is_alive=alive,
            settings=types.SimpleNamespace(load_interval_s=1.0),
            clock=types.SimpleNamespace(monotonic_s=lambda: self.now_s, sleep=self._nothing, rng=random.Random(0)),
        )
        sweeper = cast("sweep.Sweeper", types.SimpleNamespace(is_leader=False))
        self._keeper = load.LoadKeeper(cast("parts_module.Parts", parts), sweeper)

    async def _nothing(self, *_given: object) -> None:
        return None

    async def after(self, seconds: float) -> list[tuple[float, float]]:
        """Let time pass, make a pass, and give (promised, missed) of what it posted."""
        self.now_s += seconds
        self.store.cards.clear()
        await self._keeper.one_pass()
        cards = [card for posted in self.store.cards for card in posted.values()]
        return [(card.counts[Count.PROMISED], card.counts[Count.MISSED]) for card in cards]


def promise(number: int, *, is_kept: bool = False) -> scores.Promise:
    attempt = ids.AttemptId(run_id=claims.RUN, ordinal=1, number=number)
    return scores.Promise(key=(4, "m"), attempt=attempt, is_kept=is_kept)


@pytest.mark.parametrize(
    ("is_kept", "is_heard", "counted"),
    [(False, False, (1, 1)), (False, True, (1, 0)), (True, False, (1, 0))],
    ids=["it never called", "it called after our poll", "it called before our poll"],
)
async def test_one_pass_when_the_grace_of_a_job_is_over_then_its_callback_is_counted_once(
    monkeypatch: pytest.MonkeyPatch, is_kept: bool, is_heard: bool, counted: tuple[int, int]
) -> None:
    house, ended = House(), promise(1, is_kept=is_kept)
    waiting = [ended]
    monkeypatch.setattr(house.scores, "take_promises", lambda: [waiting.pop()] if waiting else [])

    early = [await house.after(0.0), await house.after(scores.GRACE_S - 1.0)]
    house.store.heard = {ended.attempt} if is_heard else set()
    due = await house.after(1.0)
    later = await house.after(scores.GRACE_S)

    assert (early, due, later) == ([[], []], [counted], [])
