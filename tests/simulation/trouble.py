"""Make trouble on a day: weather at the store, workers that die, freeze and are cut off, outages of everything."""

import asyncio
import random
from collections.abc import Callable

from heddle.testing.simulation import loop as loop_module
from heddle.testing.simulation import weather as weather_module
from heddle.testing.simulation import world as world_module

STORM_S = 15.0
MOVES_MOST = 400
WORKERS_LEAST = 2


class Trouble:
    """Hold what goes wrong on one day."""

    def __init__(self, world: world_module.World, *, rng: random.Random) -> None:
        self.world = world
        self.rng = rng

    def begin(self) -> None:
        """Draw the weather."""
        weather, rng = self.world.weather, self.rng
        weather.slow_rate = rng.choice((0.0, 0.01, 0.03))
        weather.lost_before_rate = rng.choice((0.0, 0.01, 0.05))
        weather.lost_after_rate = rng.choice((0.0, 0.01, 0.05))
        weather.kill_rate = rng.choice((0.0, 0.0, 0.002, 0.005))
        weather.freeze_rate = rng.choice((0.0, 0.0, 0.002, 0.005))
        weather.lost_beat_rate = rng.choice((0.0, 0.1))
        self.world.exchange.loss_rate = rng.choice((0.0, 0.1, 0.3))

    async def go_on(self) -> None:
        """Make trouble until the storm is over; a dead worker is replaced after a while."""
        while self.world.loop.time() < STORM_S:
            await asyncio.sleep(self.rng.random() * 4.0)
            self._replace_dead()
            running = [hand for hand in self.world.hands if hand.is_running]
            if running:
                self._trouble(self.rng.choice(running), running)

    def _trouble(self, hand: world_module.Hand, running: list[world_module.Hand]) -> None:
        rng, world = self.rng, self.world
        match rng.randrange(12):
            case 0:
                self._light(hand, lambda: world.kill(hand))
            case 1:
                freeze_s = rng.random() * 3 * world.limits.lease_s
                self._light(hand, lambda: world.freeze(hand, freeze_s))
            case 2:
                self._cut([hand], rng.random() * 10.0)
            case 3:
                hand.clock.wall_error_s = rng.uniform(-3_600.0, 3_600.0)
            case 4:
                hand.compute.crash_rate = rng.choice((0.0, 0.1))
            case 5:
                hand.stop.set()
            case 6:
                self._cut(list(world.hands), rng.random() * 2 * world.limits.lease_s)
            case 7:
                for each in running:
                    world.freeze(each, rng.random() * 2 * world.limits.lease_s)
            case 8 | 9 | 10:
                self._meddle(hand)
            case _:
                self._close(rng.choice(sorted(world.desks)), rng.random() * 5.0)

    def _meddle(self, hand: world_module.Hand) -> None:
        """Let somebody in between end a session, or an operator pause something."""
        match self.rng.randrange(3):
            case 0:
                # It looks like a death, and is none.
                self.world.note(f"{hand.name} loses its session")
                hand.parts.pulse.close()
            case 1:
                self._pause("pause_tenant", self.rng.choice(("acme", "zeta")), self.rng.random() * 5.0)
            case _:
                self._pause("pause_endpoint", self.rng.choice(sorted(self.world.desks)), self.rng.random() * 5.0)

    def _light(self, hand: world_module.Hand, blown: Callable[[], None]) -> None:
        """Let something happen to a worker between two of its own moves, some moves from now."""
        hand.process.blown, hand.process.fuse = blown, self.rng.randrange(MOVES_MOST)

    def _cut(self, hands: list[world_module.Hand], for_s: float) -> None:
        """Take the store from workers for a while."""
        self.world.note(f"{', '.join(hand.name for hand in hands)} lose the store for {for_s:.2f} s")
        for hand in hands:
            hand.gate.is_cut = True
        self._later(for_s, lambda: self._mend(hands))

    def _mend(self, hands: list[world_module.Hand]) -> None:
        for hand in hands:
            hand.gate.is_cut = False

    def _close(self, name: str, for_s: float) -> None:
        """Let a provider be away for a while."""
        self.world.note(f"{name} is away for {for_s:.2f} s")
        desk = self.world.desks[name]
        desk.is_away = True

        def back() -> None:
            desk.is_away = False

        self._later(for_s, back)

    def _pause(self, statement: str, name: str, for_s: float) -> None:
        """Let an operator pause a tenant or an endpoint for a while."""
        self.world.note(f"{statement} {name} for {for_s:.2f} s")
        self.world.memory.rows(statement, {"name": name, "is_paused": True})
        self._later(for_s, lambda: self.world.memory.rows(statement, {"name": name, "is_paused": False}))

    def _later(self, delay_s: float, happen: Callable[[], None]) -> None:
        self.world.loop.call_later(delay_s, happen, context=loop_module.context_of(None))

    def _replace_dead(self) -> None:
        alive = [hand for hand in self.world.hands if hand.process.life is not loop_module.Life.DEAD]
        if len(alive) < WORKERS_LEAST:
            self.world.start_worker()

    def end(self) -> None:
        """Let the weather clear: nothing more goes wrong, and two sound workers come."""
        world = self.world
        world.note("the weather clears")
        calm = weather_module.Weather()
        for name in weather_module.Weather.__slots__:
            setattr(world.weather, name, getattr(calm, name))
        world.exchange.loss_rate = 0.0
        for hand in world.hands:
            hand.process.fuse, hand.compute.crash_rate, hand.gate.is_cut = None, 0.0, False
        for desk in world.desks.values():
            desk.is_away = False
        world.start_worker()
        world.start_worker()
