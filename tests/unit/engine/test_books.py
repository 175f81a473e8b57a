"""The leader's books: entries are counted in bounded batches, and alarms are raised and ended."""

import asyncio
import datetime
import random
import types
from typing import Any, cast

import pytest

from heddle.config import settings
from heddle.core.policy import invoice
from heddle.engine import books, sweep
from heddle.engine import parts as parts_module
from heddle.telemetry import recorder
from heddle.telemetry.catalog import records

TODAY = datetime.date(2026, 11, 20)
USD = 1_000_000_000


class _Clock:
    """Tell the time that a test sets; a wait is over at once."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.rng = random.Random(7)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(0)


class _Store:
    """Hold entries that are not counted, and what was metered and reported."""

    def __init__(self) -> None:
        self.uncounted = 0
        self.counts = 0
        self.measured = 0
        self.spend: dict[str, list[invoice.DaySpend]] = {}

    async def count_spend(self, *, limit: int) -> int:
        self.counts += 1
        taken = min(limit, self.uncounted)
        self.uncounted -= taken
        return taken

    async def measure_costs(self, **_: Any) -> int:
        self.measured += 1
        return 0

    async def endpoint_spend(self, *, days: int) -> dict[str, list[invoice.DaySpend]]:
        return self.spend


class _Scene:
    def __init__(self, *, is_leader: bool = True) -> None:
        self.clock, self.store = _Clock(), _Store()
        alive = asyncio.Event()
        alive.set()
        parts = types.SimpleNamespace(
            clock=self.clock, store=self.store, settings=settings.Settings(secret_key="s"), is_alive=alive
        )
        leader = types.SimpleNamespace(is_leader=is_leader)
        self.keeper = books.BookKeeper(cast("parts_module.Parts", parts), cast("sweep.Sweeper", leader))


@pytest.fixture
def gauges(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}

    def keep(metric: records.Metric, value: float, **labels: str) -> None:
        found[metric.name, *labels.values()] = value

    monkeypatch.setattr(recorder, "set", keep)
    return found


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("uncounted", "counts", "left"),
    [(0, 1, 0), (1, 1, 0), (books.COUNT_LIMIT, 2, 0), (10**9, books.COUNTS_MAX, 10**9 - 20 * books.COUNT_LIMIT)],
)
async def test_pass_when_entries_wait_then_they_are_counted_in_bounded_batches(
    uncounted: int, counts: int, left: int
) -> None:
    stage = _Scene()
    stage.store.uncounted = uncounted

    await stage.keeper.one_pass()

    assert (stage.store.counts, stage.store.uncounted) == (counts, left)


@pytest.mark.asyncio
async def test_pass_when_another_leads_then_nothing_is_counted() -> None:
    stage = _Scene(is_leader=False)

    await stage.keeper.one_pass()

    assert (stage.store.counts, stage.store.measured) == (0, 0)


@pytest.mark.asyncio
async def test_pass_when_it_was_measured_lately_then_it_is_not_again_before_its_time() -> None:
    stage = _Scene()

    await stage.keeper.one_pass()
    await stage.keeper.one_pass()
    stage.clock.now_s += books.MEASURE_EVERY_S
    await stage.keeper.one_pass()

    assert (stage.store.counts, stage.store.measured) == (3, 2)


@pytest.mark.asyncio
async def test_pass_when_spend_does_not_fit_then_an_alarm_is_raised_and_ended_when_it_fits_again(
    gauges: dict[tuple[str, ...], float],
) -> None:
    stage = _Scene()
    stage.store.spend = {
        "studio": [invoice.DaySpend(day=TODAY, calls=9, metered_nano_usd=50 * USD, reported_nano_usd=100 * USD)]
    }
    await stage.keeper.one_pass()
    raised = dict(gauges)

    stage.store.spend = {}
    stage.clock.now_s += books.MEASURE_EVERY_S
    await stage.keeper.one_pass()

    assert raised == {
        ("heddle_spend_alarm", "studio", "diverging"): 1.0,
        ("heddle_spend_alarm", "studio", "silent"): 0.0,
        ("heddle_spend_alarm", "studio", "unknown_key"): 0.0,
        ("heddle_spend_divergence_ratio", "studio"): 0.5,
    }
    assert set(gauges.values()) == {0.0}
