"""Stand in for the parts of a worker that touch the machine: heartbeat thread, compute pool, doorbell.

Each keeps its port's promises in virtual time. Neighbours: ``world`` builds workers from them.
"""

import asyncio
import contextlib
import importlib
import pickle
import random
import uuid
from collections.abc import Callable, Sequence

from heddle.engine import heartbeat
from heddle.engine import parts as parts_module
from heddle.ports import compute
from heddle.testing.simulation import loop as loop_module

_LOOK_S = 0.2


class LoopHeartbeat(heartbeat.Heartbeat):
    """Beat from a task of the worker's own process: frozen when it is frozen."""

    def __init__(
        self, parts: parts_module.Parts, *, known: Callable[[int], None], declared_dead: Callable[[int], None]
    ) -> None:
        super().__init__(parts, known=known, declared_dead=declared_dead)
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._loop = asyncio.get_running_loop()
        self._beating = asyncio.create_task(self._beats())

    async def _beats(self) -> None:
        clock, next_beat_s = self._parts.clock, 0.0
        while True:
            is_urgent = self._parts.worker != self._beaten or self._parts.pulse.is_lost()
            if is_urgent or clock.monotonic_s() >= next_beat_s:
                next_beat_s = clock.monotonic_s() + self._beat()
            await clock.sleep(_LOOK_S)

    def close(self) -> None:
        """Stop beating. A second call changes nothing."""
        if self._beating is not None:
            self._beating.cancel()
        self._parts.pulse.close()


class InlineCompute:
    """Run synchronous steps in this thread, each taking a drawn time (``ports.compute.Compute``).

    ``crash_rate``: how often the process that runs a call dies under it, 0 to 1.
    """

    def __init__(self, *, rng: random.Random, size: int = 4, longest_s: float = 0.5, crash_rate: float = 0.0) -> None:
        self._rng = rng
        self._size = size
        self._longest_s = longest_s
        self._places = asyncio.Semaphore(size)
        self._busy = 0
        self.crash_rate = crash_rate

    @property
    def size(self) -> int:
        """Tell how many calls run at once."""
        return self._size

    @property
    def free(self) -> int:
        """Tell how many calls would begin at once."""
        return max(0, self._size - self._busy)

    async def start(self) -> None:
        """Make nothing ready."""

    async def run(self, call: compute.ComputeCall) -> compute.ComputeOutcome:
        """Run one call when a place is free."""
        async with self._places:
            self._busy += 1
            try:
                return await self._run(call)
            finally:
                self._busy -= 1

    async def _run(self, call: compute.ComputeCall) -> compute.ComputeOutcome:
        took_s = self._rng.random() * self._longest_s
        if took_s > call.timeout_s:
            await asyncio.sleep(call.timeout_s)
            return compute.ComputeTimedOut(elapsed_s=call.timeout_s)
        is_dying = self._rng.random() < self.crash_rate
        await asyncio.sleep(took_s)
        if is_dying:
            return compute.ComputeCrashed(signal_number=9, exit_code=None, detail="killed", elapsed_s=took_s)
        module, _, name = call.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        try:
            value = function(**pickle.loads(call.arguments))  # noqa: S301 - made by this process
        except Exception as error:  # noqa: BLE001 - the border to the author's code
            text = f"{type(error).__name__}: {error}"
            return compute.ComputeRaised(
                error_type=type(error).__name__, message=str(error), traceback_text=text, elapsed_s=took_s
            )
        return compute.ComputeDone(value=pickle.dumps(value), elapsed_s=took_s)

    async def close(self, drain_s: float) -> None:
        """Leave nothing running: there is nothing."""


class Exchange:
    """Carry rings and stops between the doorbells of one world: late, twice or never, as drawn."""

    def __init__(self, loop: loop_module.VirtualLoop, *, rng: random.Random) -> None:
        self._loop = loop
        self._rng = rng
        self._context = loop_module.context_of(None)
        self.bells: list[Doorbell] = []
        self.loss_rate = 0.0
        self.late_s = 0.02

    def ring(self, *, but: "Doorbell | None" = None) -> None:
        """Carry a ring to every other bell."""
        for bell in self.bells:
            if bell is not but:
                self._carry(bell.hear)

    def tell_stopped(self, run_id: uuid.UUID) -> None:
        """Carry the news of a stopped run to every bell."""
        for bell in self.bells:
            self._carry(bell.hear_stopped, run_id)

    def tell_ended(self, run_ids: Sequence[uuid.UUID], *, but: "Doorbell") -> None:
        """Carry the news of ends to every other bell."""
        for bell in self.bells:
            if bell is not but:
                self._carry(bell.hear_ended, *run_ids)

    def _carry(self, heard: Callable[..., None], *about: object) -> None:
        drawn = self._rng.random()
        for _ in range(0 if drawn < self.loss_rate else 2 if drawn < 2 * self.loss_rate else 1):
            self._loop.call_later(self._rng.random() * self.late_s, heard, *about, context=self._context)


class Doorbell:
    """Wake one worker (``ports.transport.Doorbell``)."""

    def __init__(self, exchange: Exchange, loop: loop_module.VirtualLoop, process: loop_module.Process) -> None:
        self._exchange = exchange
        self._loop = loop
        self._context = loop_module.context_of(process)
        self._rung = asyncio.Event()
        self._told: Callable[[uuid.UUID], None] = lambda _: None
        self._told_end: Callable[[uuid.UUID], None] = lambda _: None

    async def start(self) -> None:
        """Begin to listen."""
        self._exchange.bells.append(self)

    def ring(self) -> None:
        """Wake this process now and the others soon."""
        self._rung.set()
        self._exchange.ring(but=self)

    def wake(self) -> None:
        """Wake this process alone."""
        self._rung.set()

    def tell_stopped(self, run_id: uuid.UUID) -> None:
        """Tell every process of a stopped run."""
        self._exchange.tell_stopped(run_id)
        self.ring()

    def tell_ended(self, run_ids: Sequence[uuid.UUID]) -> None:
        """Tell the other processes of ends."""
        self._exchange.tell_ended(run_ids, but=self)

    def hear_ended(self, *run_ids: uuid.UUID) -> None:
        """Take the news of ends, in the process of this bell."""
        for run_id in run_ids:
            self._loop.call_soon(self._told_end, run_id, context=self._context)

    def hear(self) -> None:
        """Take a ring from another process."""
        self._rung.set()

    def hear_stopped(self, run_id: uuid.UUID) -> None:
        """Take the news of a stopped run, in the process of this bell."""
        self._loop.call_soon(self._told, run_id, context=self._context)
        self._rung.set()

    async def wait(self, *, timeout_s: float) -> bool:
        """Wait for a ring."""
        if not self._rung.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._rung.wait()
        was_rung = self._rung.is_set()
        self._rung.clear()
        return was_rung

    def watch_stops(self, told: Callable[[uuid.UUID], None]) -> None:
        """Say who is told of stopped runs."""
        self._told = told

    def watch_ends(self, told: Callable[[uuid.UUID], None]) -> None:
        """Say who is told of runs that ended elsewhere."""
        self._told_end = told

    async def close(self) -> None:
        """Stop listening."""
        if self in self._exchange.bells:
            self._exchange.bells.remove(self)
