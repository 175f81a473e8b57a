"""Tell customers how their runs ended: take due events, send each once, write what follows. The last stage of the walk.

Every worker delivers; the leases of events keep two from sending one at a time, and what a dead worker held is sent by
another when they are over: at least once, under one id. Receivers are kept apart: each gets a few places, one that
fails gets one and pauses, all that fail share half of the places. Before it: the end of a run, which posted the event.
Neighbours: ``core.policy.delivery`` decides, ``ports.courier`` sends, ``sweep`` says who leads.
"""

import asyncio
import collections
import datetime
import math
from typing import Final, assert_never

from heddle.core import outbox as law
from heddle.core.policy import delivery
from heddle.engine import parts as parts_module
from heddle.engine import supervise, sweep
from heddle.ports import courier, outbox
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

LEASE_MARGIN_S: Final = 15.0
COUNTED_MAX: Final = 100_000
_COUNT_EVERY_S: Final = 15.0
_LEAD_LOOK_S: Final = 1.0
_PRUNE_EVERY: Final = 4
_BATCH: Final = 1_000
_BATCHES_MAX: Final = 60
"""Batches in a row that are given up or pruned: what ends in a minute is pruned in one, up to 1,000 a second."""
_LOOK_LEAST_S: Final = 0.02
_ERROR_CHARACTERS_MAX: Final = 300
_GONE: Final = "its receiver answered 410 Gone"
_NO_TIME: Final = "its receiver failed for three days, and there was no time for a try"
_UNWRITTEN: Final = "the event could not be written; the log of this moment says why"
_UNSTORED: Final = "the run is not stored any more, and the event was never sent"


