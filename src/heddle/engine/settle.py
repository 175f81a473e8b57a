"""Carry out verdicts: gather what happened to many steps and write it in batches.

Verdicts come from ``core.settle``; the store writes facts first and moves only steps whose fence matches. A batch
that could not be written is written again until it is: results were paid for. Before this in the walk: execute and
poll. After: deliver.
"""

import asyncio
import collections
import dataclasses
import json
from typing import Any, assert_never

from heddle.core import faults, json_text, run, settle
from heddle.core.policy import backoff
from heddle.core.policy import retry as retry_policy
from heddle.engine import observe, supervise
from heddle.engine import parts as parts_module
from heddle.ports import store
from heddle.telemetry import context, recorder
from heddle.telemetry.catalog import events, metrics

_WRITERS = 2
_write = json_text.writer()
_TRIES_MAX = 3
_REFUSED_WAIT_S = 0.05
_NEVER_SENT = "its admission was not told to have been committed"


def settlement(claimed: store.Claimed, verdict: settle.Verdict, *, is_sent: bool = True) -> store.Settlement:
    """Give the written form of a verdict. ``is_sent``: False when it failed before it reached its endpoint, which then
    is not to blame.
    """
    is_local = claimed.endpoint_id is None
    written = store.Settlement(
        run_id=claimed.run_id,
        ordinal=claimed.ordinal,
        fence=claimed.fence,
        number=claimed.number,
        verdict="",
        is_local=is_local,
        endpoint_id=claimed.endpoint_id if is_sent else None,
        attempt_before=claimed.attempt_state,
        is_first_try=claimed.number - claimed.attempts_before <= 1,
        is_whole=run.called_model(claimed.workflow) is not None,
        tier=claimed.tier,
    )
    # Only the send itself tells how the endpoint is; looking up what became of it tells nothing new.
    was_sent = is_sent and claimed.attempt_state in ("reserved", "sending") and claimed.purpose == "send"
    match verdict:
        case settle.Complete():
            written.verdict, written.attempt_state, written.breaker = "complete", "done", 1
            written.output = _write(verdict.output)
            written.is_billed = not is_local
            written.cost_nano_usd = None if is_local else verdict.cost_nano_usd
        case settle.RetryAt(is_same_attempt=True):
            written.verdict, written.attempt_state, written.delay_s = "reconcile", "unknown", verdict.delay_s
            written.fault, written.note = _fault(verdict.fault), storable(verdict.fault.message)
            written.breaker = -1 if was_sent else 0
        case settle.RetryAt():
            written.verdict, written.attempt_state, written.delay_s = "retry", "rejected", verdict.delay_s
            written.fault, written.breaker = _fault(verdict.fault), _breaker(verdict.fault, was_sent=was_sent)
            written.is_billed, written.cost_nano_usd = verdict.billed_nano_usd is None, verdict.billed_nano_usd or None
        case settle.PollAt():
            written.verdict, written.attempt_state, written.delay_s = "poll", "accepted", verdict.delay_s
            written.handle = None if verdict.handle is None else storable(verdict.handle)
            written.note = storable(verdict.note)
            written.breaker = 1 if was_sent else 0
        case settle.Reconcile():
            written.verdict, written.attempt_state, written.delay_s = "reconcile", "unknown", verdict.delay_s
            written.note = storable(verdict.message)
            written.breaker = -1 if was_sent else 0
        case settle.Fail():
            written.verdict, written.attempt_state = "fail", "rejected"
            written.fault, written.breaker = _fault(verdict.fault), _breaker(verdict.fault, was_sent=was_sent)
            written.is_billed, written.cost_nano_usd = verdict.billed_nano_usd is None, verdict.billed_nano_usd or None
        case settle.Bury():
            written.verdict, written.attempt_state, written.note = "bury", "unknown", storable(verdict.message)
            written.breaker = -1 if was_sent else 0
        case _:
            assert_never(verdict)
    return written


def unsent(claimed: store.Claimed, reason: str) -> store.Settlement:
    """Give the written form of a call that this worker claimed and did not send: it is due again at once, and the try
    does not count. Whatever became of its intent, nothing is to be looked up.
    """
    return store.Settlement(
        run_id=claimed.run_id,
        ordinal=claimed.ordinal,
        fence=claimed.fence,
        number=claimed.number,
        verdict="release",
        attempt_state="rejected",
        is_local=False,
        note=storable(reason),
        fault=_fault(faults.StepFault(fault=faults.Fault.NOT_SENT, message=reason)),
        tokens=0,
        images=0,
    )


def never_sent(ref: store.LeaseRef) -> store.Settlement:
    """Give the written form of a call that was leased in a commit whose outcome was not told: due again at once."""
    return store.Settlement(
        run_id=ref.run_id,
        ordinal=ref.ordinal,
        fence=ref.fence,
        number=1,
        verdict="release",
        attempt_state="rejected",
        is_local=False,
        note=_NEVER_SENT,
        fault=_fault(faults.StepFault(fault=faults.Fault.NOT_SENT, message=_NEVER_SENT)),
        tokens=0,
        images=0,
    )


