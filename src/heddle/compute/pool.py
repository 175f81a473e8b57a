"""The process pool where synchronous steps run: a fixed number of warm children, each free one handed the next call.

It decides who runs where, when a child is replaced and how soon, and what happens at the end. It refuses to retry a
call, to know what a step means, and to let one call's end touch another. Before it in the walk: execute. After: settle.
One child is ``compute.process``; the promises are ``ports.compute``.
"""

import asyncio
import collections
import contextlib
import dataclasses
import logging
import os
import sys

from heddle.compute import launch, process
from heddle.ports import compute

logger = logging.getLogger("heddle.compute")

BACKOFF_BASE_S = 0.1
BACKOFF_MAX_S = 5.0
# A killed process that is still there after this is stuck in the kernel; close says so and leaves it.
KILL_WAIT_S = 5.0


def count_processors() -> int:
    """Count the processors this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """Hold the pool's settings; a value out of its range is a ValueError naming it.

    - ``children``: processes, 1 … 1,024; so many calls run at once. Default: the processors this process may use.
    - ``preload``: modules each child imports before it is ready, after Django's setup if DJANGO_SETTINGS_MODULE is set.
    - ``threads_per_child``: threads of native libraries (OpenMP, BLAS, OpenCV), 1 … 1,024.
    - ``max_calls_per_child``: calls after which a child is replaced, so that what a step leaks is bounded; ≥ 1.
    - ``max_arguments_bytes``, ``max_result_bytes``: pickled size, 1 … 2 GiB; media go by reference.
    - ``max_waiting``: calls that may wait for a place, ≥ 0; ``place_timeout_s``: how long each may, > 0.
    - ``start_timeout_s``: from launch to ready, > 0; ``exit_timeout_s``: from retired to killed, > 0.
    """

    children: int = dataclasses.field(default_factory=count_processors)
    preload: tuple[str, ...] = ()
    threads_per_child: int = 1
    max_calls_per_child: int = 1_000
    max_arguments_bytes: int = 16 * 1024 * 1024
    max_result_bytes: int = 16 * 1024 * 1024
    max_waiting: int = 1_024
    place_timeout_s: float = 60.0
    start_timeout_s: float = 60.0
    exit_timeout_s: float = 2.0

    def __post_init__(self) -> None:
        """Check every range."""
        ranges: dict[str, tuple[float, float]] = {
            "children": (1, 1_024),
            "threads_per_child": (1, 1_024),
            "max_calls_per_child": (1, 10**9),
            "max_arguments_bytes": (1, 2**31),
            "max_result_bytes": (1, 2**31),
            "max_waiting": (0, 10**6),
            "place_timeout_s": (0.001, 86_400),
            "start_timeout_s": (0.001, 3_600),
            "exit_timeout_s": (0.001, 3_600),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be between {low} and {high}, not {getattr(self, name)}")


class ProcessPool:
    """Run calls in child processes, as ``ports.compute.Compute`` promises. One event loop, from start to close."""

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._child_options = launch.ChildOptions(
            preload=options.preload,
            threads_per_child=options.threads_per_child,
            max_result_bytes=options.max_result_bytes,
            start_timeout_s=options.start_timeout_s,
            exit_timeout_s=options.exit_timeout_s,
        )
        self._children: set[process.ChildProcess] = set()
        # Last in, first out: the child that ran last has the warmest caches.
        self._idle: list[process.ChildProcess] = []
        self._busy: set[process.ChildProcess] = set()
        self._waiting: collections.deque[asyncio.Future[process.ChildProcess]] = collections.deque()
        self._keepers: list[asyncio.Task[None]] = []
        self._is_started = False
        self._is_closing = False
        self._is_cap_missed = False
        self._drained = asyncio.Event()
        self._closed = asyncio.Event()

    @property
    def size(self) -> int:
        """Tell how many children there are when everything is well."""
        return self._options.children

    @property
    def free(self) -> int:
        """Tell how many children wait for a call."""
        return 0 if self._is_closing else len(self._idle)

    @property
    def pids(self) -> frozenset[int]:
        """Tell the process ids of the children that live, for the operator and for tests."""
        return frozenset(child.pid for child in self._children)

    async def start(self) -> None:
        """Start all children at once and wait until each is ready; see ``ports.compute.Compute.start``."""
        if self._is_started:
            raise RuntimeError("the compute pool was started before; make a new one")
        self._is_started = True
        starts = [asyncio.ensure_future(self._start_child()) for _ in range(self._options.children)]
        try:
            children = await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.close(drain_s=0)
            raise
        self._keepers = [asyncio.create_task(self._keep(child)) for child in children]
        for child in children:
            self._offer(child)

    async def run(self, call: compute.ComputeCall) -> compute.ComputeOutcome:
        """Run one call; see ``ports.compute.Compute.run``."""
        size_bytes = len(call.arguments)
        if size_bytes > self._options.max_arguments_bytes:
            limit_bytes = self._options.max_arguments_bytes
            return compute.ComputeTooLarge(what="arguments", size_bytes=size_bytes, limit_bytes=limit_bytes)
        if call.memory_bytes is not None and sys.platform != "linux" and not self._is_cap_missed:
            self._is_cap_missed = True
            logger.warning(
                "compute.cap_missed: memory caps of steps are not enforced on %s, only on Linux", sys.platform
            )
        child = self._take_idle() or await self._wait_for_place(call)
        try:
            return await child.run(call)
        finally:
            self._give_back(child)

    async def close(self, drain_s: float) -> None:
        """Drain, kill what is left, and leave nothing running; see ``ports.compute.Compute.close``."""
        if self._is_closing:
            await self._closed.wait()
            return
        self._is_closing = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(compute.ComputeUnavailable("the compute pool is closing"))
        for child in self._idle:
            child.retire()
        self._idle.clear()
        try:
            if self._busy:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(drain_s):
                        await self._drained.wait()
        finally:
            for child in tuple(self._busy):
                child.abandon(
                    f"the compute pool closed after a drain of {drain_s} s; the call was killed and has no outcome"
                )
            await self._end()

    async def _end(self) -> None:
        """See every process out; what is cancelled here has been killed or leaves by itself."""
        try:
            for child in self._children:
                child.retire()
            for keeper in self._keepers:
                keeper.cancel()
            await asyncio.gather(*self._keepers, return_exceptions=True)
            endings = [asyncio.ensure_future(child.gone()) for child in self._children]
            if not endings:
                return
            _, late = await asyncio.wait(endings, timeout=self._options.exit_timeout_s + KILL_WAIT_S)
            for ending in late:
                ending.cancel()
            if late:
                pids = sorted(child.pid for child in self._children)
                logger.error("compute.child_stuck: the kernel still holds the killed children %s", pids)
        finally:
            self._closed.set()

    # The places.

    def _take_idle(self) -> process.ChildProcess | None:
        while self._idle:
            child = self._idle.pop()
            if child.is_usable:
                self._busy.add(child)
                return child
        return None

    async def _wait_for_place(self, call: compute.ComputeCall) -> process.ChildProcess:
        if not self._is_started:
            raise compute.ComputeUnavailable(f"{call.label}: the compute pool is not started")
        if len(self._waiting) >= self._options.max_waiting:
            raise compute.ComputeUnavailable(f"{call.label}: {len(self._waiting)} calls wait already (max_waiting)")
        try:
            async with asyncio.timeout(self._options.place_timeout_s):
                while not (child := await self._next_in_line()).is_usable:
                    # It died in the very turn of the loop in which it was handed over.
                    self._give_back(child)
        except TimeoutError:
            wait_s = self._options.place_timeout_s
            raise compute.ComputeUnavailable(
                f"{call.label}: no place within {wait_s} s (place_timeout_s); {len(self._busy)} of {self.size} are busy"
            ) from None
        return child

    async def _next_in_line(self) -> process.ChildProcess:
        if self._is_closing:
            raise compute.ComputeUnavailable("the compute pool is closing")
        waiter: asyncio.Future[process.ChildProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # It was given a child in the very turn of the loop in which it gave up.
                self._give_back(waiter.result())
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiter)

    def _give_back(self, child: process.ChildProcess) -> None:
        """Take a child after its call: to the next one, or out when it is worn. One that has ended is its keeper's."""
        self._busy.discard(child)
        if self._is_closing:
            child.retire()
            if not self._busy:
                self._drained.set()
        elif child.is_worn or child.calls_answered >= self._options.max_calls_per_child:
            child.retire()
        elif child.is_usable:
            self._offer(child)

    def _offer(self, child: process.ChildProcess) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._busy.add(child)
                waiter.set_result(child)
                return
        self._idle.append(child)

    # The children.

    async def _keep(self, child: process.ChildProcess) -> None:
        """Keep one place filled: when its child has ended start another, later and later while they crash."""
        failures = 0
        while True:
            code = await child.gone()
            if child in self._idle:
                self._idle.remove(child)
            if self._is_closing:
                return
            if child.has_crashed:
                failures = 1 if child.calls_answered else failures + 1
                logger.warning("compute.child_crashed: child %d ended with %d and is replaced", child.pid, code)
            else:
                failures = 0
            child = await self._replace(failures)
            self._offer(child)

    async def _replace(self, failures: int) -> process.ChildProcess:
        while True:
            await asyncio.sleep(backoff_s(failures))
            try:
                return await self._start_child()
            except compute.ComputeUnavailable as error:
                failures += 1
                logger.error(
                    "compute.child_failed: %s; start %d in a row, next in %s s", error, failures, backoff_s(failures)
                )

    async def _start_child(self) -> process.ChildProcess:
        try:
            child = process.ChildProcess(options=self._child_options, loop=asyncio.get_running_loop())
        except OSError as error:
            raise compute.ComputeUnavailable(f"a compute child could not be launched: {error}") from error
        self._children.add(child)
        child.on_gone(self._children.discard)
        await child.prepare()
        return child


def backoff_s(failures: int) -> float:
    """Tell how long a place stays empty after so many failures in a row: 0 s after the first, then 0.1 s … 5 s."""
    if failures < 2:
        return 0.0
    return min(BACKOFF_MAX_S, BACKOFF_BASE_S * 2.0 ** min(failures - 2, 16))