class Deliverer:
    """Deliver for one worker."""

    def __init__(self, parts: parts_module.Parts, sweeper: sweep.Sweeper) -> None:
        self._parts = parts
        self._sweeper = sweeper
        self._flights: set[asyncio.Task[None]] = set()
        self._flying: collections.Counter[outbox.Receiver] = collections.Counter()
        self._flying_failing = 0
        self._health: dict[outbox.Receiver, _Standing] = {}
        self._writes: list[outbox.EventWrite] = []
        self._disabled: list[outbox.Disabling] = []
        self._stirred = asyncio.Event()
        self._writing = asyncio.Lock()
        self._after: outbox.Receiver | None = None
        self._looks = 0

    async def one_pass(self) -> None:
        """Write what became of events, send what is due, then wait for either."""
        parts = self._parts
        await parts.is_alive.wait()
        self._stirred.clear()
        await self._write()
        taken = outbox.TakenEvents()
        if not parts.is_draining:
            started_s = parts.clock.monotonic_s()
            taken = await parts.store.take_events(self._taking())
            self._after = taken.next_after
            for event in taken.events:
                self._begin(event)
            if taken.events:
                recorder.observe(metrics.STAGE_DURATION, parts.clock.monotonic_s() - started_s, stage="deliver")
                recorder.observe(metrics.BATCH_SIZE, len(taken.events), stage="deliver")
        is_halfway = taken.next_after is not None and taken.next_in_s is not None and taken.next_in_s <= 0
        if not is_halfway or self._taking().want == 0:
            await self._wait(self._rest_s(taken))

    async def keep_house(self) -> None:
        """Show what is not delivered and remove what has been over for long, as the leader."""
        parts = self._parts
        await parts.is_alive.wait()
        if not self._sweeper.is_leader:
            await supervise.rest(parts, _LEAD_LOOK_S)
            return
        found = await parts.store.count_events(limit=COUNTED_MAX)
        for state, count in (("due", found.due), ("dead", found.dead), ("disabled", found.disabled)):
            recorder.set(metrics.WEBHOOKS_KEPT, count, state=state)
        recorder.set(metrics.WEBHOOKS_OVERDUE_AGE, found.overdue_s)
        await self._give_up()
        if self._looks % _PRUNE_EVERY == 0:
            await self._prune()
        self._looks += 1
        await supervise.rest(parts, _COUNT_EVERY_S)

    async def _give_up(self) -> None:
        """Give up what receivers that never come back left no time for."""
        options = delivery.OPTIONS
        for _ in range(_BATCHES_MAX):
            gone = await self._parts.store.give_up_events(
                overdue_s=options.overdue_max_s, failures=options.failures, reason=_NO_TIME, limit=_BATCH
            )
            for event in gone:
                recorder.event(events.WEBHOOK_DIED, webhook_id=str(event), status=None, error=_NO_TIME)
            if len(gone) < _BATCH:
                return

    async def _prune(self) -> None:
        days = self._parts.settings.webhook_keep_days
        for _ in range(_BATCHES_MAX):
            if await self._parts.store.prune_events(days=days, limit=_BATCH) < _BATCH:
                return

    async def drained(self) -> None:
        """Wait until what is in flight has ended, and write it. Taking has stopped before."""
        while self._flights or self._writes:
            if self._flights:
                await asyncio.wait(self._flights)
            await self._write()

    async def end(self, draining: "asyncio.Task[None]", *, within_s: float) -> None:
        """Give ``drained`` its time; what a receiver that hangs keeps on its way is left to others."""
        await asyncio.wait({draining}, timeout=within_s)
        if not draining.done():
            draining.cancel()
        (error,) = await asyncio.gather(draining, return_exceptions=True)
        if isinstance(error, Exception):
            recorder.event(events.STAGE_FAILED, stage="deliver", error=error)

    async def close(self) -> None:
        """End what is in flight: its leases end by themselves, and others send it. A second call changes nothing."""
        for flight in self._flights:
            flight.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)
        await self._parts.courier.close()

    # Take

    def _taking(self) -> outbox.Taking:
        settings = self._parts.settings
        free = settings.webhook_in_flight_max - len(self._flights)
        free_failing = settings.webhook_in_flight_max // 2 - self._flying_failing
        # What is known here and not written yet: nothing more to a receiver that has just asked for a pause.
        held = {receiver: settings.webhook_receiver_max for receiver, each in self._health.items() if each.is_unwritten}
        busy = {**self._flying, **held}
        return outbox.Taking(
            want=max(0, free),
            want_failing=max(0, min(free, free_failing)),
            receiver_max=settings.webhook_receiver_max,
            failures_max=delivery.OPTIONS.failures,
            busy=tuple(sorted((receiver, count) for receiver, count in busy.items() if count > 0)),
            after=self._after,
            lease_s=settings.webhook_timeout_s + LEASE_MARGIN_S,
            output_bytes_max=settings.webhook_output_bytes_max,
        )

    def _rest_s(self, taken: outbox.TakenEvents) -> float:
        look_s = self._parts.settings.webhook_look_s
        if taken.next_in_s is None or taken.next_in_s <= 0:
            # What is due and was not taken belongs to receivers without room: a flight's end, or time, makes some.
            return _LOOK_LEAST_S if taken.events else look_s
        return min(look_s, max(_LOOK_LEAST_S, taken.next_in_s))

    async def _wait(self, at_most_s: float) -> None:
        """Wait for the end of a flight, or for a time."""
        stirring = asyncio.ensure_future(self._stirred.wait())
        resting = asyncio.ensure_future(self._parts.clock.sleep(at_most_s))
        try:
            await asyncio.wait({stirring, resting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stirring.cancel()
            resting.cancel()

    # Send

    def _begin(self, event: outbox.DueEvent) -> None:
        if event.is_disabled:
            self._put(event, law.EventState.DISABLED, error=_GONE)
            return
        try:
            body = event.body if event.body is not None else self._parts.compose(event)
        except Exception as error:  # noqa: BLE001 - one event that cannot be written must not keep the others from their receivers
            recorder.count(metrics.STAGE_ERRORS, stage="deliver")
            recorder.event(events.STAGE_FAILED, stage="deliver", error=error)
            self._put(event, law.EventState.DEAD, error=_UNWRITTEN)
            return
        if body is None:
            self._put(event, law.EventState.DEAD, error=_UNSTORED)
            return
        standing = self._health.get(event.receiver)
        held_s = 0.0 if standing is None else standing.hold_until_s - self._parts.clock.monotonic_s()
        if held_s > 0:
            self._put(event, law.EventState.DUE, delay_s=held_s)
            return
        is_failing = event.failures > 0
        self._flying[event.receiver] += 1
        self._flying_failing += is_failing
        task = asyncio.create_task(self._fly(event, body, is_failing=is_failing))
        self._flights.add(task)
        task.add_done_callback(self._flights.discard)

    async def _fly(self, event: outbox.DueEvent, body: str, *, is_failing: bool) -> None:
        try:
            await self._send(event, body)
        except Exception as error:  # noqa: BLE001 - the supervised border of one delivery: its lease ends by itself
            recorder.count(metrics.STAGE_ERRORS, stage="deliver")
            recorder.event(events.STAGE_FAILED, stage="deliver", error=error)
        finally:
            self._flying_failing -= is_failing
            self._flying[event.receiver] -= 1
            if self._flying[event.receiver] <= 0:
                del self._flying[event.receiver]
            self._stirred.set()

    async def _send(self, event: outbox.DueEvent, body: str) -> None:
        parts = self._parts
        started_s = parts.clock.monotonic_s()
        answer = await parts.courier.send(
            courier.Letter(
                url=event.url,
                message_id=str(event.id),
                body=body.encode(),
                secrets=self._secrets(event),
                timeout_s=parts.settings.webhook_timeout_s,
            )
        )
        took_s = parts.clock.monotonic_s() - started_s
        recorder.observe(metrics.WEBHOOK_DURATION, took_s)
        recorder.count(metrics.STAGE_ITEMS, stage="deliver")
        told, error = _heard(answer)
        self._note_health(event, told)
        self._decide(event, told, error=error, body=body, took_s=took_s)

    def _secrets(self, event: outbox.DueEvent) -> tuple[str, ...]:
        return tuple(
            law.secret(
                secret_key=self._parts.settings.secret_key,
                tenant_id=event.receiver.tenant_id,
                version=key.version,
                salt=key.salt,
            )
            for key in event.keys
        )

    def _decide(
        self, event: outbox.DueEvent, answer: delivery.Answer, *, error: str | None, body: str, took_s: float
    ) -> None:
        decided = delivery.verdict(answer, tries=event.tries + 1, rng=self._parts.clock.rng)
        state, outcome = _state_after(decided)
        delay_s = decided.delay_s if isinstance(decided, delivery.Again) else 0.0
        if isinstance(decided, delivery.Taken):
            recorder.event(
                events.WEBHOOK_DELIVERED, webhook_id=str(event.id), status=answer.status, duration_s=round(took_s, 3)
            )
        if isinstance(decided, delivery.Gone):
            self._disabled.append(outbox.Disabling(tenant_id=event.receiver.tenant_id, url=event.url, reason=_GONE))
            recorder.event(events.WEBHOOK_DISABLED, url=event.receiver.address, reason=_GONE)
        recorder.count(metrics.WEBHOOK_TRIES, outcome=outcome)
        if not answer.is_taken:
            retry_at = self._instant(delay_s) if state is law.EventState.DUE else None
            recorder.event(
                events.WEBHOOK_FAILED, webhook_id=str(event.id), status=answer.status, error=error, retry_at=retry_at
            )
        if state is law.EventState.DEAD:
            recorder.event(events.WEBHOOK_DIED, webhook_id=str(event.id), status=answer.status, error=error)
        self._put(event, state, delay_s=delay_s, is_try=True, status=answer.status, error=error, body=body)

    def _instant(self, delay_s: float) -> str:
        at = datetime.datetime.fromtimestamp(self._parts.clock.unix_s() + delay_s, tz=datetime.UTC)
        return at.isoformat(timespec="seconds")

    def _note_health(self, event: outbox.DueEvent, answer: delivery.Answer) -> None:
        standing = self._health.setdefault(event.receiver, _Standing(delivery.Health(failures=event.failures)))
        was_well = standing.health == delivery.WELL
        standing.health = delivery.health(standing.health, answer, rng=self._parts.clock.rng)
        # A pause that was asked for stands, also when an event that was on its way already is taken after all.
        standing.hold_until_s = max(standing.hold_until_s, self._parts.clock.monotonic_s() + standing.health.hold_s)
        standing.is_unwritten |= not (was_well and standing.health == delivery.WELL)

    # Write

    def _put(
        self,
        event: outbox.DueEvent,
        state: law.EventState,
        *,
        delay_s: float = 0.0,
        is_try: bool = False,
        status: int | None = None,
        error: str | None = None,
        body: str | None = None,
    ) -> None:
        self._writes.append(
            outbox.EventWrite(
                id=event.id,
                fence=event.fence,
                state=state,
                delay_s=delay_s,
                is_try=is_try,
                status=status,
                error=error,
                body=body,
            )
        )
        self._stirred.set()

    async def _write(self) -> None:
        """Write what has gathered; it stays gathered until the store has it."""
        async with self._writing:
            if self._writes:
                await self._write_locked()
        for receiver in [each for each in self._health if each not in self._flying]:
            if not self._health[receiver].is_unwritten:
                del self._health[receiver]

    async def _write_locked(self) -> None:
        writes, disabled = list(self._writes), list(self._disabled)
        now_s = self._parts.clock.monotonic_s()
        standings = [(receiver, each, each.health) for receiver, each in self._health.items() if each.is_unwritten]
        await self._parts.store.write_events(
            events=writes,
            receivers=[
                outbox.ReceiverWrite(
                    receiver=receiver, failures=health.failures, hold_s=max(0.0, each.hold_until_s - now_s)
                )
                for receiver, each, health in standings
            ],
            disabled=disabled,
        )
        del self._writes[: len(writes)], self._disabled[: len(disabled)]
        for _, standing, health in standings:
            standing.is_unwritten = standing.health is not health


def _heard(answer: courier.Answered | courier.Unanswered) -> tuple[delivery.Answer, str | None]:
    """Turn what the courier brings into what the law decides by, and the sentence that is kept of a failure."""
    match answer:
        case courier.Answered():
            told = delivery.Answer(status=answer.status, retry_after_s=answer.retry_after_s)
            return told, None if told.is_taken else f"the receiver answered {answer.status}"
        case courier.Unanswered():
            return delivery.Answer(status=None), answer.reason[:_ERROR_CHARACTERS_MAX]
        case _:
            assert_never(answer)


def _state_after(decided: delivery.Verdict) -> tuple[law.EventState, str]:
    """Give where an event is after a verdict, and how the try is counted."""
    match decided:
        case delivery.Taken():
            return law.EventState.DELIVERED, "delivered"
        case delivery.Again():
            return law.EventState.DUE, "retried"
        case delivery.Dead():
            return law.EventState.DEAD, "dead"
        case delivery.Gone():
            return law.EventState.DISABLED, "gone"
        case _:
            assert_never(decided)


class _Standing:
    """Hold how a receiver is as far as this worker knows, and until when nothing goes there on this worker's clock.

    ``is_unwritten``: the store does not know it yet.
    """

    __slots__ = ("health", "hold_until_s", "is_unwritten")

    def __init__(self, health: delivery.Health) -> None:
        self.health = health
        self.hold_until_s = -math.inf
        self.is_unwritten = False