def cut_off(claimed: store.Claimed, *, delay_s: float) -> store.Settlement:
    """Give the written form of a paid call whose worker does not wait for its answer: it is looked up after
    ``delay_s``, and says nothing about its endpoint.
    """
    message = "cut off while it was being sent"
    written = settlement(claimed, settle.Reconcile(delay_s=delay_s, message=message))
    fault = faults.StepFault(fault=faults.Fault.CODE_CRASHED, message=message)
    return dataclasses.replace(written, breaker=0, fault=_fault(fault))


def parked(claimed: store.Claimed, *, delay_s: float) -> store.Settlement:
    """Put off a retry that its endpoint's budget does not allow; it has no attempt, and none is counted."""
    return store.Settlement(
        run_id=claimed.run_id,
        ordinal=claimed.ordinal,
        fence=claimed.fence,
        number=0,
        verdict="retry",
        is_local=False,
        delay_s=delay_s,
        note="waits with its next try, since the retry budget of its endpoint is spent",
    )


def _fault(fault: faults.StepFault) -> str:
    return json.dumps({name: storable(text) for name, text in fault.as_json().items()}, ensure_ascii=False)


def storable(text: str) -> str:
    """Write out what PostgreSQL's text cannot hold, NUL and halves of surrogate pairs: others' words may have any."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _unstorable(item: store.Settlement, error: Exception) -> store.Settlement:
    """Turn a result that the store refuses into the failure of its step; what it cost is still charged."""
    message = f"the result could not be stored: {type(error).__name__}: {error}"[:2_000]
    fault = faults.StepFault(fault=faults.Fault.BAD_OUTPUT, message=message)
    return dataclasses.replace(
        item, verdict="fail", attempt_state="rejected", output=None, fault=_fault(fault), note=None, breaker=0
    )


def _breaker(fault: faults.StepFault, *, was_sent: bool) -> int:
    if fault.fault is faults.Fault.SENT_UNKNOWN and not was_sent:
        # It was counted when it was sent, or its worker has died, which is no failure of the endpoint.
        return 0
    return -1 if fault.counts_for_breaker else 0


def retry_of(claimed: store.Claimed) -> retry_policy.RetryOptions:
    """Give the retry options of a claimed call."""
    stored = (claimed.options or {}).get("retry")
    if stored is None:
        return _DEFAULT_RETRY
    waits = backoff.BackoffOptions(**stored["waits"])
    return retry_policy.RetryOptions(**{**stored, "waits": waits})


_DEFAULT_RETRY = retry_policy.RetryOptions()


class SettleQueue:
    """Gather settlements and write them in batches of at most ``worker_batch``, two batches at a time."""

    def __init__(self, parts: parts_module.Parts) -> None:
        self._parts = parts
        self._waiting: collections.deque[store.Settlement] = collections.deque()
        self._filled = asyncio.Event()
        self._writing = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, written: store.Settlement) -> None:
        """Hand in one settlement; it is written soon. Bounded by the leases this worker may hold."""
        self._waiting.append(written)
        self._idle.clear()
        self._filled.set()

    async def drained(self) -> None:
        """Wait until everything handed in is written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        await asyncio.gather(*(supervise.forever(self._parts, "settle", self._one_pass) for _ in range(_WRITERS)))

    async def _one_pass(self) -> None:
        await self._filled.wait()
        size = min(len(self._waiting), self._parts.settings.worker_batch)
        batch = [self._waiting.popleft() for _ in range(size)]
        if not self._waiting:
            self._filled.clear()
        if not batch:
            return
        self._writing += 1
        try:
            await self._write(batch)
        finally:
            self._writing -= 1
            if not self._waiting and self._writing == 0:
                self._idle.set()

    async def _write(self, batch: list[store.Settlement], *, tries_left: int = _TRIES_MAX) -> None:
        started_s = self._parts.clock.monotonic_s()
        unique = {(item.fence, item.number): item for item in batch}
        try:
            report = await supervise.until_stored(self._parts, "settle", lambda: self._settle(list(unique.values())))
        except Exception as error:  # noqa: BLE001 - one value that the store refuses must not take its batch with it
            await self._write_apart(batch, error, tries_left - 1)
            return
        now_s = self._parts.clock.monotonic_s()
        for item in batch:
            if item.verdict == "complete":
                self._parts.tally.ended(self._parts.hold.get((item.run_id, item.ordinal)), now_s=now_s)
            self._parts.hold.drop((item.run_id, item.ordinal), item.fence)
        self._tell_ends(report)
        self._parts.listening.settled(batch, report)
        self._parts.claiming.take(report.leased)
        if any(not item.is_local for item in batch):
            self._parts.claiming.freed()
        self._parts.wake(readied=report.readied)
        _record(batch, report, self._parts, started_s)

    def _tell_ends(self, report: store.SettleReport) -> None:
        """Tell gateways of ends of theirs, but for those that a door of this process waits for."""
        listening = self._parts.listening
        ended = [run.run_id for run in report.ended if run.is_awaited and run.run_id is not None]
        elsewhere = [run_id for run_id in ended if not listening.is_watched(run_id)]
        if elsewhere:
            self._parts.doorbell.tell_ended(elsewhere)

    async def _settle(self, settlements: list[store.Settlement]) -> store.SettleReport:
        # Of two settlements of one step only the store knows which counts, and so which output a successor gets.
        is_plain = len({(item.run_id, item.ordinal) for item in settlements}) == len(settlements)
        offer = self._parts.claiming.direct() if is_plain else None
        try:
            return await self._parts.store.settle(settlements=settlements, direct=offer)
        except store.StoreLost:
            self._parts.claiming.doubt(offer)
            raise

    async def _write_apart(self, batch: list[store.Settlement], error: Exception, tries_left: int) -> None:
        """Write what the store refused as a batch one by one; what it refuses by itself fails its step instead.

        A lease that nobody settles would be kept alive by our own heartbeat for ever.
        """
        recorder.count(metrics.STAGE_ERRORS, stage="settle")
        recorder.event(events.STAGE_FAILED, stage="settle", error=error)
        if len(batch) > 1:
            for item in batch:
                await self._write([item])
        elif tries_left > 0:
            await self._parts.clock.sleep(_REFUSED_WAIT_S)
            await self._write(batch, tries_left=tries_left)
        elif batch[0].verdict == "complete":
            await self._write([_unstorable(batch[0], error)])
        else:
            # Nothing is left to put in its place: the heartbeat gives the lease back, and the step runs again.
            self._parts.hold.drop((batch[0].run_id, batch[0].ordinal), batch[0].fence)


