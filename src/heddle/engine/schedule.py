"""Keep the timers: carry out what is due, then sleep until the next one.

The leader looks at once; every other worker looks too, but only at what is late, so that a dead leader delays
timers by that grace and no more. A batch that the store refuses is taken apart, so that one timer that cannot be
carried out keeps no other from its time: it is put off, each time longer, and tried alone from then on. Neighbours:
everything that sets a timer before, ``store/schedule`` behind.
"""

import collections
import datetime
from collections.abc import Sequence

from heddle.core.policy import backoff
from heddle.engine import observe, pace, supervise, sweep
from heddle.engine import parts as parts_module
from heddle.ports import store, timers
from heddle.telemetry import context, recorder
from heddle.telemetry.catalog import events, metrics

_LIMIT = 500
_LOOK_LEAST_S = 0.01
_LOOK_MOST_S = 0.1
_GRACE_S = 1.0
# A timer that was put off by mistake, in a bad moment of the store, is hardly late; one that is broken costs a try a
# minute, and is carried out within that of being mended.
_PUT_OFF = backoff.BackoffOptions(transient_base_s=1.0, cap_s=60.0)
_LOST_MAX = 3
_REMEMBERED_MAX = 10_000


class Refusals:
    """Count how often each timer was refused by itself: the latest ``most``, by this worker, since it started.

    A timer that is forgotten, or that another worker meets, begins anew with the shortest wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: collections.OrderedDict[timers.TimerRef, int] = collections.OrderedDict()

    def __contains__(self, timer: timers.TimerRef) -> bool:
        """Tell whether a timer was refused, and has not been carried out since."""
        return timer in self._counts

    def add(self, timer: timers.TimerRef) -> int:
        """Count a refusal; give how many there have been."""
        count = self._counts.pop(timer, 0) + 1
        self._counts[timer] = count
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        return count

    def forget(self, carried_out: Sequence[timers.TimerRef]) -> None:
        """Begin anew for timers that were carried out."""
        for timer in carried_out:
            self._counts.pop(timer, None)


class Scheduler:
    """Carry out due timers for one worker."""

    def __init__(self, parts: parts_module.Parts, sweeper: sweep.Sweeper) -> None:
        self._parts = parts
        self._sweeper = sweeper
        self._pace = pace.Pace(_LIMIT)
        self._refusals = Refusals(_REMEMBERED_MAX)
        self._lost: tuple[timers.TimerRef | None, int] = (None, 0)

    async def one_pass(self) -> None:
        """Carry out a batch of due timers, then wait for the next."""
        parts = self._parts
        await parts.is_alive.wait()
        limit = self._pace.size
        due = await parts.store.due_timers(late_s=0.0 if self._sweeper.is_leader else _GRACE_S, limit=limit)
        doubted = [timer for timer in due if timer in self._refusals]
        await self._carry_out([timer for timer in due if timer not in self._refusals])
        for timer in doubted:
            await self._carry_out([timer])
        next_in_s = await parts.store.next_timer_s()
        await parts.clock.sleep(self._wait_s(next_in_s, is_more=len(due) >= limit))

    async def _carry_out(self, due: Sequence[timers.TimerRef]) -> None:
        """Carry out a batch; halves of it when it is refused, and put off what is refused by itself.

        Raises StoreLost: of a batch nobody knows whether it was the store or the size, so the next is smaller.
        """
        if not due:
            return
        supervise.leave_if_cancelled()
        started_s = self._parts.clock.monotonic_s()
        try:
            report = await self._parts.store.carry_out(
                due=due, worker=self._parts.worker, cleanup_s=self._parts.settings.cleanup_s
            )
        except store.StoreLost as error:
            self._pace.shrink()
            if not self._is_stuck(due):
                raise
            await self._put_off(due[0], error)
        except Exception as error:  # noqa: BLE001 - one timer that is refused must not take those behind it with it
            recorder.count(metrics.STAGE_ERRORS, stage="schedule")
            if len(due) == 1:
                await self._put_off(due[0], error)
                return
            recorder.event(events.STAGE_FAILED, stage="schedule", error=error)
            middle = len(due) // 2
            await self._carry_out(due[:middle])
            await self._carry_out(due[middle:])
        else:
            self._pace.grow()
            self._refusals.forget(due)
            self._tell(report, started_s)

    def _is_stuck(self, due: Sequence[timers.TimerRef]) -> bool:
        """Tell whether the store was lost over one timer so often that the timer seems to be the cause.

        A statement that takes too long looks like a store that is away; a store that is away takes no put-off either.
        """
        if len(due) > 1:
            return False
        last, count = self._lost
        self._lost = (due[0], count + 1 if last == due[0] else 1)
        return due[0] in self._refusals or self._lost[1] >= _LOST_MAX

    async def _put_off(self, timer: timers.TimerRef, error: Exception) -> None:
        count = self._refusals.add(timer)
        delay_s = backoff.ceiling_s(attempt_number=count, is_throttled=False, options=_PUT_OFF)
        delay_s *= 1.0 - self._parts.clock.rng.random() / 2
        if not await self._parts.store.put_off(timer=timer, delay_s=delay_s):
            return
        retry_at = datetime.datetime.fromtimestamp(self._parts.clock.unix_s() + delay_s, tz=datetime.UTC)
        recorder.count(metrics.TIMERS_PUT_OFF)
        with context.bind(run_id=timer.run_id, step=timer.ordinal):
            recorder.event(
                events.TIMER_PUT_OFF, name=timer.kind, count=count, error=error, retry_at=retry_at.isoformat()
            )

    def _tell(self, report: store.PumpReport, started_s: float) -> None:
        if report.taken:
            recorder.observe(metrics.STAGE_DURATION, self._parts.clock.monotonic_s() - started_s, stage="schedule")
            recorder.count(metrics.STAGE_ITEMS, report.taken, stage="schedule")
        for late_s in report.late_s:
            recorder.observe(metrics.TIMERS_LATE, late_s)
        observe.ended(report.ended)
        for run_id in report.stopped:
            self._parts.doorbell.tell_stopped(run_id)
        self._parts.wake(readied=report.readied)

    def _wait_s(self, next_in_s: float | None, *, is_more: bool) -> float:
        if is_more:
            return 0.0
        if not self._sweeper.is_leader:
            return _GRACE_S / 2
        if next_in_s is None:
            return _LOOK_MOST_S
        return min(_LOOK_MOST_S, max(_LOOK_LEAST_S, next_in_s))
