"""Live one seeded day: runs are submitted, stopped and signalled while workers die, freeze and lose the store; then
the weather clears, and everything must come to its end.

A day that breaks a promise raises ``BadDay`` with the seed, what was broken and the end of the trace.
"""

import asyncio
import hashlib
import random

from heddle.testing.simulation import loop as loop_module
from heddle.testing.simulation import world
from tests.simulation import customers, fences, invariants, referee, scenery, trouble, workflows

CHECK_EVERY = 20
PATIENCE_S = 400.0
ECHO_S = 1.0
TRACE_SHOWN = 120


class BadDay(AssertionError):
    """Say what was broken on which seed."""

    def __init__(self, seed: int, problems: list[str], trace: list[str]) -> None:
        shown = "\n".join(trace[-TRACE_SHOWN:])
        count = len(problems)
        super().__init__(
            f"seed {seed}: {count} promises broken; `make sim SEED={seed}` shows the day again\n"
            + "\n".join(f"  - {problem}" for problem in problems[:20])
            + f"\nthe last {min(TRACE_SHOWN, len(trace))} of {len(trace)} moves:\n{shown}"
        )
        self.problems = problems


class Day:
    """Hold one day. ``commits`` counts the transactions that took effect."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(f"{seed}.day")
        wanted, manners = scenery.drawn(self.rng)
        self.world = world.World(
            seed, wanted=wanted, manners=manners, answer=lambda given: {"value": workflows.painted(given["number"])}
        )
        self.fences = fences.FenceWatch(self.world.memory)
        self.customers = customers.Customers(self.world, rng=random.Random(f"{seed}.customers"))
        self.trouble = trouble.Trouble(self.world, rng=random.Random(f"{seed}.trouble"))
        self.problems: list[str] = []
        self.commits = 0
        self._bad = asyncio.Event()
        self.was_running: list[world.Hand] = []
        self.world.memory.on_commit = self._on_commit

    def digest(self) -> str:
        """Give what is the same for two days exactly when they went the same way."""
        return hashlib.sha256("\n".join(self.world.trace).encode()).hexdigest()

    def _on_commit(self) -> None:
        self.commits += 1
        if (self.commits % CHECK_EVERY == 0 or self.fences.stale) and not self.problems:
            self._look()

    def _look(self) -> None:
        self.problems += [f"a transaction raised {error!r}" for error in self.world.memory.errors]
        self.problems += [f"a worker ended: {error!r}" for error in self.world.errors]
        self.problems += self.customers.problems + self.fences.stale + invariants.broken(self.world.memory.tables)
        for problem in self.problems:
            self.world.note(f"BROKEN: {problem}")
            self._bad.set()

    def live(self) -> "Day":
        """Live it. Raises BadDay."""
        try:
            self.world.run(self._live())
        except (AssertionError, loop_module.Standstill) as error:
            self.problems.append(f"{type(error).__name__}: {error}")
        finally:
            self.world.close()
        if not self.problems:
            self._look()
            self.problems += referee.broken(self)
        if self.problems:
            raise BadDay(self.seed, self.problems, self.world.trace)
        return self

    async def _live(self) -> None:
        """Live until everything is over, or a promise is broken."""
        ends = [asyncio.create_task(self._whole_day()), asyncio.create_task(self._bad.wait())]
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in done:
            end.result()

    async def _whole_day(self) -> None:
        self.trouble.begin()
        for _ in range(self.rng.randint(2, 4)):
            self.world.start_worker()
        building = asyncio.create_task(self.customers.build())
        await asyncio.gather(self.customers.come(self.rng.randint(6, 18)), self.trouble.go_on())
        self.trouble.end()
        await building
        # Once more: a worker that goes on only then may tell of a job, which is looked after to its end.
        for _ in range(2):
            await self._all_over()
            # What was written a moment ago has not been heard of by the worker that wrote it.
            await asyncio.sleep(ECHO_S)
        self.was_running = [hand for hand in self.world.hands if hand.is_running]

    async def _all_over(self) -> None:
        """Wait until nothing is left to do."""
        tables, until_s = self.world.memory.tables, self.world.loop.time() + PATIENCE_S
        while self.world.loop.time() < until_s:
            await asyncio.sleep(1.0)
            # A worker that goes on after a freeze may bring news that others still have to look after.
            is_quiet = all(hand.process.life is not loop_module.Life.FROZEN for hand in self.world.hands)
            is_over = not any(row.is_live for row in tables.runs.values())
            if is_quiet and is_over and not invariants.left_over(tables):
                return
