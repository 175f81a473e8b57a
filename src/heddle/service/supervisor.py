"""Keep named processes running: start them in order, restart what dies, stop them in reverse order.

This module decides when a child is started, started again, given up and stopped, and refuses to know what a child does
inside. What must outlive us, such as the database, is no child but a service that is asked whether it lives and mended
by a call. `heddle up` stands before it, `heddle.service.child` behind it.

One thread does everything in steps. Signal handlers write to a pipe that the loop waits on, so that none is lost
between a check and a wait.
"""

import collections
import contextlib
import dataclasses
import enum
import itertools
import os
import select
import signal
import threading
import time
import types
import typing
from collections.abc import Callable, Sequence

from heddle.service import child as child_process

ChildSpec = child_process.ChildSpec

POLL_S = 0.1
KILL_TIMEOUT_S = 10.0
CHILDREN_MAX = 256
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Ending(enum.Enum):
    """Why `run` returned: asked to, a child kept dying, or every child that may finish has."""

    STOPPED = "stopped"
    GAVE_UP = "gave up"
    FINISHED = "finished"


class SupervisorError(Exception):
    """A child did not become ready or kept dying; the message names it and its log."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """Something that outlives us: `is_alive` is asked every check_s, `mend` makes it live again or raises.

    `hindrance` says what outside of it keeps it from living, such as a full disk, or None: while there is one nothing
    is tried, and nothing counts as a death, so that it comes back by itself when the hindrance is gone.
    """

    name: str
    is_alive: Callable[[], bool]
    mend: Callable[[], object]
    check_s: float = 1.0
    hindrance: Callable[[], str | None] = lambda: None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """Wait backoff_min_s after a death, doubling to backoff_max_s; give up after deaths_max within window_s."""

    backoff_min_s: float = 0.2
    backoff_max_s: float = 5.0
    deaths_max: int = 10
    window_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse waits and bounds that make no sense."""
        if not 0 < self.backoff_min_s <= self.backoff_max_s or self.deaths_max < 1 or self.window_s <= 0:
            raise ValueError(
                "RestartPolicy needs 0 < backoff_min_s <= backoff_max_s, deaths_max >= 1 and window_s > 0."
            )

    def backoff_s(self, deaths: int) -> float:
        """Return how long to wait after this many deaths within the window, counted from 1."""
        return float(min(self.backoff_max_s, self.backoff_min_s * 2 ** min(deaths - 1, 16)))


