"""Run coroutines in virtual time: when nothing is ready, the clock jumps to the next timer.

Callbacks belong to the process of the context they were made in; those of a frozen process are kept until it goes on,
those of a dead one are never run (until ``bury``, which lets its coroutines unwind once nothing counts any more). The
order of everything follows from the order of the calls alone: no address, no hash of a text and no real clock decides.
"""

import asyncio
import collections
import contextvars
import enum
import heapq
import itertools
import random
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

START_UNIX_S = 1_750_000_000.0
_BURY_ROUNDS_MAX = 50
_BURY_TURN_S = 1.0


class Standstill(RuntimeError):
    """Say that everybody waits and no timer is set: nothing can happen any more."""


class Life(enum.Enum):
    """Name how a process is."""

    RUNNING = enum.auto()
    FROZEN = enum.auto()
    DEAD = enum.auto()


class Process:
    """Hold what belongs to one process: how it is, and the callbacks that wait because it does not run.

    ``fuse``: after so many more callbacks ``blown`` is called instead of the next one (None: no fuse).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.life = Life.RUNNING
        self.parked: collections.deque[asyncio.Handle] = collections.deque()
        self.fuse: int | None = None
        self.blown: Callable[[], None] = lambda: None

    def may_run(self, handle: asyncio.Handle) -> bool:
        """Tell whether a callback runs now; it is kept when it does not."""
        if self.fuse is not None and self.life is Life.RUNNING:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                self.blown()
        if self.life is Life.RUNNING:
            return True
        self.parked.append(handle)
        return False


_PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("heddle_simulated_process", default=None)


def context_of(process: Process | None) -> contextvars.Context:
    """Give a context whose callbacks belong to a process (None: to the world, which never stops)."""
    made = contextvars.copy_context()
    made.run(_PROCESS.set, process)
    return made


class _Handle(asyncio.Handle):
    """Run a callback when its process does."""

    __slots__ = ("process",)
    process: Process | None

    def _run(self) -> None:
        if self.process is None or self.process.may_run(self):
            super()._run()


class _TimerHandle(asyncio.TimerHandle):
    """Run a callback when its time has come and its process runs."""

    __slots__ = ("process",)
    process: Process | None

    def _run(self) -> None:
        if self.process is None or self.process.may_run(self):
            super()._run()


class _Task(asyncio.Task[Any]):
    """Be a task whose place in a set does not depend on its address."""

    def __init__(self, number: int, *arguments: Any, **named: Any) -> None:
        self._number = number
        super().__init__(*arguments, **named)

    def __hash__(self) -> int:
        return self._number


class _Selector:
    """Stand where the loop asks for sockets: waiting is letting time pass."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout_s: float | None) -> list[Any]:
        """Let time pass. Raises Standstill when there is nothing to wait for."""
        if timeout_s is None:
            raise Standstill("nothing is ready and no timer is set")
        self._loop.pass_time(timeout_s)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Be an event loop without threads, sockets and real time."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._clock_resolution = 1e-9
        self._selector = _Selector(self)
        self._numbers = itertools.count(1)
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **named: Any) -> _Task:
        return _Task(next(self._numbers), work, loop=loop, **named)

    def time(self) -> float:
        """Give the virtual time, in seconds from the start."""
        return self._now_s

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self._now_s += seconds

    def _process_events(self, event_list: list[Any]) -> None:
        """Have no events: there are no sockets."""

    def _write_to_self(self) -> None:
        """Wake nobody: everything happens in this thread."""

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *arguments: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Call back in this turn or the next, in the order of asking."""
        handle = _Handle(callback, arguments, self, context)
        handle.process = handle._context.get(_PROCESS)  # type: ignore[attr-defined]  # noqa: SLF001 - set by asyncio
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *arguments: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back at a virtual time."""
        handle = _TimerHandle(when, callback, arguments, self, context)
        handle.process = handle._context.get(_PROCESS)  # type: ignore[attr-defined]  # noqa: SLF001 - set by asyncio
        heapq.heappush(self._scheduled, handle)  # type: ignore[attr-defined]
        handle._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001 - as the base class does
        return handle

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, function: Callable[..., Any], *arguments: Any
    ) -> asyncio.Future[Any]:
        """Call a function here and now; what it gives is there in the next turn."""
        future = self.create_future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - what a thread would hand over, too
            future.set_exception(error)
        return future

    # Life and death

    def stop_process(self, process: Process, life: Life) -> None:
        """Freeze or kill a process: from now on none of its callbacks runs. A dead one stays dead."""
        if process.life is not Life.DEAD:
            process.life = life

    def resume(self, process: Process) -> None:
        """Let a frozen process go on where it was."""
        if process.life is Life.FROZEN:
            process.life = Life.RUNNING
            self._ready.extend(process.parked)  # type: ignore[attr-defined]
            process.parked.clear()

    def bury(self, processes: list[Process]) -> None:
        """Unwind every coroutine that is left, the dead ones' too: at the end, when nobody looks any more."""
        for process in processes:
            process.fuse, process.life = None, Life.RUNNING
            self._ready.extend(process.parked)  # type: ignore[attr-defined]
            process.parked.clear()
        with warnings.catch_warnings():
            # What was handed over and never begun is dropped with its worker.
            warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
            self._unwind()

    def _unwind(self) -> None:
        for _ in range(_BURY_ROUNDS_MAX):
            left = sorted(asyncio.all_tasks(self), key=hash)
            if not left:
                return
            for task in left:
                task.cancel()
            # A while, and not until they end: one that holds on to a cancellation is asked again.
            self.run_until_complete(asyncio.sleep(_BURY_TURN_S))
        raise Standstill(f"tasks do not end though they are cancelled: {asyncio.all_tasks(self)}")


class VirtualClock:
    """Tell virtual time to one process (``ports.clock.Clock``); its wall clock may be wrong by ``wall_error_s``."""

    def __init__(self, loop: VirtualLoop, *, rng: random.Random) -> None:
        self._loop = loop
        self.rng = rng
        self.wall_error_s = 0.0

    def monotonic_s(self) -> float:
        """Give seconds from the start."""
        return self._loop.time()

    def unix_s(self) -> float:
        """Give what this process takes for the seconds since 1970."""
        return START_UNIX_S + self._loop.time() + self.wall_error_s

    async def sleep(self, delay_s: float) -> None:
        """Wait."""
        await asyncio.sleep(delay_s)
