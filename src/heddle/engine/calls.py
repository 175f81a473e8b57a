"""Take calls from a door of this process, and tell it what comes of them: pieces as they come, the end when it stands.

A door that holds a request open needs three things of the engine it shares a process with: that its call is admitted
with as few commits as there are moments, that this worker takes it at once, and that the answer is handed over in
memory when its settlement is committed. Another worker that settles such a call says so. Whatever else happens, a
cancel, a deadline, news that got lost, is found by looking, each request less and less often. Nothing is decided here.
Before this in the walk: a door's admission. After: claim.
"""

import asyncio
import dataclasses
import functools
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from heddle.core import identity
from heddle.engine import parts as parts_module
from heddle.engine import supervise
from heddle.ports import calls as calls_port
from heddle.ports import records, store
from heddle.telemetry import recorder
from heddle.telemetry.catalog import metrics

BATCH_MAX = 200
LOOK_EVERY_S = 0.05
LOOK_FIRST_S = 0.1
LOOK_GROWTH = 1.5
LOOK_LONGEST_S = 1.0
_ORDINAL = 1

TakePiece = Callable[[int, identity.JsonValue], None]
"""Takes a piece of an answer: the number of the attempt it is of, and the piece as the adapter gave it."""


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class Watch:
    """Hold one request that waits for a run. ``ended``: set once, with what came of its call."""

    run_id: uuid.UUID
    ended: asyncio.Future[calls_port.EndedCall]
    take_piece: TakePiece | None
    is_replay: bool = False
    look_at_s: float = 0.0
    look_after_s: float = LOOK_FIRST_S


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class _Asked:
    """Hold one call that waits to be admitted."""

    call: calls_port.NewCall
    watch: Watch
    admitted: asyncio.Future[Watch]
    when_left: Callable[[Watch], None]


