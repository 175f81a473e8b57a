"""Run workflow functions over their journals and write what they decided.

Functions run in one dedicated thread, never in the loop; one that holds it longer than ``activation_blocked_s``
ends its run with its stack, and gets the thread replaced. A plan is written only under the lease and the wake-up
count it was made with. Before this in the walk: claim. After: plan, ready and the next claim.
"""

import asyncio
import concurrent.futures
import dataclasses
import sys
import threading
import types
import uuid
from collections.abc import Callable, Iterator, Sequence

from heddle.core import faults, plan
from heddle.engine import claim, observe, supervise
from heddle.engine import parts as parts_module
from heddle.engine import settle as settle_stage
from heddle.ports import store
from heddle.program import driver, mapping, places, registry
from heddle.program.errors import NotRegistered
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

# Each round loads at least one output that the one before asked for; it bounds how many awaits one activation may pass.
_ROUNDS_MAX = 1_000
_LOOK_S = 0.1
# One statement with 20,000 calls holds its locks for half a second.
_CALLS_MAX = 1_000
_TRIES_MAX = 3
_REFUSED_WAIT_S = 0.05


@dataclasses.dataclass(slots=True)
class _Progress:
    """Hold how far the thread has come: written by the thread, read by the loop."""

    plans: list[plan.Plan] = dataclasses.field(default_factory=list)
    current: plan.Journal | None = None
    since_s: float = 0.0
    thread_id: int = 0
    is_given_up: bool = False


def _activate_all(journals: Sequence[plan.Journal], progress: _Progress, now_s: Callable[[], float]) -> None:
    progress.thread_id = threading.get_ident()
    for journal in journals:
        if progress.is_given_up:
            return
        progress.current, progress.since_s = journal, now_s()
        progress.plans.append(_activate(journal))
    progress.current = None


def _activate(journal: plan.Journal) -> plan.Plan:
    """Run one function. Whatever else breaks with it, such as its author's check of a type, is its own run's fault and
    not that of the runs beside it in the batch.
    """
    try:
        return _planned(journal)
    except Exception as error:  # noqa: BLE001 - the border of the batch: an error here would come again with every try
        recorder.event(events.STAGE_FAILED, stage="activate", error=error)
        message = settle_stage.storable(f"{type(error).__name__}: {error}"[:2_000])
        return _failed(journal, faults.Fault.CODE_RAISED, message, f"workflow {journal.workflow}")


def _planned(journal: plan.Journal) -> plan.Plan:
    try:
        if journal.workflow == mapping.NAME:
            return mapping.activate(journal, newest_version=registry.newest_version)
        definition = registry.workflow(journal.workflow, journal.version)
    except NotRegistered as error:
        return _failed(journal, faults.Fault.WORKFLOW_CHANGED, str(error), "")
    return driver.activate(definition, journal)


def _failed(journal: plan.Journal, fault: faults.Fault, message: str, where: str) -> plan.Plan:
    raised = plan.Raised(fault=faults.StepFault(fault=fault, message=message, where=where))
    return plan.Plan(run_id=journal.run_id, calls=(), ending=raised)


def _author_place(frame: types.FrameType | None) -> str:
    """Name the innermost line of the author's code in a stack; empty when it is not in any."""
    while frame is not None and frame.f_globals.get("__name__") != __name__:
        if places.is_author(frame):
            return places.of_line(frame, frame.f_lineno)
        frame = frame.f_back
    return ""


def _without_end(made: plan.Plan, journal: plan.Journal) -> plan.Plan:
    """Fail a run that still asks for outputs after the last round, rather than begin again for ever."""
    if not isinstance(made.ending, plan.NeedOutputs):
        return made
    message = f"the run awaits more than {_ROUNDS_MAX} calls at once; use heddle.all_of"
    return _failed(journal, faults.Fault.WORKFLOW_BLOCKED, message, journal.workflow)


def _is_first(claimed: store.Claimed) -> bool:
    return claimed.wake_seq is not None


def _first(claimed: store.Claimed) -> store.LoadedJournal:
    """Give the journal of a run's first activation, which is empty: the claim brought all there is to know."""
    assert claimed.wake_seq is not None, "_is_first was asked"
    journal = plan.Journal(
        run_id=claimed.run_id,
        workflow=claimed.workflow,
        version=claimed.workflow_version,
        input=claimed.input,
        entries={},
        patches=frozenset(),
        now_s=claimed.now_s,
    )
    return store.LoadedJournal(
        journal=journal, wake_seq=claimed.wake_seq, tenant_id=claimed.tenant_id, priority=claimed.priority
    )


