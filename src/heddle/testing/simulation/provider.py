"""Script a provider of class A, B or C: a desk that takes jobs, and the adapter through which a worker speaks to it.

The desk is a world of its own: what reached it goes on when the worker that sent it is dead or frozen. Its ledger only
grows and is the referee of what was paid. Faults are drawn: refusals before anything happened, answers that are lost,
answers that come too late, callbacks that come early, twice or never.
"""

import asyncio
import dataclasses
import random
from collections.abc import Callable, Mapping
from typing import Any

from heddle.core import attempt, faults, ids, settle
from heddle.ports import provider
from heddle.testing.simulation import loop as loop_module


@dataclasses.dataclass(slots=True, kw_only=True)
class Manners:
    """Say how a provider behaves: times in seconds, rates from 0 to 1, each drawn for each call.

    ``is_job``: it answers with a handle and works on. ``deaf_rate``: a request is lost on its way. ``mute_rate``: an
    answer is. ``bill_rate``: a result names its price.
    """

    idempotency: attempt.IdempotencyClass
    is_job: bool
    is_paid: bool = True
    price_nano_usd: int = 0
    way_most_s: float = 0.2
    work_most_s: float = 2.0
    refuse_rate: float = 0.0
    throttle_rate: float = 0.0
    fail_rate: float = 0.0
    deaf_rate: float = 0.0
    mute_rate: float = 0.0
    callback_rate: float = 0.0
    bill_rate: float = 0.5
    lookup_bound_s: float = 1.5


@dataclasses.dataclass(slots=True, kw_only=True)
class Job:
    """Hold one job that the desk took. ``is_good``: it gives a result, and is paid for."""

    handle: str
    attempt_id: str
    key: str
    input: Mapping[str, Any]
    taken_at_s: float
    done_at_s: float
    is_good: bool
    is_cancelled: bool = False
    is_watched: bool = True

    @property
    def is_paid(self) -> bool:
        """Tell whether it costs money."""
        return self.is_good and not self.is_cancelled


