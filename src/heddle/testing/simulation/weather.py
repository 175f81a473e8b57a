"""Draw the trouble that meets a worker at the store: transactions that are slow or lost, and death at the door.

A transaction may be lost before it takes effect, or after: the caller sees the same. Neighbours: ``world`` gives every
worker a gate of its own.
"""

import asyncio
import dataclasses
import random
from collections.abc import Callable

from heddle.ports import store


@dataclasses.dataclass(slots=True, kw_only=True)
class Weather:
    """Hold rates from 0 to 1, each drawn for each transaction, and times in seconds. The default is a calm day."""

    latency_most_s: float = 0.004
    slow_rate: float = 0.0
    slow_most_s: float = 3.0
    lost_before_rate: float = 0.0
    lost_after_rate: float = 0.0
    kill_rate: float = 0.0
    freeze_rate: float = 0.0
    lost_beat_rate: float = 0.0


class WeatherGate:
    """Stand before the store for one worker (``testing.memory.store.Gate``).

    ``is_cut``: the store cannot be reached at all. ``kill`` and ``freeze`` stop the worker where it is.
    """

    def __init__(
        self,
        weather: Weather,
        *,
        rng: random.Random,
        kill: Callable[[], None] = lambda: None,
        freeze: Callable[[], None] = lambda: None,
    ) -> None:
        self.weather = weather
        self.is_cut = False
        self._rng = rng
        self._kill = kill
        self._freeze = freeze

    def _draw(self, rate: float) -> bool:
        return rate > 0 and self._rng.random() < rate

    async def before(self, stage: str) -> None:
        """Come before a transaction takes effect."""
        await asyncio.sleep(self._rng.random() * self.weather.latency_most_s)
        if self._draw(self.weather.slow_rate):
            await asyncio.sleep(self._rng.random() * self.weather.slow_most_s)
        await self._trip()
        if self.is_cut or self._draw(self.weather.lost_before_rate):
            raise store.StoreLost(f"lost before it took effect ({stage})")

    async def after(self, stage: str) -> None:
        """Come after a transaction has taken effect."""
        await self._trip()
        if self._draw(self.weather.slow_rate):
            await asyncio.sleep(self._rng.random() * self.weather.slow_most_s)
        if self.is_cut or self._draw(self.weather.lost_after_rate):
            raise store.StoreLost(f"lost after it took effect ({stage})")

    async def _trip(self) -> None:
        """Die or freeze here, if that is drawn: the next turn never comes, or comes late."""
        if self._draw(self.weather.kill_rate):
            self._kill()
            await asyncio.sleep(0)
        elif self._draw(self.weather.freeze_rate):
            self._freeze()
            await asyncio.sleep(0)

    def beat(self) -> None:
        """Come before a heartbeat."""
        if self.is_cut or self._draw(self.weather.lost_beat_rate):
            raise store.StoreLost("lost beat")