class Calls:
    """Serve the doors of one worker's process. Used from the loop's thread only."""

    def __init__(self, parts: parts_module.Parts) -> None:
        self._parts = parts
        self._asked: list[_Asked] = []
        self._is_asked = asyncio.Event()
        self._watches: dict[uuid.UUID, list[Watch]] = {}
        self._is_watched = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._watches.values()))

    async def submit(
        self,
        new: records.NewRun,
        *,
        take_piece: TakePiece | None = None,
        when_left: Callable[[Watch], None] = lambda _watch: None,
    ) -> Watch:
        """Admit a call as a run of its own and watch it; the commit has been made when this returns.

        ``when_left``: told of a call that was admitted although whoever asked for it had gone meanwhile.
        Raises what the store makes of it: IdempotencyConflict, IdempotencyBusy, QuotaFull, StoreLost.
        """
        run_id = self._parts.store.new_run_id()
        loop = asyncio.get_running_loop()
        watch = Watch(run_id=run_id, ended=loop.create_future(), take_piece=take_piece)
        # Watched before it is written: another pass of this worker may claim and send it before the commit is told.
        self._watch(watch)
        call = calls_port.NewCall(run_id=run_id, run=new)
        asked = _Asked(call=call, watch=watch, admitted=loop.create_future(), when_left=when_left)
        self._asked.append(asked)
        self._is_asked.set()
        try:
            return await asked.admitted
        except BaseException:
            self.forget(watch)
            if _has_result(asked.admitted):
                when_left(watch)
            raise

    def watch(self, run_id: uuid.UUID) -> Watch:
        """Watch a run that was admitted before."""
        watch = Watch(run_id=run_id, ended=asyncio.get_running_loop().create_future(), take_piece=None)
        self._watch(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        """Stop watching; the run goes on. A second call changes nothing."""
        found = self._watches.get(watch.run_id, [])
        if watch in found:
            found.remove(watch)
        if not found:
            self._watches.pop(watch.run_id, None)

    async def run(self) -> None:
        """Admit and look until cancelled."""
        await asyncio.gather(
            supervise.forever(self._parts, "admit", self._admit_pass),
            supervise.forever(self._parts, "observe", self._look_pass),
        )

    # What the stages tell (parts.Listening)

    def on_piece(self, claimed: store.Claimed) -> Callable[[identity.JsonValue], None] | None:
        """Give what takes the pieces of a call's answer, None when nobody listens."""
        found = self._watches.get(claimed.run_id)
        if not found or all(watch.take_piece is None for watch in found):
            return None
        return functools.partial(self._take_piece, claimed.run_id, claimed.number)

    def settled(self, batch: Sequence[store.Settlement], report: store.SettleReport) -> None:
        """Hand over what this worker has just brought to its end."""
        if not self._watches:
            return
        for over in report.ended:
            if over.run_id in self._watches:
                ended = _ended(over, [item for item in batch if item.run_id == over.run_id])
                if ended is None:
                    self._look_now(over.run_id)
                else:
                    self._end(ended)

    def is_watched(self, run_id: uuid.UUID) -> bool:
        """Tell whether a request waits for a run."""
        return run_id in self._watches

    def heard_end(self, run_id: uuid.UUID) -> None:
        """Look at the next turn: another worker says that it has settled this run."""
        self._look_now(run_id)

    # Admit

    async def _admit_pass(self) -> None:
        await self._is_asked.wait()
        batch, self._asked = self._asked[:BATCH_MAX], self._asked[BATCH_MAX:]
        if not self._asked:
            self._is_asked.clear()
        batch = [asked for asked in batch if not asked.admitted.done()]
        if not batch:
            return
        batch.sort(key=lambda asked: asked.call.run_id)
        started_s = self._parts.clock.monotonic_s()
        offer = self._parts.claiming.offer_calls(wanted=len(batch))
        try:
            found = await self._parts.store.submit_calls(calls=[asked.call for asked in batch], offer=offer)
        except BaseException as error:
            if offer is not None:
                self._parts.claiming.doubt_calls(offer)
            # Whether they were written is not known: the caller is told so, and asks again under its key.
            for asked in batch:
                _tell(asked.admitted, error)
            raise
        recorder.observe(metrics.STAGE_DURATION, self._parts.clock.monotonic_s() - started_s, stage="admit")
        recorder.observe(metrics.BATCH_SIZE, len(batch), stage="admit")
        recorder.count(metrics.COMMITS, stage="admit")
        if offer is not None:
            runs = {asked.call.run_id: asked.call.run for asked in batch}
            claimed = [_claimed(each, runs[each.run_id]) for each in found.taken]
            self._parts.claiming.take_calls(offer, claimed, asked_at_s=started_s)
        if len(found.taken) < len(batch):
            self._wake()
        for asked, outcome in zip(batch, found.outcomes, strict=True):
            self._admitted(asked, outcome)

    def _admitted(self, asked: _Asked, outcome: records.Submission | Exception) -> None:
        if isinstance(outcome, Exception):
            _tell(asked.admitted, outcome)
            return
        if asked.admitted.done():  # by being cancelled: whoever asked has gone, and has forgotten the watch
            asked.watch.is_replay = outcome.is_replay
            asked.when_left(asked.watch)
            return
        if outcome.is_replay:
            self.forget(asked.watch)
            asked.watch.run_id, asked.watch.is_replay = outcome.run_id, True
            asked.watch.take_piece = None
            asked.watch.look_at_s = 0.0
            self._watch(asked.watch)
        asked.admitted.set_result(asked.watch)

    def _wake(self) -> None:
        """Let this worker take what it has admitted; the others too when it has no place left."""
        parts = self._parts
        if parts.hold.count("send") < parts.settings.worker_in_flight_max:
            parts.claiming.expect()
            parts.doorbell.wake()
        else:
            parts.doorbell.ring()

    # Watch

    def _watch(self, watch: Watch) -> None:
        if watch.look_at_s == 0.0 and not watch.is_replay:
            watch.look_at_s = self._parts.clock.monotonic_s() + watch.look_after_s
        self._watches.setdefault(watch.run_id, []).append(watch)
        self._is_watched.set()

    def _take_piece(self, run_id: uuid.UUID, number: int, piece: identity.JsonValue) -> None:
        for watch in self._watches.get(run_id, ()):
            if watch.take_piece is not None:
                watch.take_piece(number, piece)

    def _look_now(self, run_id: uuid.UUID) -> None:
        for watch in self._watches.get(run_id, ()):
            watch.look_at_s = 0.0

    async def _look_pass(self) -> None:
        """Look for ends of runs that this worker does not hold itself."""
        if not self._watches:
            self._is_watched.clear()
            await self._is_watched.wait()
        now_s = self._parts.clock.monotonic_s()
        due: list[uuid.UUID] = []
        for run_id, watches in self._watches.items():
            for watch in watches:
                if watch.look_at_s <= now_s:
                    watch.look_at_s = now_s + watch.look_after_s
                    watch.look_after_s = min(LOOK_LONGEST_S, watch.look_after_s * LOOK_GROWTH)
                    if self._parts.hold.get((run_id, _ORDINAL)) is None:
                        due.append(run_id)
        if due:
            for ended in await self._parts.store.ended_calls(run_ids=sorted(set(due))):
                self._end(ended)
        await self._parts.clock.sleep(LOOK_EVERY_S)

    def _end(self, ended: calls_port.EndedCall) -> None:
        for watch in self._watches.pop(ended.run_id, ()):
            if not watch.ended.done():
                watch.ended.set_result(ended)


def _claimed(taken: calls_port.TakenCall, new: records.NewRun) -> store.Claimed:
    """Give the claim of a call that was leased as it was admitted; nothing of it has to be read."""
    call = new.call
    assert call is not None, "a run of this kind is one call"
    return store.Claimed(
        run_id=taken.run_id,
        ordinal=_ORDINAL,
        fence=taken.fence,
        number=1,
        purpose="send",
        endpoint_id=taken.endpoint_id,
        tenant_id=new.tenant.id,
        kind=call.kind.value,
        name=call.name,
        version=call.version,
        input=new.input,
        options=call.options.as_json() or None,
        state="due",
        attempts_before=0,
        epoch=0,
        crashes=0,
        outputs=None,
        workflow=new.workflow,
        workflow_version=new.version,
        traceparent=new.traceparent,
        deadline_in_s=new.deadline_s,
        handle=None,
        unknown_for_s=None,
        attempt_state="sending" if taken.is_sending else "reserved",
        result=None,
        priority=new.priority.value,
        waited_s=0.0,
        price_nano_usd=taken.price_nano_usd,
    )


def _has_result(future: "asyncio.Future[Any]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _tell(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    else:
        future.set_exception(error)


def _ended(over: store.EndedRun, settled: Sequence[store.Settlement]) -> calls_port.EndedCall | None:
    """Give the end of a run from the settlement that brought it; None when only the store can tell."""
    if len(settled) != 1 or over.run_id is None:
        return None
    item = settled[0]
    if over.state == "succeeded" and item.verdict == "complete" and item.output is not None:
        return calls_port.EndedCall(run_id=over.run_id, state=over.state, output=json.loads(item.output))
    if over.state == "failed" and item.verdict == "fail" and item.fault is not None:
        return calls_port.EndedCall(run_id=over.run_id, state=over.state, error=json.loads(item.fault))
    return None
