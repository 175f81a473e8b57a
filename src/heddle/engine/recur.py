"""Start runs by schedule: look when the next one is due, decide for each, let the store do it in one transaction.

The leader looks at once; every other worker with a grace, so that a dead leader delays schedules by that grace and no
more. Two that look at the same time start nothing twice: a schedule is locked by one, and a time is claimed once for
ever. Neighbours: ``core.policy.schedule`` decides which times, ``store.recurring`` carries it out.
"""

import datetime

from heddle.config import zones
from heddle.core.policy import cron, schedule
from heddle.engine import parts as parts_module
from heddle.engine import sweep
from heddle.ports import recurring
from heddle.program import registry
from heddle.program.errors import InputRefused, NotRegistered
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

_LIMIT = 100
_LOOK_LEAST_S = 0.05
# A schedule that was added or changed is seen after this time at the latest.
_LOOK_MOST_S = 5.0
_GRACE_S = 2.0
_UNREADABLE_S = 3_600.0


class Recurrer:
    """Start scheduled runs for one worker."""

    def __init__(self, parts: parts_module.Parts, sweeper: sweep.Sweeper) -> None:
        self._parts = parts
        self._sweeper = sweeper

    async def one_pass(self) -> None:
        """Start what is due, then wait for the next."""
        parts = self._parts
        await parts.is_alive.wait()
        workflows = sorted({definition.name for definition in registry.workflows()})
        behind_s = 0.0 if self._sweeper.is_leader else _GRACE_S
        report = recurring.Recurred()
        if workflows and not parts.is_draining:
            report = await parts.store.recur(workflows=workflows, behind_s=behind_s, limit=_LIMIT, decide=self._decide)
        for workflow, started, missed, problem in report.schedules:
            recorder.count(metrics.SCHEDULES_STARTED, started, workflow=workflow)
            recorder.count(metrics.SCHEDULES_MISSED, missed, workflow=workflow)
            if problem is not None:
                recorder.event(events.SCHEDULE_REFUSED, workflow=workflow, reason=problem)
        parts.wake(readied=report.started)
        wait_s = _LOOK_MOST_S if report.next_in_s is None else report.next_in_s + behind_s
        await parts.clock.sleep(min(_LOOK_MOST_S, max(_LOOK_LEAST_S, wait_s)))

    def _decide(self, due: recurring.DueSchedule) -> recurring.Decided:
        """Decide for one schedule; one that cannot be read on this machine is looked at again in an hour."""
        try:
            when, zone = cron.parse(due.cron), zones.zone(due.time_zone)
        except (cron.CronRefused, zones.ZoneRefused) as error:
            later = due.now + datetime.timedelta(seconds=_UNREADABLE_S)
            return recurring.Decided(times=(), missed=0, next_at=later, problem=f"the schedule {error}")
        firing = schedule.due(
            when=when,
            zone=zone,
            catch_up=schedule.CatchUp(due.catch_up),
            catch_up_max=due.catch_up_max,
            next_at=due.next_at,
            now=due.now,
            late_s=self._parts.settings.schedule_late_s,
        )
        try:
            definition = registry.workflow(due.workflow)
            encoded = definition.validate_input(due.input)
        except (InputRefused, NotRegistered) as error:
            return _missed(firing, str(error))
        except Exception as error:  # noqa: BLE001 - the border to the author's checks: one that breaks stops no other schedule
            return _missed(firing, f"the check of its input raised {type(error).__name__}: {error}")
        return recurring.Decided(
            times=firing.times,
            missed=firing.missed,
            next_at=firing.next_at,
            version=definition.version,
            input=encoded,
        )


def _missed(firing: schedule.Firing, problem: str) -> recurring.Decided:
    """Start nothing and go on with the next time."""
    missed = firing.missed + len(firing.times)
    return recurring.Decided(times=(), missed=missed, next_at=firing.next_at, problem=problem[:2_000])
