"""Keep house, as the leader: take leases from dead workers, fold idle limits, recount slots, prune.

A worker is dead when its session was seen gone for ``session_gone_s``, or when it was silent for ``lease_s``; what is
not watched does not count. After an outage of the database every session is gone and every lease looks expired, so
nobody is declared dead until one lease has passed (RELIABILITY R17b), and a sweeper that has just started has not
watched anybody's silence yet. Everybody watches the leader's session, so that its death is found as soon as another's.
Since when a session is gone stands in the store: where every process dies young, each goes on with the watch of the
one before.
Neighbours: heartbeat says who lives; reclaimed steps go back to ready.
"""

import math

from heddle.engine import parts as parts_module
from heddle.engine import supervise
from heddle.ports import session, store
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

_LEAD_FACTOR = 3.0
_RECLAIM_LIMIT = 500
_RECOUNT_EVERY = 30
_PRUNE_EVERY = 60
_PRUNE_LIMIT = 1_000
_OUTAGE_S = 1.0


class Sweeper:
    """Sweep for one worker; does something only while it leads."""

    def __init__(self, parts: parts_module.Parts) -> None:
        self._parts = parts
        self.is_leader = False
        self._is_lost = False
        self._passes = 0
        self._is_prune_behind = False
        self._is_watch_anew = False
        self._last_ok_s = math.inf
        self._watching_from_s: float | None = None
        self._reclaim_from_s = -math.inf

    async def one_pass(self) -> None:
        """Watch; try to lead; sweep when leading; wait for the next turn."""
        parts, settings = self._parts, self._parts.settings
        await parts.is_alive.wait()
        try:
            await self._watch_sessions()
            was_leader = self.is_leader
            self.is_leader = await parts.store.lead(
                worker=parts.worker, lead_s=settings.sweep_interval_s * _LEAD_FACTOR
            )
            if self.is_leader and not was_leader:
                await self._watch_sessions()
            recorder.set(metrics.DATABASE_UP, 1)
            self._note_outage()
            if self.is_leader:
                await self._sweep()
                # A sweep that takes long is no outage of the store.
                self._last_ok_s = parts.clock.monotonic_s()
                await self._keep_books()
        except store.StoreLost:
            recorder.set(metrics.DATABASE_UP, 0)
            self.is_leader = False
            self._is_lost = True
            self._is_watch_anew = True
            raise
        await supervise.rest(parts, settings.sweep_interval_s)

    async def _watch_sessions(self) -> None:
        """Declare dead those whose session is gone for long enough: anybody's as the leader, else the leader's."""
        settings = self._parts.settings
        if settings.session_gone_s <= 0:
            return
        now_s = self._parts.clock.monotonic_s()
        is_back = self._was_away(now_s)
        rule = session.Rule(
            gone_s=settings.session_gone_s,
            unwatched_s=settings.lease_s,
            is_anew=self._is_watch_anew or is_back,
            may_declare=now_s >= self._reclaim_from_s and not is_back,
        )
        seen = await self._parts.store.watch_sessions(is_leader=self.is_leader, rule=rule)
        self._note_outage()
        if rule.is_anew:
            self._is_watch_anew = False
        self._tell_dead(len(seen.dead))

    def _was_away(self, now_s: float) -> bool:
        """Tell whether the store was away since the last pass.

        A pass that was only late, on a busy machine, is no outage: without a lost store, a gap counts from where two
        beats of a living worker could fall into it, or reclaim would pause for ever where everybody is slow.
        """
        settings = self._parts.settings
        spare_s = settings.lease_s - 2 * settings.heartbeat_s
        return self._away_s(now_s) > (_OUTAGE_S if self._is_lost else max(_OUTAGE_S, spare_s))

    def _away_s(self, now_s: float) -> float:
        return now_s - self._last_ok_s - self._parts.settings.sweep_interval_s

    def _note_outage(self) -> None:
        """Pause reclaim for one lease when the store was away since the last pass."""
        now_s = self._parts.clock.monotonic_s()
        if self._watching_from_s is None:
            self._watching_from_s = now_s
        if self._was_away(now_s):
            self._reclaim_from_s = now_s + self._parts.settings.lease_s
            self._is_watch_anew = True
            recorder.event(events.RECLAIM_PAUSED, downtime_s=round(self._away_s(now_s), 3))
        if self._is_lost:
            recorder.event(events.DATABASE_BACK, downtime_s=round(now_s - self._last_ok_s, 3))
        self._is_lost = False
        self._last_ok_s = now_s

    async def _sweep(self) -> None:
        parts = self._parts
        self._passes += 1
        if parts.clock.monotonic_s() >= self._reclaim_from_s:
            await self._reclaim()
        await parts.store.fold_idle()
        recorder.count(metrics.STAGE_ITEMS, stage="sweep")

    async def _keep_books(self) -> None:
        """Recount and prune when it is their turn. One of them that takes too long is no outage of the store either:
        nobody's lease waits for it.
        """
        parts = self._parts
        try:
            if self._passes % _RECOUNT_EVERY == 0:
                for drift in await parts.store.recount():
                    recorder.count(metrics.SLOTS_DRIFTED, abs(drift.is_now - drift.was))
                    recorder.event(events.SLOT_DRIFTED, name=drift.scope, count=drift.is_now - drift.was)
            if self._passes % _PRUNE_EVERY == 0 or self._is_prune_behind:
                self._is_prune_behind = False
                pruned = await parts.store.prune(idempotency_hours=parts.settings.idempotency_hours, limit=_PRUNE_LIMIT)
                # A whole batch: there may be more, and more may come in a minute than one batch takes away.
                self._is_prune_behind = pruned >= _PRUNE_LIMIT
            self._last_ok_s = parts.clock.monotonic_s()
        except store.StoreLost as error:
            recorder.count(metrics.STAGE_ERRORS, stage="sweep")
            recorder.event(events.STAGE_FAILED, stage="sweep", error=error)

    async def _reclaim(self) -> None:
        """Take the leases of the dead; silence is death only for who has listened for the whole of it."""
        parts, settings = self._parts, self._parts.settings
        assert self._watching_from_s is not None, "the pass that leads has watched"
        has_listened = parts.clock.monotonic_s() - self._watching_from_s >= settings.lease_s
        report = await parts.store.reclaim(
            lease_s=settings.lease_s if has_listened else None, margin_s=settings.send_margin_s, limit=_RECLAIM_LIMIT
        )
        self._tell_dead(report.dead_workers)
        if report.taken:
            recorder.count(metrics.LEASES_EXPIRED, report.taken)
            recorder.event(events.LEASE_EXPIRED, worker=parts.name)
        parts.wake(readied=report.readied)

    def _tell_dead(self, count: int) -> None:
        if count:
            recorder.count(metrics.WORKERS_DIED, count)
            recorder.event(events.WORKER_DIED, count=count)