def _record(
    batch: list[store.Settlement], report: store.SettleReport, parts: parts_module.Parts, started_s: float
) -> None:
    recorder.observe(metrics.STAGE_DURATION, parts.clock.monotonic_s() - started_s, stage="settle")
    recorder.observe(metrics.BATCH_SIZE, len(batch), stage="settle")
    recorder.count(metrics.STAGE_ITEMS, report.settled, stage="settle")
    recorder.count(metrics.COMMITS, stage="settle")
    if report.fenced:
        recorder.count(metrics.WRITES_FENCED, report.fenced, stage="settle")
        recorder.event(events.WRITE_FENCED, stage="settle", worker=parts.name)
    for endpoint_id, count in report.late_at.items():
        recorder.count(metrics.RESULTS_LATE, count, endpoint=_endpoint_name(endpoint_id, parts))
        recorder.event(events.ATTEMPT_LATE, endpoint=_endpoint_name(endpoint_id, parts), count=count)
    observe.charged(report.charged, parts)
    observe.ended(report.ended)
    counted: collections.Counter[str] = collections.Counter(item.verdict for item in batch)
    if counted["complete"]:
        recorder.count(metrics.STEPS_FINISHED, counted["complete"], state="succeeded")
    if counted["fail"]:
        recorder.count(metrics.STEPS_FINISHED, counted["fail"], state="failed")
    for item in batch:
        if item.verdict in ("fail", "retry", "bury", "reconcile") and item.attempt_state is not None:
            with context.bind(run_id=item.run_id, step=item.ordinal, attempt=item.number):
                _record_trouble(item)
        if item.endpoint_id is not None:
            _record_attempt(item, endpoint=_endpoint_name(item.endpoint_id, parts))


def _endpoint_name(endpoint_id: int, parts: parts_module.Parts) -> str:
    """Give the name to count under; an endpoint that was removed meanwhile counts as ``other``."""
    endpoint = parts.endpoints.get(endpoint_id)
    return recorder.OTHER if endpoint is None else endpoint.row.name


def _record_attempt(item: store.Settlement, *, endpoint: str) -> None:
    """Count what one attempt at an endpoint came to; a poll that finds it as it was is no news."""
    if item.attempt_state is not None and item.attempt_state != item.attempt_before:
        recorder.count(metrics.ENDPOINT_ATTEMPTS, endpoint=endpoint, outcome=item.attempt_state)
    if item.verdict in ("fail", "retry"):
        assert item.fault is not None, "a failed attempt says how"
        recorder.count(metrics.ENDPOINT_FAULTS, endpoint=endpoint, fault=json.loads(item.fault)["fault"])
    if item.is_first_try and item.verdict in ("complete", "fail", "retry", "bury"):
        outcome = "succeeded" if item.verdict == "complete" else "failed"
        recorder.count(metrics.ENDPOINT_FIRST_TRIES, endpoint=endpoint, outcome=outcome)


def _record_trouble(item: store.Settlement) -> None:
    fault: dict[str, Any] = (
        json.loads(item.fault) if item.fault else {"fault": "sent_unknown", "message": item.note or ""}
    )
    name = fault["fault"]
    match item.verdict:
        case "fail":
            recorder.count(metrics.STEPS_FAILED, fault=name)
            recorder.event(events.STEP_FAILED, fault=name, reason=fault["message"])
        case "retry":
            recorder.count(metrics.STEPS_RETRIED, fault=name)
            recorder.event(events.STEP_RETRIED, fault=name, reason=fault["message"])
        case _:
            recorder.event(events.ATTEMPT_UNKNOWN, reason=fault["message"])