class _Deaths:
    """The recent deaths of one name, bounded by the policy's window and maximum."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._at_s: collections.deque[float] = collections.deque(maxlen=policy.deaths_max + 1)

    def add(self, now_s: float) -> int:
        """Note a death and return how many fall within the window."""
        self._at_s.append(now_s)
        return sum(1 for at_s in self._at_s if at_s >= now_s - self._policy.window_s)


class _Place:
    """The place of one child: its process while it runs, and when to start it again."""

    def __init__(self, *, spec: ChildSpec, policy: RestartPolicy) -> None:
        self.spec = spec
        self.deaths = _Deaths(policy)
        self.running: child_process.Child | None = None
        self.start_at_s: float | None = None
        self.has_finished = False
        self.is_killed = False


class Supervisor:
    """Children and services kept alive by one thread; use as a context manager, or call `close`.

    SIGTERM, SIGINT and SIGHUP ask for a drain from `start` to `close`, if that is the main thread's.

    policy: when to restart and to give up. tell: takes one line for each event.
    """

    def __init__(
        self,
        *,
        children: Sequence[ChildSpec],
        services: Sequence[ServiceSpec] = (),
        policy: RestartPolicy | None = None,
        tell: Callable[[str], object] = print,
    ) -> None:
        names = [child.name for child in children] + [service.name for service in services]
        if len(set(names)) != len(names) or len(names) > CHILDREN_MAX:
            raise ValueError(f"A supervisor takes at most {CHILDREN_MAX} names, each once; it got {', '.join(names)}.")
        self._policy = policy if policy is not None else RestartPolicy()
        self._places = [_Place(spec=spec, policy=self._policy) for spec in children]
        self._services = [(spec, _Deaths(self._policy)) for spec in services]
        self._check_at_s = {spec.name: 0.0 for spec in services}
        self._tell = tell
        self._guard = child_process.Watchdog()
        self._is_stopping = False
        self._is_hurried = False
        self._gave_up: str | None = None
        self._handlers: dict[signal.Signals, typing.Any] = {}
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)

    def __enter__(self) -> typing.Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self.close()

    def pids(self) -> dict[str, int]:
        """Return the process numbers of the children that run now, by name."""
        return {place.spec.name: place.running.pid for place in self._places if place.running is not None}

    def request_stop(self) -> None:
        """Ask `start` and `run` to drain and return; safe from another thread, and more than once."""
        self._is_stopping = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_writer, b"!")

    def start(self) -> None:
        """Start every child in order, each after the one before it is ready.

        Raises SupervisorError when one is not ready in time or keeps dying; what was started is stopped then. A stop
        that is asked for meanwhile ends the start, and `run` then stops what runs.
        """
        self._handle_signals()
        for place in self._places:
            if self._is_stopping:
                return
            self._start(place)
            problem = self._wait_ready(place)
            if problem is not None:
                self.stop()
                raise SupervisorError(problem)

    def run(self, *, until: Callable[[], bool] | None = None) -> Ending:
        """Keep the children running until a signal, a request or `until` says stop; stop them all and return why.

        A signal that came since `start` counts: the first drains, a second SIGINT kills at once.
        """
        self._handle_signals()
        while not self._is_stopping:
            self._step(now_s=time.monotonic())
            if until is not None and until():
                self._is_stopping = True
            elif self._places and all(place.has_finished for place in self._places):
                return Ending.FINISHED
            else:
                self._wait(POLL_S)
        self.stop()
        return Ending.GAVE_UP if self._gave_up is not None else Ending.STOPPED

    def stop(self) -> None:
        """Stop every child, last stage first: its signal, and SIGKILL for what is left of it after its timeout.

        Services are still mended meanwhile, since children need them to drain. A second call finds nothing to do.
        """
        self._is_stopping = True
        for place in self._places:
            place.start_at_s = None
        numbered = enumerate(reversed(self._places))
        for _, stage in itertools.groupby(numbered, key=lambda item: item[1].spec.stage or item[0]):
            self._stop_stage([place for _, place in stage])

    def close(self) -> None:
        """Stop the children, the watchdog and the pipe; a second call does nothing."""
        if self._wake_reader < 0:
            return
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._guard.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)
        self._wake_reader = -1

    def _stop_stage(self, places: Sequence[_Place]) -> None:
        """Stop children that do not need each other, together."""
        started_s = time.monotonic()
        for place in places:
            if place.running is not None and place.running.poll() is None:
                self._tell(f"{place.spec.name}: stopping (pid {place.running.pid})")
                place.running.ask_to_stop()
        while left := [place for place in places if place.running is not None]:
            now_s = time.monotonic()
            self._check_services(now_s=now_s)
            for place in left:
                self._stop_one(place=place, waited_s=now_s - started_s)
            self._wait(POLL_S / 4)

    def _stop_one(self, *, place: _Place, waited_s: float) -> None:
        """Note that a child has ended, or kill it when its time is up."""
        running = place.running
        assert running is not None
        status = running.poll()
        if status is not None:
            self._tell(f"{place.spec.name}: {child_process.status_words(status)}")
            self._guard.forget(running.pid)
            place.running = None
        elif waited_s > place.spec.stop_timeout_s + KILL_TIMEOUT_S:
            self._tell(f"{place.spec.name}: pid {running.pid} does not end after SIGKILL; it is left behind")
            place.running = None
        elif not place.is_killed and (self._is_hurried or waited_s > place.spec.stop_timeout_s):
            self._tell(f"{place.spec.name}: did not stop in {waited_s:.1f} s and is killed")
            running.kill()
            place.is_killed = True

    def _step(self, *, now_s: float) -> None:
        """Look once at everything: mend services, note deaths, start what is due."""
        self._guard.check()
        self._check_services(now_s=now_s)
        for place in self._places:
            status = place.running.poll() if place.running is not None else None
            if status is not None:
                self._note_death(place=place, status=status, now_s=now_s)
            if place.start_at_s is not None and now_s >= place.start_at_s and not self._is_stopping:
                self._start(place)

    def _note_death(self, *, place: _Place, status: int, now_s: float) -> None:
        assert place.running is not None
        self._guard.forget(place.running.pid)
        place.running = None
        said = f"{place.spec.name}: {child_process.status_words(status)}"
        if place.spec.may_finish and status == 0:
            place.has_finished = True
            self._tell(said)
            return
        deaths = place.deaths.add(now_s)
        hint = f"; see {place.spec.log_path}" if place.spec.log_path is not None else ""
        if deaths > self._policy.deaths_max:
            self._give_up(f"{said}; gave up after {deaths} deaths in {self._policy.window_s:.0f} s{hint}")
            return
        wait_s = self._policy.backoff_s(deaths)
        place.start_at_s = now_s + wait_s
        self._tell(f"{said}; starts again in {wait_s:.1f} s{hint}")

    def _check_services(self, *, now_s: float) -> None:
        """Ask each service that is due whether it lives, and mend what does not; each failed look counts once."""
        for spec, deaths in self._services:
            if now_s < self._check_at_s[spec.name] or self._gave_up is not None:
                continue
            self._check_at_s[spec.name] = now_s + spec.check_s
            if spec.is_alive():
                continue
            hindrance = spec.hindrance()
            if hindrance is not None:
                self._check_at_s[spec.name] = now_s + self._policy.backoff_max_s
                self._tell(f"{spec.name}: is gone and waits: {hindrance}")
                continue
            count = deaths.add(now_s)
            if count > self._policy.deaths_max:
                self._give_up(f"{spec.name}: gave up after {count} deaths in {self._policy.window_s:.0f} s")
                return
            self._tell(f"{spec.name}: is gone; starting it again")
            try:
                spec.mend()
            except Exception as error:  # noqa: BLE001 - a supervised border: told, counted, tried again after the backoff
                self._check_at_s[spec.name] = time.monotonic() + self._policy.backoff_s(count)
                self._tell(f"{spec.name}: could not be started: {error}")
            else:
                self._tell(f"{spec.name}: is back")

    def _give_up(self, message: str) -> None:
        self._gave_up = message
        self._is_stopping = True
        self._tell(message)

    def _start(self, place: _Place) -> None:
        place.start_at_s = None
        place.running = child_process.start(spec=place.spec, guard=self._guard)
        self._tell(f"{place.spec.name}: started (pid {place.running.pid})")

    def _wait_ready(self, place: _Place) -> str | None:
        """Wait until a child says it is ready, restarting what dies meanwhile; return the problem, if there is one."""
        spec = place.spec
        deadline_s = time.monotonic() + spec.ready_timeout_s
        while spec.ready is not None and not self._is_stopping:
            self._step(now_s=time.monotonic())
            if place.running is not None and spec.ready():
                self._tell(f"{spec.name}: ready")
                break
            if time.monotonic() > deadline_s:
                where = spec.log_path or "its output"
                return f"{spec.name}: was not ready after {spec.ready_timeout_s:.0f} s; see {where}"
            self._wait(POLL_S / 4)
        return self._gave_up

    def _wait(self, timeout_s: float) -> None:
        """Wait for a signal or a request, at most timeout_s, and empty the pipe."""
        readable, _, _ = select.select([self._wake_reader], [], [], timeout_s)
        if readable:
            os.read(self._wake_reader, 4096)

    def _handle_signals(self) -> None:
        """Turn stop signals into requests, once, until `close`; outside of the main thread signals are somebody else's.

        There is no gap between `start` and `run`: a signal in it would end us and leave the draining to the watchdog.
        """
        if self._handlers or threading.current_thread() is not threading.main_thread():
            return
        # A signal that our starter has us ignore, such as SIGHUP under nohup, stays ignored.
        heard = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        self._handlers = {number: signal.signal(number, self._on_signal) for number in heard}

    def _on_signal(self, number: int, _: types.FrameType | None) -> None:
        self._is_hurried = self._is_hurried or (self._is_stopping and number == signal.SIGINT)
        self.request_stop()
