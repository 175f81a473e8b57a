"""Tell the store that this worker lives, from a thread and a connection of its own, and notice when it does not.

The loop runs user code and may stall; the thread reports its lag and ends the process when the loop has stood still
for ``loop_lag_max_s``. The first beat under an id names the session by whose end this worker's death is noticed;
nothing is claimed before it. A beat that is refused means somebody declared this worker dead: it sends nothing
more, drops what it holds but for paid calls on their way, and takes a new id.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable

from heddle.core.policy import backoff
from heddle.engine import parts as parts_module
from heddle.ports import store
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

_LOG = logging.getLogger("heddle.engine")
EXIT_LAGGED = 70
_STEP_S = 0.25
# No beat takes as long: a gap like this between two looks means that the whole process stood still, loop or no loop.
_BLIND_S = 10.0
# Short at first: a lost session must be replaced before those who watch it have seen it gone for session_gone_s.
# Growing: a database that comes back after long is not met by everybody at once.
_AGAIN = backoff.BackoffOptions(transient_base_s=0.2, cap_s=5.0)


class Heartbeat:
    """Beat from a thread until stopped. ``known`` is called with each id whose first beat was taken, ``declared_dead``
    with one whose beat was refused; both in the loop's thread.
    """

    def __init__(
        self, parts: parts_module.Parts, *, known: Callable[[int], None], declared_dead: Callable[[int], None]
    ) -> None:
        self._parts = parts
        self._known = known
        self._declared_dead = declared_dead
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answered_s = self._looked_s = self._parts.clock.monotonic_s()
        self._beaten = self._taken = self._failures = 0
        self._thread = threading.Thread(target=self._run, name="heddle-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat for the loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._answered_s = self._looked_s = self._parts.clock.monotonic_s()
        self._thread.start()

    def close(self) -> None:
        """Stop beating; waits for the beat under way. A second call changes nothing."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def _answer(self) -> None:
        self._answered_s = self._parts.clock.monotonic_s()

    def _run(self) -> None:
        next_beat_s = 0.0
        while True:
            self._watch_loop()
            # A new id has no session to its name, and a lost session looks like our death: neither waits its turn.
            is_urgent = self._parts.worker != self._beaten or self._parts.pulse.is_lost()
            if is_urgent or self._parts.clock.monotonic_s() >= next_beat_s:
                next_beat_s = self._parts.clock.monotonic_s() + self._guarded_beat()
            if self._stop.wait(_STEP_S):
                break
        self._parts.pulse.close()

    def _watch_loop(self) -> None:
        assert self._loop is not None, "start sets the loop"
        now_s = self._parts.clock.monotonic_s()
        if now_s - self._looked_s > _BLIND_S:
            # Suspended with its machine, or stopped by somebody: that is no fault of the loop's.
            self._answered_s += now_s - self._looked_s
        self._looked_s = now_s
        lag_s = max(0.0, now_s - self._answered_s - _STEP_S)
        recorder.set(metrics.LOOP_LAG, lag_s)
        if lag_s > self._parts.settings.loop_lag_max_s:
            recorder.event(events.LOOP_LAGGED, worker=self._parts.name, lag_s=lag_s, reason="the process ends itself")
            logging.shutdown()
            os._exit(EXIT_LAGGED)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._answer)

    def _guarded_beat(self) -> float:
        """Beat once and tell when to beat again, whatever happens: a worker whose thread had died in silence would be
        declared dead again and again, and never hear of it.
        """
        try:
            return self._beat()
        except Exception as error:  # noqa: BLE001 - the supervised border of the thread: logged, counted, tried again
            recorder.count(metrics.STAGE_ERRORS, stage="heartbeat")
            recorder.event(events.STAGE_FAILED, stage="heartbeat", error=error)
            return min(1.0, self._parts.settings.heartbeat_s)

    def _beat(self) -> float:
        """Beat once and tell when to beat again: sooner after a failure."""
        worker = self._parts.worker
        if worker == 0:
            return _STEP_S
        self._beaten = worker
        try:
            is_alive = self._parts.pulse.beat(
                worker=worker, detail={"held": len(self._parts.hold), "is_draining": self._parts.is_draining}
            )
        except store.StoreLost as error:
            self._failures += 1
            _LOG.warning("heartbeat.failed failures=%d error=%s", self._failures, error)
            return backoff.delay_s(
                attempt_number=self._failures,
                is_throttled=False,
                retry_after_s=None,
                at_most_s=self._parts.settings.heartbeat_s,
                rng=self._parts.clock.rng,
                options=_AGAIN,
            )
        self._failures = 0
        if self._loop is not None and not is_alive:
            self._loop.call_soon_threadsafe(self._declared_dead, worker)
        elif self._loop is not None and worker != self._taken:
            self._taken = worker
            self._loop.call_soon_threadsafe(self._known, worker)
        return self._parts.settings.heartbeat_s
