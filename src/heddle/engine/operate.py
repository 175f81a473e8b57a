"""Carry out what operators asked for in bulk, keep the weeks of history, and know a restored database, as the leader.

Bulk work goes on chunk after chunk, each with a turn for everybody else in between; a leader that dies is followed by
one that goes on where the last chunk was committed. After a restore all sending is paused, what was on its way is
looked up by the stages that always do (reclaim, poll), and sending is resumed here. Neighbours: ``ports.operators``,
where operators ask; ``sweep``, which says who leads.
"""

import uuid
from typing import Final

from heddle.engine import pace, supervise, sweep
from heddle.engine import parts as parts_module
from heddle.ports import operating
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

_LOOK_S = 1.0
_BETWEEN_CHUNKS_S = 0.005
_WEEKS_EVERY = 300
FAILURES_MAX: Final = 10
"""Failures in a row after which a bulk operation is stopped: enough for its chunks to have become as small as can be
(``pace``), and for what passes to have passed.
"""
_FAILING_MAX: Final = 1_000


class Operator:
    """Operate for one worker; does something only while it leads."""

    def __init__(self, parts: parts_module.Parts, sweeper: sweep.Sweeper) -> None:
        self._parts = parts
        self._sweeper = sweeper
        self._pace = pace.Pace(parts.settings.operation_batch)
        self._passes = 0
        self._failures: dict[uuid.UUID, int] = {}

    async def look_at_lineage(self) -> None:
        """Note which history the database is, before this worker claims anything; a new one pauses all sending."""
        found = await self._parts.store.note_lineage()
        if found is not None and found.is_new:
            recorder.event(events.RESTORE_FOUND, name=f"timeline {found.timeline}")

    async def one_pass(self) -> None:
        """Do one chunk of a bulk operation, or wait for one."""
        parts = self._parts
        await parts.is_alive.wait()
        done = None
        if self._sweeper.is_leader:
            started_s = parts.clock.monotonic_s()
            try:
                done = await parts.store.operate(batch=self._pace.size, cleanup_s=parts.settings.cleanup_s)
            except operating.ChunkFailed as error:
                self._pace.shrink()
                await self._count_failure(error)
                raise
            except Exception:
                self._pace.shrink()
                raise
            self._pace.grow()
            if done is not None:
                self._failures.pop(done.id, None)
                recorder.observe(metrics.STAGE_DURATION, parts.clock.monotonic_s() - started_s, stage="operate")
                recorder.count(metrics.STAGE_ITEMS, max(1, done.changed), stage="operate")
        if done is None:
            await supervise.rest(parts, _LOOK_S)
            return
        for run_id in done.stopped:
            parts.doorbell.tell_stopped(run_id)
        parts.wake(readied=done.readied)
        if done.is_over:
            recorder.event(events.OPERATION_ENDED, name=f"{done.action} {done.id}", count=done.changed_in_all)
        await parts.clock.sleep(_BETWEEN_CHUNKS_S)

    async def _count_failure(self, error: operating.ChunkFailed) -> None:
        """Give an operation up whose chunks failed too often in a row: its tenant's others wait behind it.

        Counted here and not in a row of it, whose transaction is what fails; who leads next counts anew.
        """
        failures = self._failures.pop(error.id, 0) + 1
        if failures < FAILURES_MAX:
            self._failures[error.id] = failures
            if len(self._failures) > _FAILING_MAX:
                self._failures.pop(next(iter(self._failures)))
            return
        reason = f"{failures} tries in a row failed, the last with {error.reason}"
        if await self._parts.store.fail_operation(id=error.id, reason=reason):
            recorder.event(
                events.OPERATION_FAILED,
                name=f"{error.action} {error.id}",
                count=failures,
                reason=f"{reason}; mend what it says, then ask for the operation again",
            )

    async def keep_house(self) -> None:
        """Look after the lineage every second, after the weeks of history every five minutes."""
        parts, settings = self._parts, self._parts.settings
        await parts.is_alive.wait()
        if self._sweeper.is_leader:
            await self.look_at_lineage()
            if await parts.store.end_restore(hold_s=settings.restore_hold_s):
                recorder.event(events.SENDING_RESUMED, cause="nothing sent before the restore is in doubt any more")
                parts.wake(readied=1)
            if self._passes % _WEEKS_EVERY == 0:
                await self._make_weeks()
                await self._retain()
            self._passes += 1
        await supervise.rest(parts, _LOOK_S)

    async def _make_weeks(self) -> None:
        """Make the weeks ahead. Here and not in sweep, which nothing may hold up that waits for locks of tables."""
        for name in await self._parts.store.ensure_partitions(weeks_ahead=self._parts.settings.partition_weeks_ahead):
            recorder.event(events.PARTITION_CREATED, name=name)

    async def _retain(self) -> None:
        settings = self._parts.settings
        report = await self._parts.store.retain(
            runs_days=settings.retention_runs_days,
            ledger_days=settings.retention_ledger_days,
            weeks_ahead=settings.partition_weeks_ahead,
        )
        for name in report.dropped:
            recorder.event(events.PARTITION_DROPPED, name=name)
        for each in report.kept:
            recorder.event(events.PARTITION_KEPT, name=each.week, reason=each.reason)
