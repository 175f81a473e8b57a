"""Run one worker: claim, hand over to the stages, heart beat, timers, sweep, and an orderly end.

The walk of a step through this process is written in ``_hand_over``. Built by ``wiring``; run by ``heddle worker``.
"""

import asyncio
import functools
import math
import os
import socket
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from heddle.core import faults, settle, step
from heddle.engine import (
    activate,
    books,
    claim,
    deliver,
    deployed,
    execute,
    govern,
    heartbeat,
    load,
    observe,
    operate,
    poll,
    recur,
    reuse,
    routing,
    schedule,
    scores,
    supervise,
    sweep,
    told,
)
from heddle.engine import parts as parts_module
from heddle.engine import settle as settle_stage
from heddle.ports import operating, store
from heddle.program import registry
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

_REFRESH_S = 5.0
_SCHEMA_LOOK_S = 1.0
_TELL_EVERY_S = 60.0
_RECONCILE_HOLD_S = 5.0
_CANCEL_S = 2.0


class Worker:
    """Serve lanes until told to stop, then finish what is held."""

    def __init__(
        self,
        parts: parts_module.Parts,
        *,
        beat: Callable[..., heartbeat.Heartbeat] = heartbeat.Heartbeat,
    ) -> None:
        self._parts = parts
        parts.settling = settle_stage.SettleQueue(parts)
        parts.tally = load.Tally()
        parts.scores = scores.Scores()
        self._executor = execute.Executor(parts)
        self._poller = poll.Poller(parts, self._executor)
        self._reuser = reuse.Reuser(parts, self._executor)
        self._sweeper = sweep.Sweeper(parts)
        self._scheduler = schedule.Scheduler(parts, self._sweeper)
        self._recurrer = recur.Recurrer(parts, self._sweeper)
        self._operator = operate.Operator(parts, self._sweeper)
        self._observer = observe.Observer(parts, self._sweeper)
        self._governor = govern.Governor(parts, self._sweeper)
        self._deliverer = deliver.Deliverer(parts, self._sweeper)
        self._router = routing.Router(parts, self._sweeper)
        self._load_keeper = load.LoadKeeper(parts, self._sweeper)
        self._book_keeper = books.BookKeeper(parts, self._sweeper)
        parts.claiming = self._claimer = claim.Claimer(parts, hand_over=self._hand_over)
        self._activator = activate.Activator(parts)
        self._heartbeat = beat(parts, known=self._on_known, declared_dead=self._on_declared_dead)
        self._tasks: set[asyncio.Task[None]] = set()
        self._rebirth: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then drain. Raises what makes working impossible at the start."""
        parts = self._parts
        if not await self._opened_before(stop):
            return
        stages = [
            asyncio.create_task(supervise.forever(parts, "claim", self._claimer.one_pass)),
            asyncio.create_task(parts.settling.run()),
            asyncio.create_task(self._executor.intents.run()),
            asyncio.create_task(supervise.forever(parts, "schedule", self._scheduler.one_pass)),
            asyncio.create_task(supervise.forever(parts, "schedule", self._recurrer.one_pass)),
            asyncio.create_task(supervise.forever(parts, "sweep", self._sweeper.one_pass)),
            asyncio.create_task(supervise.forever(parts, "govern", self._governor.one_pass)),
            asyncio.create_task(supervise.forever(parts, "govern", self._router.one_pass)),
            asyncio.create_task(supervise.forever(parts, "operate", self._operator.one_pass)),
            asyncio.create_task(supervise.forever(parts, "operate", self._operator.keep_house)),
            asyncio.create_task(supervise.forever(parts, "deliver", self._deliverer.one_pass)),
            asyncio.create_task(supervise.forever(parts, "deliver", self._deliverer.keep_house)),
            asyncio.create_task(supervise.forever(parts, "heartbeat", self._reconcile_hold)),
            asyncio.create_task(supervise.forever(parts, "observe", self._observer.one_pass)),
            asyncio.create_task(supervise.forever(parts, "observe", self._refresh)),
            asyncio.create_task(supervise.forever(parts, "observe", self._load_keeper.one_pass)),
            asyncio.create_task(supervise.forever(parts, "observe", self._book_keeper.one_pass)),
        ]
        try:
            await stop.wait()
            await self._drain()
        finally:
            for stage in stages:
                stage.cancel()
            await asyncio.gather(*stages, return_exceptions=True)
            await self._close()

    async def _opened_before(self, stop: asyncio.Event) -> bool:
        """Open, unless asked to stop first: the wait for a migration has no end of its own."""
        opening = asyncio.create_task(self._open())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opening.result()
                return True
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await self._close()
            return False
        finally:
            for task in (opening, stopping):
                task.cancel()

    async def _open(self) -> None:
        parts = self._parts
        await self._until_open()
        parts.doorbell.watch_stops(self._on_stopped)
        await self._operator.look_at_lineage()
        await parts.doorbell.start()
        await parts.compute.start()
        await self._load(is_start=True)
        await self._register()
        self._heartbeat.start()
        recorder.introduce()
        recorder.event(events.WORKER_STARTED, worker=parts.name, pid=os.getpid())

    async def _until_open(self) -> None:
        """Wait for a database that is starting, ``drain_s`` at most, so that a wrong address is told; and for one that
        is not migrated yet, as long as it takes.
        """
        parts = self._parts
        until_s = parts.clock.monotonic_s() + max(parts.settings.drain_s, 10.0)
        told_s = -math.inf
        while True:
            try:
                await parts.store.open()
                return
            except operating.SchemaBehind as error:
                # Started before the migration, as a rolling upgrade may: it waits, it does not end and come again.
                if parts.clock.monotonic_s() - told_s >= _TELL_EVERY_S:
                    told_s = parts.clock.monotonic_s()
                    recorder.event(events.SCHEMA_BEHIND, reason=str(error))
                until_s = parts.clock.monotonic_s() + max(parts.settings.drain_s, 10.0)
                await parts.clock.sleep(_SCHEMA_LOOK_S)
            except store.StoreLost:
                if parts.clock.monotonic_s() > until_s:
                    raise
                await parts.clock.sleep(0.2)

    async def _register(self) -> None:
        parts = self._parts
        detail = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "workflows": [f"{each.name}@{each.version}" for each in registry.workflows()],
            "steps": [f"{each.name}@{each.version}" for each in registry.steps()],
        }
        parts.worker = await parts.store.register(name=parts.name, detail=detail)

    async def _load(self, *, is_start: bool = False) -> None:
        await deployed.load(self._parts, is_start=is_start)
        self._claimer.refresh()

    async def _refresh(self) -> None:
        await supervise.rest(self._parts, _REFRESH_S)
        await self._load()

    # The walk of a step through this process

    def _hand_over(self, claimed: Sequence[store.Claimed], asked_at_s: float) -> None:
        """Give each leased step to its stage. ``asked_at_s``: from before the claim, so that a call's time to be sent
        is no longer than what the store counts.
        """
        now_s = self._parts.clock.monotonic_s()
        activations = []
        for item in claimed:
            observe.started(item)
            lane = load.lane_of(item)
            self._parts.tally.took(lane)
            match item.purpose:
                case "activate":
                    self._parts.hold.add(item, kind="activate", now_s=now_s)
                    activations.append(item)
                case "execute" if item.kind == step.StepKind.MODEL:
                    self._start(item, "async", functools.partial(self._reuser.act, item), now_s, None)
                case "execute":
                    self._start(item, _kind(item), functools.partial(self._executor.run_step, item), now_s, lane)
                case "send":
                    send = functools.partial(self._executor.send, item, claimed_at_s=asked_at_s)
                    self._start(item, "send", send, now_s, lane)
                case "poll":
                    self._start(item, "poll", functools.partial(self._poller.act, item), now_s, lane)
                case "park":
                    self._parts.hold.add(item, kind="send", now_s=now_s)
                    self._park(item)
                case _:
                    raise AssertionError(f"a lease has the purpose {item.purpose!r}")
        if activations:
            self._keep(asyncio.create_task(self._activate(activations)))

    def _park(self, item: store.Claimed) -> None:
        """Put off a retry beyond its endpoint's budget: a later step, never a fast loop."""
        endpoint = self._parts.endpoints.get(item.endpoint_id or 0)
        recorder.count(metrics.RETRIES_PARKED, endpoint=recorder.OTHER if endpoint is None else endpoint.row.name)
        delay_s = told.PARK_S * (1.0 + self._parts.clock.rng.random())
        self._parts.settling.put(settle_stage.parked(item, delay_s=delay_s))

    def _start(
        self,
        item: store.Claimed,
        kind: str,
        work: Callable[[], Coroutine[Any, Any, None]],
        now_s: float,
        lane: load.Lane | None,
    ) -> None:
        held = self._parts.hold.add(item, kind=kind, now_s=now_s)
        held.lane = lane
        held.task = asyncio.create_task(self._guard(item, work))
        self._tasks.add(held.task)
        held.task.add_done_callback(functools.partial(self._ended, item))

    def _ended(self, item: store.Claimed, task: asyncio.Task[None]) -> None:
        """Forget a task, and the lease of one that was cancelled: also of one that had not begun."""
        self._tasks.discard(task)
        if task.cancelled():
            self._parts.hold.drop((item.run_id, item.ordinal), item.fence)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, item: store.Claimed, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let nothing that happens to one step end the worker, and let no lease be forgotten."""
        try:
            await work()
        except store.StoreLost as error:
            # The heartbeat finds the lease held by us and known to nobody here, and gives it back.
            recorder.event(events.DATABASE_LOST, address="", error=error)
            self._parts.hold.drop((item.run_id, item.ordinal), item.fence)
        except Exception as error:  # noqa: BLE001 - the supervised border of one step
            recorder.event(events.STAGE_FAILED, stage="execute", error=error)
            self._parts.settling.put(settle_stage.settlement(item, self._unforeseen(item, error)))

    def _unforeseen(self, item: store.Claimed, error: Exception) -> settle.Verdict:
        message = f"{type(error).__name__}: {error}"[:2_000]
        endpoint = self._parts.endpoints.get(item.endpoint_id or 0)
        held = self._parts.hold.get((item.run_id, item.ordinal))
        is_unsent = item.purpose == "send" and held is not None and held.fence == item.fence and not held.is_buying
        if endpoint is not None and endpoint.is_paid and not is_unsent:
            return settle.Reconcile(delay_s=self._parts.settings.send_margin_s, message=message)
        return settle.Fail(
            fault=faults.StepFault(fault=faults.Fault.UNCLASSIFIED, message=message, where=item.name or "")
        )

    async def _activate(self, claimed: list[store.Claimed]) -> None:
        try:
            await self._activator.activate(claimed)
        except store.StoreLost as error:
            recorder.event(events.DATABASE_LOST, address="", error=error)
        except Exception as error:  # noqa: BLE001 - the supervised border of a batch of activations
            recorder.event(events.STAGE_FAILED, stage="activate", error=error)
        finally:
            for item in claimed:
                self._parts.hold.drop((item.run_id, 0), item.fence)

    # Life and death

    def _on_stopped(self, run_id: uuid.UUID) -> None:
        if self._parts.hold.has_run(run_id):
            self._keep(asyncio.create_task(self._cut(run_id)))

    async def _cut(self, run_id: uuid.UUID) -> None:
        """End a stopped run's calls in flight: those whose lease the stop took, not the cleanup that follows it."""
        parts = self._parts
        try:
            stored = await parts.store.held(worker=parts.worker, grace_s=0.0)
        except store.StoreLost as error:
            # The heartbeat's comparison finds them when the store is back.
            recorder.event(events.DATABASE_LOST, address="", error=error)
            return
        parts.hold.cancel_run(run_id, still_leased={(ref.run_id, ref.ordinal, ref.fence) for ref in stored})

    def _on_known(self, worker: int) -> None:
        """Begin to work: from now on somebody notices when this process dies."""
        if worker == self._parts.worker:
            self._parts.is_alive.set()

    def _on_declared_dead(self, worker: int) -> None:
        """Send nothing more, drop everything but the answers that are paid for, and come back under a new id."""
        parts = self._parts
        if worker != parts.worker or not (self._rebirth is None or self._rebirth.done()):
            return
        parts.is_alive.clear()
        recorder.event(events.WORKER_RETIRED, worker=parts.name, count=len(parts.hold))
        parts.hold.cancel_unpaid()
        parts.hold.clear()
        self._rebirth = asyncio.create_task(self._be_reborn())

    async def _be_reborn(self) -> None:
        failures = 0
        while True:
            try:
                await self._register()
                return
            except store.StoreLost:
                failures += 1
                await self._parts.clock.sleep(min(2.0, 0.1 * 2**failures) * self._parts.clock.rng.random())

    async def _reconcile_hold(self) -> None:
        """Compare the store's leases with memory: give back strangers, drop what is ours no longer."""
        parts = self._parts
        await parts.clock.sleep(parts.settings.heartbeat_s)
        await parts.is_alive.wait()
        asked_s = parts.clock.monotonic_s()
        stored = await parts.store.held(worker=parts.worker, grace_s=_RECONCILE_HOLD_S)
        strangers = [ref for ref in stored if parts.hold.get((ref.run_id, ref.ordinal)) is None]
        if strangers:
            unsent = await self._claimer.let_go_unsent()
            strangers = [ref for ref in strangers if ref not in unsent]
        if strangers:
            recorder.event(events.LEASE_RELEASED, worker=parts.name)
            await parts.store.give_back(leases=strangers)
        keys = {(ref.run_id, ref.ordinal, ref.fence) for ref in stored}
        for held in parts.hold.unknown_to(keys, older_than_s=asked_s - 2 * _RECONCILE_HOLD_S):
            if held.task is not None:
                held.task.cancel()

    async def _drain(self) -> None:
        """Claim no more; give what is held its time; write everything; give back the rest."""
        parts = self._parts
        async with self._claimer.claiming:
            parts.is_draining = True
        started_s = parts.clock.monotonic_s()
        delivering = asyncio.create_task(self._deliverer.drained())
        recorder.event(events.WORKER_DRAIN_STARTED, worker=parts.name, count=len(parts.hold))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=parts.settings.drain_s)
        leftover = [task for task in self._tasks if not task.done()]
        refs = parts.hold.refs() if leftover else []
        for task in leftover:
            task.cancel()
        if leftover:
            # A step that will not be cancelled is left behind: its lease is given back, and the fence does the rest.
            await asyncio.wait(leftover, timeout=_CANCEL_S)
        try:
            await asyncio.wait_for(parts.settling.drained(), timeout=max(1.0, parts.settings.drain_s))
            await parts.store.give_back(leases=refs)
            await self._claimer.let_go_unsent()
            await asyncio.wait_for(parts.settling.drained(), timeout=max(1.0, parts.settings.drain_s))
            await asyncio.to_thread(self._heartbeat.close)
            await parts.store.retire(worker=parts.worker)
        except (store.StoreLost, TimeoutError) as error:
            recorder.event(events.STAGE_FAILED, stage="settle", error=error)
        left_s = parts.settings.drain_s - (parts.clock.monotonic_s() - started_s)
        await self._deliverer.end(delivering, within_s=max(1.0, left_s))
        recorder.event(events.WORKER_DRAINED, worker=parts.name, duration_s=parts.clock.monotonic_s() - started_s)

    async def _close(self) -> None:
        parts = self._parts
        self._heartbeat.close()
        self._activator.close()
        await self._deliverer.close()
        await parts.compute.close(0.0)
        await parts.doorbell.close()
        for endpoint in parts.endpoints.values():
            await endpoint.provider.close()
        await parts.store.close()


def _kind(item: store.Claimed) -> str:
    """Tell whether a local step takes a place in the loop or in the compute pool."""
    return "async" if item.name is not None and registry.step(item.name).is_async else "sync"