class Desk:
    """Take jobs in the world's own time; ``ledger`` holds every one that was ever taken.

    ``is_away``: nothing gets through to it. ``busiest``: the most jobs it worked on at once. ``answer`` makes the
    result of an input; ``call_back`` is given (endpoint, attempt id, event id); ``is_wanted`` tells of an attempt
    whether its call is still wanted.
    """

    def __init__(
        self,
        name: str,
        manners: Manners,
        *,
        loop: loop_module.VirtualLoop,
        rng: random.Random,
        answer: Callable[[Mapping[str, Any]], Any],
        call_back: Callable[[str, str, str], None],
        trace: Callable[[str], None] = lambda _: None,
        is_wanted: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.name = name
        self.manners = manners
        self.ledger: list[Job] = []
        self.sends: list[str] = []
        self.busiest = 0
        self.is_away = False
        self._loop = loop
        self._rng = rng
        self._answer = answer
        self._call_back = call_back
        self._trace = trace
        self._is_wanted = is_wanted
        self._context = loop_module.context_of(None)

    def draw(self, rate: float) -> bool:
        """Tell whether something with this rate happens now."""
        return self._rng.random() < rate

    def way_s(self) -> float:
        """Draw how long a message is on its way."""
        return self._rng.random() * self.manners.way_most_s

    def later(self, delay_s: float, happen: Callable[..., None], *about: Any) -> None:
        """Let something happen in the desk's own process."""
        self._loop.call_later(delay_s, happen, *about, context=self._context)

    def in_flight(self) -> int:
        """Count the jobs that are worked on for somebody who still wants them."""
        working = [job for job in self.ledger if not job.is_cancelled and job.done_at_s > self._loop.time()]
        return sum(job.is_watched and self._is_wanted(job.attempt_id) for job in working)

    def take(self, request: provider.ProviderRequest, reply: Callable[[settle.Outcome], None]) -> None:
        """Take a request that has arrived, and answer it."""
        self.sends.append(request.attempt_id)
        if self.manners.idempotency is attempt.IdempotencyClass.A:
            known = self._known(request.idempotency_key)
            if known is not None:
                known.is_watched = True
                self._reply(known, reply)
                return
        if self.draw(self.manners.throttle_rate):
            fault = faults.StepFault(fault=faults.Fault.THROTTLED, message="later")
            reply(settle.Faulted(fault=fault, retry_after_s=self._rng.choice((None, 0.5, 1.0))))
            return
        if self.draw(self.manners.refuse_rate):
            reply(settle.Faulted(fault=faults.StepFault(fault=faults.Fault.REJECTED_TRANSIENT, message="not now")))
            return
        now_s = self._loop.time()
        job = Job(
            handle=f"{self.name}-{len(self.ledger) + 1}",
            attempt_id=request.attempt_id,
            key=request.idempotency_key,
            input=dict(request.input),
            taken_at_s=now_s,
            done_at_s=now_s + self._rng.random() * self.manners.work_most_s,
            is_good=not self.draw(self.manners.fail_rate),
        )
        self.ledger.append(job)
        self.busiest = max(self.busiest, self.in_flight())
        self._trace(f"{self.name} takes {request.attempt_id}")
        self._plan_callbacks(job)
        self._reply(job, reply)

    def _known(self, key: str) -> Job | None:
        """Find the job of a key; one that failed at once frees its key, as nothing of it is kept."""
        now_s = self._loop.time()
        found = (job for job in self.ledger if job.key == key)
        return next((job for job in found if job.is_good or self.manners.is_job or job.done_at_s > now_s), None)

    def _reply(self, job: Job, reply: Callable[[settle.Outcome], None]) -> None:
        if self.manners.is_job:
            reply(settle.Accepted(handle=job.handle, poll_after_s=self._rng.random()))
        else:
            wait_s = max(0.0, job.done_at_s - self._loop.time())
            self.later(wait_s, lambda: reply(self.outcome(job)))

    def _plan_callbacks(self, job: Job) -> None:
        while self.manners.is_job and self.draw(self.manners.callback_rate):
            delay_s = job.done_at_s - self._loop.time() + self.way_s()
            event_id = f"{job.handle}.{self._rng.randrange(2)}"
            self.later(max(0.0, delay_s), self._call_back, self.name, job.attempt_id, event_id)

    def outcome(self, job: Job) -> settle.Outcome:
        """Tell what a job has come to."""
        if job.is_cancelled:
            return settle.Faulted(fault=faults.StepFault(fault=faults.Fault.REJECTED_PERMANENT, message="cancelled"))
        if job.done_at_s > self._loop.time() + 1e-6:
            return settle.StillRunning(poll_after_s=self._rng.random())
        if not job.is_good:
            return settle.Faulted(fault=faults.StepFault(fault=faults.Fault.REJECTED_TRANSIENT, message="it broke"))
        price = self.manners.price_nano_usd if self.draw(self.manners.bill_rate) else None
        return settle.Completed(output=self._answer(job.input), cost_nano_usd=price)

    def find(self, handle: str) -> Job | None:
        """Find a job by its handle."""
        return next((job for job in self.ledger if job.handle == handle), None)

    def find_attempt(self, attempt_id: str) -> Job | None:
        """Find a job by the customer's own reference."""
        return next((job for job in self.ledger if job.attempt_id == attempt_id), None)


class ScriptedProvider:
    """Speak to a desk for one worker (``ports.provider.Provider``)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        manners = desk.manners
        is_b = manners.idempotency is attempt.IdempotencyClass.B
        self.capabilities = provider.Capabilities(
            idempotency=manners.idempotency,
            is_paid=manners.is_paid,
            has_poll=manners.is_job,
            has_lookup=is_b,
            has_cancel=manners.is_job,
            has_callback=manners.is_job,
            lookup_bound_s=manners.lookup_bound_s if is_b else 0.0,
        )

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt."""
        desk = self._desk
        if desk.is_away:
            await asyncio.sleep(desk.way_s())
            return settle.Faulted(fault=faults.StepFault(fault=faults.Fault.NOT_SENT, message="no way there"))
        is_deaf, is_mute = desk.draw(desk.manners.deaf_rate), desk.draw(desk.manners.mute_rate)
        answered: asyncio.Future[settle.Outcome] = asyncio.get_running_loop().create_future()
        if not is_deaf:
            desk.later(desk.way_s(), desk.take, request, lambda outcome: self._answered(answered, outcome, is_mute))
        try:
            async with asyncio.timeout(request.timeout_s):
                return await answered
        except TimeoutError:
            return self._unsure("no answer in time")
        except asyncio.CancelledError:
            self._hang_up(request)
            raise

    def _unsure(self, message: str) -> settle.Outcome:
        """Give the outcome of a send without an answer: a free call may be made again without harm."""
        if self.capabilities.is_paid:
            return settle.Unknown(message=message)
        return settle.Faulted(fault=faults.StepFault(fault=faults.Fault.REJECTED_TRANSIENT, message=message))

    def _answered(self, answered: asyncio.Future[settle.Outcome], outcome: settle.Outcome, is_mute: bool) -> None:
        if is_mute:
            outcome = self._unsure("the connection broke before the answer")

        def arrive() -> None:
            if not answered.done():
                answered.set_result(outcome)

        self._desk.later(self._desk.way_s(), arrive)

    def _hang_up(self, request: provider.ProviderRequest) -> None:
        """Close the connection: what the desk works on without a handle, it works on for nobody."""
        job = self._desk.find_attempt(request.attempt_id)
        if job is not None and not self._desk.manners.is_job:
            job.is_watched = False

    async def _ask(self, make: Callable[[], settle.Outcome]) -> settle.Outcome:
        """Ask the desk something and wait for its answer. Raises ConnectionError when nothing gets through."""
        desk = self._desk
        if desk.is_away or desk.draw(desk.manners.deaf_rate) or desk.draw(desk.manners.mute_rate):
            await asyncio.sleep(desk.way_s())
            raise ConnectionError("no answer")
        answered: asyncio.Future[settle.Outcome] = asyncio.get_running_loop().create_future()
        desk.later(desk.way_s(), lambda: self._answered(answered, make(), is_mute=False))
        return await answered

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after an accepted job."""
        desk = self._desk

        def look() -> settle.Outcome:
            job = desk.find(handle)
            assert job is not None, f"nobody gave the handle {handle!r}"
            return desk.outcome(job)

        try:
            return await self._ask(look)
        except ConnectionError:
            return settle.StillRunning(poll_after_s=1.0, note="no answer")

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Find by our reference what became of a send of unknown outcome."""
        desk = self._desk

        def look() -> settle.Outcome:
            job = desk.find_attempt(request.attempt_id)
            if job is None:
                return settle.Absent()
            outcome = desk.outcome(job)
            if isinstance(outcome, settle.StillRunning):
                return settle.Accepted(handle=job.handle, poll_after_s=outcome.poll_after_s)
            return outcome

        return await self._ask(look)

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask the desk to stop a job."""
        desk = self._desk

        def stop() -> settle.Outcome:
            job = desk.find(handle)
            if job is not None and job.done_at_s > self._desk._loop.time():  # noqa: SLF001 - one module, two sides
                job.is_cancelled = True
            return settle.Absent()

        try:
            await self._ask(stop)
        except ConnectionError:
            return False
        return True

    def verify_callback(self, *, headers: Mapping[str, str], body: bytes, now_s: float) -> provider.CallbackEvent:
        """Refuse: callbacks of a simulation come through the doors, verified."""
        raise provider.CallbackRefused("a scripted provider has no signatures")

    async def check(self) -> str | None:
        """Find nothing wrong."""
        return None

    async def close(self) -> None:
        """Let go of nothing."""


def logical_call(attempt_id: str) -> str:
    """Name the call of a run that an attempt belongs to: what may be paid once."""
    named = ids.AttemptId.parse(attempt_id)
    return f"{named.run_id}.{named.ordinal}"
