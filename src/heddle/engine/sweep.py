"""Keep house, as the leader: take leases from dead workers, fold idle limits, recount slots, prune.

After an outage of the database every lease looks expired; reclaim then waits one lease (RELIABILITY R17b), so that
an outage never becomes a storm of duplicates. Neighbours: heartbeat says who lives; reclaimed steps go back to
ready.
"""

import math

from heddle.engine import parts as parts_module
from heddle.ports import store
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

_LEAD_FACTOR = 3.0
_RECLAIM_LIMIT = 500
_RECOUNT_EVERY = 30
_PRUNE_EVERY = 60
_PARTITIONS_EVERY = 3_600
_PRUNE_LIMIT = 1_000
_OUTAGE_S = 1.0


class Sweeper:
    """Sweep for one worker; does something only while it leads."""

    def __init__(self, parts: parts_module.Parts) -> None:
        self._parts = parts
        self.is_leader = False
        self._passes = 0
        self._last_ok_s = math.inf
        self._reclaim_from_s = 0.0

    async def one_pass(self) -> None:
        """Try to lead; sweep when leading; wait for the next turn."""
        parts, settings = self._parts, self._parts.settings
        await parts.is_alive.wait()
        try:
            self.is_leader = await parts.store.lead(
                worker=parts.worker, lead_s=settings.sweep_interval_s * _LEAD_FACTOR
            )
            recorder.set(metrics.DATABASE_UP, 1)
            self._note_outage()
            if self.is_leader:
                await self._sweep()
                # A sweep that takes long is no outage of the store.
                self._last_ok_s = parts.clock.monotonic_s()
        except store.StoreLost:
            recorder.set(metrics.DATABASE_UP, 0)
            self.is_leader = False
            raise
        await parts.clock.sleep(settings.sweep_interval_s)

    def _note_outage(self) -> None:
        """Pause reclaim for one lease when the store was away since the last pass."""
        now_s = self._parts.clock.monotonic_s()
        away_s = now_s - self._last_ok_s - self._parts.settings.sweep_interval_s
        if away_s > _OUTAGE_S:
            self._reclaim_from_s = now_s + self._parts.settings.lease_s
            recorder.event(events.RECLAIM_PAUSED, downtime_s=round(away_s, 3))
        self._last_ok_s = now_s

    async def _sweep(self) -> None:
        parts, settings = self._parts, self._parts.settings
        self._passes += 1
        if parts.clock.monotonic_s() >= self._reclaim_from_s:
            await self._reclaim()
        await parts.store.fold_idle()
        if self._passes % _RECOUNT_EVERY == 0:
            for drift in await parts.store.recount():
                recorder.count(metrics.SLOTS_DRIFTED)
                recorder.event(events.SLOT_DRIFTED, name=drift.scope, count=drift.is_now - drift.was)
        if self._passes % _PARTITIONS_EVERY == 1:
            for name in await parts.store.ensure_partitions(weeks_ahead=settings.partition_weeks_ahead):
                recorder.event(events.PARTITION_CREATED, name=name)
        if self._passes % _PRUNE_EVERY == 0:
            await parts.store.prune(idempotency_hours=settings.idempotency_hours, limit=_PRUNE_LIMIT)
        recorder.count(metrics.STAGE_ITEMS, stage="sweep")

    async def _reclaim(self) -> None:
        parts, settings = self._parts, self._parts.settings
        report = await parts.store.reclaim(
            lease_s=settings.lease_s, margin_s=settings.send_margin_s, limit=_RECLAIM_LIMIT
        )
        if report.dead_workers:
            recorder.count(metrics.WORKERS_DIED, report.dead_workers)
            recorder.event(events.WORKER_DIED, count=report.dead_workers)
        if report.taken:
            recorder.count(metrics.LEASES_EXPIRED, report.taken)
            recorder.event(events.LEASE_EXPIRED, worker=parts.name)
        parts.wake(readied=report.readied)
