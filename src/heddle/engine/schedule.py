"""Keep the timers: carry out what is due, then sleep until the next one.

The leader looks at once; every other worker looks too, but only at what is late, so that a dead leader delays
timers by that grace and no more. Neighbours: everything that sets a timer before, ``store/schedule`` behind.
"""

from heddle.engine import observe, pace, sweep
from heddle.engine import parts as parts_module
from heddle.telemetry import recorder
from heddle.telemetry.catalog import metrics

_LIMIT = 500
_LOOK_LEAST_S = 0.01
_LOOK_MOST_S = 0.1
_GRACE_S = 1.0


class Scheduler:
    """Carry out due timers for one worker."""

    def __init__(self, parts: parts_module.Parts, sweeper: sweep.Sweeper) -> None:
        self._parts = parts
        self._sweeper = sweeper
        self._pace = pace.Pace(_LIMIT)

    async def one_pass(self) -> None:
        """Carry out a batch of due timers, then wait for the next."""
        parts = self._parts
        await parts.is_alive.wait()
        late_s = 0.0 if self._sweeper.is_leader else _GRACE_S
        started_s = parts.clock.monotonic_s()
        limit = self._pace.size
        try:
            report = await parts.store.pump(
                worker=parts.worker, limit=limit, late_s=late_s, cleanup_s=parts.settings.cleanup_s
            )
        except Exception:
            self._pace.shrink()
            raise
        self._pace.grow()
        if report.taken:
            recorder.observe(metrics.STAGE_DURATION, parts.clock.monotonic_s() - started_s, stage="schedule")
            recorder.count(metrics.STAGE_ITEMS, report.taken, stage="schedule")
        for late_s in report.late_s:
            recorder.observe(metrics.TIMERS_LATE, late_s)
        observe.ended(report.ended)
        for run_id in report.stopped:
            parts.doorbell.tell_stopped(run_id)
        parts.wake(readied=report.readied)
        await parts.clock.sleep(self._wait_s(report.next_in_s, is_more=report.taken >= limit))

    def _wait_s(self, next_in_s: float | None, *, is_more: bool) -> float:
        if is_more:
            return 0.0
        if not self._sweeper.is_leader:
            return _GRACE_S / 2
        if next_in_s is None:
            return _LOOK_MOST_S
        return min(_LOOK_MOST_S, max(_LOOK_LEAST_S, next_in_s))