def _cut(writes: Sequence[store.PlanWrite]) -> Iterator[list[store.PlanWrite]]:
    """Cut a batch so that one transaction writes about ``_CALLS_MAX`` calls; a single plan is never cut."""
    part: list[store.PlanWrite] = []
    calls = 0
    for write in writes:
        if part and calls + len(write.plan.calls) > _CALLS_MAX:
            yield part
            part, calls = [], 0
        part.append(write)
        calls += len(write.plan.calls)
    if part:
        yield part


class Activator:
    """Activate batches of runs, one function at a time."""

    def __init__(self, parts: parts_module.Parts) -> None:
        self._parts = parts
        self._thread = self._new_thread()

    def _new_thread(self) -> concurrent.futures.ThreadPoolExecutor:
        return concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="heddle-activation")

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def activate(self, claimed: Sequence[store.Claimed]) -> None:
        """Activate a batch: load, run, load more outputs where asked, write. Ends with every lease written or left to
        the reclaim.
        """
        started_s = self._parts.clock.monotonic_s()
        leases = {item.run_id: item for item in claimed}
        outputs_of: dict[uuid.UUID, tuple[int, ...]] = {}
        todo, done = list(leases), []
        loaded: dict[uuid.UUID, store.LoadedJournal] = {}
        for turn in range(_ROUNDS_MAX):
            found = {run_id: _first(leases[run_id]) for run_id in todo if turn == 0 and _is_first(leases[run_id])}
            if len(found) < len(todo):
                found |= await self._load([run_id for run_id in todo if run_id not in found], outputs_of)
            loaded.update(found)
            plans = await self._run([item.journal for item in found.values()])
            if turn == _ROUNDS_MAX - 1:
                plans = [_without_end(made, loaded[made.run_id].journal) for made in plans]
            done += [made for made in plans if not isinstance(made.ending, plan.NeedOutputs)]
            outputs_of = {
                made.run_id: (*outputs_of.get(made.run_id, ()), *made.ending.ordinals)
                for made in plans
                if isinstance(made.ending, plan.NeedOutputs)
            }
            todo = list(outputs_of)
            if not todo:
                break
        for writes in _cut(
            [
                store.PlanWrite(
                    plan=made,
                    fence=leases[made.run_id].fence,
                    wake_seq=loaded[made.run_id].wake_seq,
                    first=leases[made.run_id] if _is_first(leases[made.run_id]) else None,
                )
                for made in done
            ]
        ):
            await self._write(writes)
        unread = [store.LeaseRef(run_id=run, ordinal=0, fence=leases[run].fence) for run in leases if run not in loaded]
        await self._parts.store.give_back(leases=unread)
        for item in claimed:
            self._parts.hold.drop((item.run_id, 0), item.fence)
        recorder.observe(metrics.STAGE_DURATION, self._parts.clock.monotonic_s() - started_s, stage="activate")
        recorder.observe(metrics.BATCH_SIZE, len(claimed), stage="activate")
        recorder.count(metrics.STAGE_ITEMS, len(claimed), stage="activate")

    async def _load(
        self, run_ids: list[uuid.UUID], outputs_of: dict[uuid.UUID, tuple[int, ...]]
    ) -> dict[uuid.UUID, store.LoadedJournal]:
        return await self._parts.store.journals(run_ids=run_ids, outputs_of=outputs_of)

    async def _write(self, writes: Sequence[store.PlanWrite], *, tries_left: int = _TRIES_MAX) -> None:
        if not writes:
            return
        report = store.PlanReport()

        async def write() -> store.SettleReport:
            nonlocal report
            direct = self._parts.claiming.direct()
            try:
                report = await self._parts.store.write_plans(
                    plans=writes, cleanup_s=self._parts.settings.cleanup_s, direct=direct
                )
            except store.StoreLost:
                self._parts.claiming.doubt(direct)
                raise
            return store.SettleReport(readied=report.readied)

        try:
            await supervise.until_stored(self._parts, "activate", write)
        except Exception as error:  # noqa: BLE001 - one plan that the store refuses must not take its batch with it
            await self._write_apart(writes, error, tries_left - 1)
            return
        recorder.count(metrics.COMMITS, stage="activate")
        if report.dropped:
            recorder.count(metrics.WRITES_FENCED, report.dropped, stage="activate")
        observe.ended(report.ended)
        self._parts.claiming.note_planned(writes)
        self._parts.claiming.take([self._aged(item) for item in report.leased])
        for workflow in report.continued:
            recorder.count(metrics.RUNS_CONTINUED, workflow=workflow)
        for run_id in report.stopped:
            self._parts.doorbell.tell_stopped(run_id)
        self._parts.wake(readied=report.readied + report.timed)

    def _aged(self, item: store.Claimed) -> store.Claimed:
        """Count the time of the activation off what was left of the run's when it was claimed."""
        held = self._parts.hold.get((item.run_id, 0))
        by_s = 0.0 if held is None else self._parts.clock.monotonic_s() - held.taken_at_s
        return claim.aged(item, by_s=by_s)

    async def _write_apart(self, writes: Sequence[store.PlanWrite], error: Exception, tries_left: int) -> None:
        """Write plans that the store refused as a batch one by one; one it refuses by itself fails its run instead.

        Raises what the store says when it refuses even that: the heartbeat then gives the lease back.
        """
        recorder.count(metrics.STAGE_ERRORS, stage="activate")
        recorder.event(events.STAGE_FAILED, stage="activate", error=error)
        if len(writes) > 1:
            for item in writes:
                await self._write([item])
        elif tries_left > 0:
            await self._parts.clock.sleep(_REFUSED_WAIT_S)
            await self._write(writes, tries_left=tries_left)
        elif tries_left == 0:
            message = f"what the function planned could not be stored: {type(error).__name__}: {error}"[:2_000]
            fault = faults.StepFault(fault=faults.Fault.WORKFLOW_MISUSE, message=settle_stage.storable(message))
            made = plan.Plan(run_id=writes[0].plan.run_id, calls=(), ending=plan.Raised(fault=fault))
            await self._write([dataclasses.replace(writes[0], plan=made)], tries_left=0)
        else:
            raise error

    async def _run(self, journals: Sequence[plan.Journal]) -> list[plan.Plan]:
        """Run functions in the thread; give a blocked one up with its stack and go on in a new thread."""
        plans: list[plan.Plan] = []
        rest = list(journals)
        while rest:
            progress = _Progress()
            future = asyncio.get_running_loop().run_in_executor(
                self._thread, _activate_all, rest, progress, self._parts.clock.monotonic_s
            )
            blocked = await self._watch(future, progress)
            # One look: the thread that was given up goes on, and may end its function at this very moment.
            made = list(progress.plans)
            plans += made
            rest = rest[len(made) :]
            if blocked is not None and rest and rest[0].run_id == blocked.run_id:
                plans.append(blocked)
                rest = rest[1:]
        return plans

    async def _watch(self, future: asyncio.Future[None], progress: _Progress) -> plan.Plan | None:
        limit_s = self._parts.settings.activation_blocked_s
        while True:
            done, _ = await asyncio.wait([future], timeout=_LOOK_S)
            if done:
                # Cancelled: it stood in line behind a function that was given up with its thread; it is run again.
                if not future.cancelled():
                    future.result()
                return None
            current = progress.current
            if current is not None and self._parts.clock.monotonic_s() - progress.since_s > limit_s:
                return self._give_up(current, progress)

    def _give_up(self, journal: plan.Journal, progress: _Progress) -> plan.Plan:
        progress.is_given_up = True
        frames = sys._current_frames()  # noqa: SLF001 - the documented way to see another thread's stack
        where = _author_place(frames.get(progress.thread_id))
        recorder.event(
            events.ACTIVATION_BLOCKED,
            workflow=journal.workflow,
            duration_s=self._parts.clock.monotonic_s() - progress.since_s,
            reason=where,
        )
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._thread = self._new_thread()
        message = (
            f"the workflow function held its thread for more than {self._parts.settings.activation_blocked_s:g} s;"
            " move slow work into a step"
        )
        return _failed(journal, faults.Fault.WORKFLOW_BLOCKED, message, where)
