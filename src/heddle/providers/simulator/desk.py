"""Accepts jobs, keeps them until they are over, and answers what became of them: the simulator's one mutable part.

It honours the idempotency class it was given, holds the concurrency limit, takes payment through `ledger` before
anybody is told of acceptance, gives failed jobs their price back and has `callbacks` tell the customer. Which faults
happen is decided by `fates`. It knows no HTTP: before and after it stands `jobs_api`. All of it runs on one event loop,
and between two awaits nothing else does; that is its only lock.
"""

import asyncio
import collections
import hashlib
import logging
import math
from collections import abc
from dataclasses import dataclass

from heddle.core import attempt
from heddle.providers.simulator import callbacks, fates, jobs, ledger, submission

JOBS_MAX = 50_000
KEYS_COUNTED_MAX = 100_000
CALLBACK_REPLAY_S = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A job was accepted, now or, for a replay, before. When is_cut the customer must not see the answer."""

    job: jobs.Job
    is_replay: bool
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No job was accepted by this request: an HTTP status, a stable code, a sentence and when to come back."""

    status: int
    code: str
    message: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the provider offers and asks: class A, B or C, jobs open at once at most, and the price of each."""

    idempotency: attempt.IdempotencyClass
    concurrency: int
    price_nano_usd: int


class Desk:
    """All jobs of one simulator."""

    def __init__(
        self,
        *,
        plan: fates.Plan,
        terms: Terms,
        book: ledger.Ledger,
        sender: callbacks.Callbacks,
        now_s: abc.Callable[[], float],
    ) -> None:
        self.terms = terms
        self.base_url = ""
        self._plan = plan
        self._book = book
        self._sender = sender
        self._now_s = now_s
        self._jobs: dict[str, jobs.Job] = {}
        self._cancelled_at_s: dict[str, float] = {}
        self._refunded: set[str] = set()
        self._by_key: dict[str, str] = {}
        self._by_client_job_id: dict[str, list[str]] = {}
        self._accepting: dict[str, asyncio.Future[None]] = {}
        self._tries: collections.OrderedDict[str, int] = collections.OrderedDict()
        self._accepted: collections.OrderedDict[str, int] = collections.OrderedDict()
        self._open: dict[str, asyncio.Event] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._reserved = 0

    def restore(self, books: ledger.Books) -> None:
        """Take up the jobs of a ledger again: finish the open ones, refund what failed meanwhile, call back late."""
        self._cancelled_at_s.update(books.cancelled_at_s)
        self._refunded.update(books.refunded_at_s)
        now_s = self._now_s()
        for job in books.paid:
            _next_count(self._accepted, _job_key(job.idempotency_key, job.client_job_id, job.request_digest))
            self._remember(job)
            is_refund_due = job.fate.is_failed and job.id not in self._refunded
            if job.id not in self._cancelled_at_s and (job.ends_at_s > now_s - CALLBACK_REPLAY_S or is_refund_due):
                self._watch(job)
        logger.info("%d jobs restored, %d of them open", len(self._jobs), len(self._open))

    async def close(self) -> None:
        """Stop watching; jobs go on in the ledger and are taken up by the next start."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    async def submit(self, *, wanted: submission.Submission, idempotency_key: str | None) -> Accepted | Refused:
        """Accept a job and take payment for it, find the one accepted before, or refuse.

        In class A a key that was seen answers with its job, and 422 for another body; two requests with one key at
        the same moment make one job. Payment is on disk before this returns.
        """
        key = _job_key(idempotency_key, wanted.client_job_id, wanted.digest)
        fault = fates.submit_fault(plan=self._plan, key=key, count=_next_count(self._tries, key))
        refusal = _injected_refusal(fault)
        if refusal is not None:
            return refusal
        is_cut = fault is fates.SubmitFault.CUT
        honoured = idempotency_key if self.terms.idempotency is attempt.IdempotencyClass.A else None
        if honoured is None:
            made = await self._accept(wanted=wanted, idempotency_key=idempotency_key, key=key)
            return made if isinstance(made, Refused) else Accepted(job=made, is_replay=False, is_cut=is_cut)
        if honoured in self._accepting:
            await self._accepting[honoured]
        known = self._by_key.get(honoured)
        if known is not None:
            return self._replay(known, digest=wanted.digest, is_cut=is_cut)
        if honoured in self._accepting:
            return Refused(status=409, code="in_progress", message="This key is being accepted.", retry_after_s=1)
        being_accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._accepting[honoured] = being_accepted
        try:
            made = await self._accept(wanted=wanted, idempotency_key=honoured, key=key)
        finally:
            del self._accepting[honoured]
            being_accepted.set_result(None)
        return made if isinstance(made, Refused) else Accepted(job=made, is_replay=False, is_cut=is_cut)

    def find(self, job_id: str) -> tuple[jobs.Job, jobs.Status] | None:
        """Find a job by its id, with its state now."""
        job = self._jobs.get(job_id)
        return None if job is None else (job, self._status(job))

    def find_by_client_job_id(self, client_job_id: str) -> list[tuple[jobs.Job, jobs.Status]]:
        """Find the jobs a customer gave this id to, oldest first; class B makes a new one for each request."""
        found = [self._jobs[job_id] for job_id in self._by_client_job_id.get(client_job_id, [])]
        return [(job, self._status(job)) for job in found]

    async def cancel(self, job_id: str) -> tuple[jobs.Job, jobs.Status] | Refused | None:
        """Cancel an open job; one that is over stays as it is. The price stays paid. None when there is no such job."""
        job = self._jobs.get(job_id)
        if job is None:
            return None
        if not jobs.is_over(self._status(job)):
            at_s = self._cancelled_at_s[job_id] = self._now_s()
            try:
                await self._book.cancel(job_id=job_id, at_s=at_s)
            except (OSError, ledger.LedgerFull) as error:
                del self._cancelled_at_s[job_id]
                logger.exception("job %s not cancelled", job_id)
                return Refused(status=503, code="ledger_unavailable", message=str(error), retry_after_s=2)
            if job_id in self._open:
                self._open[job_id].set()
        return job, self._status(job)

    @property
    def open_jobs(self) -> int:
        """Count the jobs that are neither over nor merely being written to the ledger."""
        return len(self._open)

    def _status(self, job: jobs.Job) -> jobs.Status:
        return jobs.status(job=job, cancelled_at_s=self._cancelled_at_s.get(job.id), now_s=self._now_s())

    def _replay(self, job_id: str, *, digest: str, is_cut: bool) -> Accepted | Refused:
        job = self._jobs[job_id]
        if job.request_digest != digest:
            message = f"This Idempotency-Key belongs to {job_id}, which was asked for with another body."
            return Refused(status=422, code="idempotency_key_reused", message=message)
        return Accepted(job=job, is_replay=True, is_cut=is_cut)

    async def _accept(
        self, *, wanted: submission.Submission, idempotency_key: str | None, key: str
    ) -> jobs.Job | Refused:
        if len(self._open) + self._reserved >= self.terms.concurrency:
            return self._at_limit()
        if not self._make_room():
            return Refused(status=503, code="full", message=f"{JOBS_MAX} jobs are open.", retry_after_s=5)
        count = _next_count(self._accepted, key)
        job = jobs.Job(
            id="job_" + hashlib.sha256(f"{self._plan.seed}/{count}/{key}".encode()).hexdigest()[:24],
            model=wanted.model,
            request=wanted.request,
            request_digest=wanted.digest,
            idempotency_key=idempotency_key,
            client_job_id=wanted.client_job_id,
            webhook_url=wanted.webhook_url,
            accepted_at_s=self._now_s(),
            price_nano_usd=self.terms.price_nano_usd,
            fate=fates.job_fate(plan=self._plan, key=key, count=count),
        )
        self._reserved += 1
        try:
            await self._book.pay(job)
        except (OSError, ledger.LedgerFull) as error:
            logger.exception("job %s not accepted", job.id)
            return Refused(status=503, code="ledger_unavailable", message=str(error), retry_after_s=2)
        finally:
            self._reserved -= 1
        self._remember(job)
        self._watch(job)
        return job

    def _at_limit(self) -> Refused:
        now_s = self._now_s()
        first_end_s = min((self._jobs[job_id].ends_at_s for job_id in self._open), default=now_s)
        message = f"{self.terms.concurrency} jobs are open, which is this account's limit."
        wait_s = max(1, math.ceil(first_end_s - now_s))
        return Refused(status=429, code="concurrency_limit", message=message, retry_after_s=wait_s)

    def _make_room(self) -> bool:
        """Forget the oldest job that is over when the table is full; tells whether there is room."""
        if len(self._jobs) < JOBS_MAX:
            return True
        oldest = next((job for job in self._jobs.values() if job.id not in self._open), None)
        if oldest is None:
            return False
        del self._jobs[oldest.id]
        self._cancelled_at_s.pop(oldest.id, None)
        self._refunded.discard(oldest.id)
        if oldest.idempotency_key is not None:
            self._by_key.pop(oldest.idempotency_key, None)
        if oldest.client_job_id is not None:
            rest = [job_id for job_id in self._by_client_job_id[oldest.client_job_id] if job_id != oldest.id]
            self._by_client_job_id[oldest.client_job_id] = rest
            if not rest:
                del self._by_client_job_id[oldest.client_job_id]
        return True

    def _remember(self, job: jobs.Job) -> None:
        self._make_room()
        self._jobs[job.id] = job
        if job.idempotency_key is not None:
            self._by_key[job.idempotency_key] = job.id
        if job.client_job_id is not None:
            self._by_client_job_id.setdefault(job.client_job_id, []).append(job.id)

    def _watch(self, job: jobs.Job) -> None:
        self._open[job.id] = asyncio.Event()
        watcher = asyncio.create_task(self._see_off(job), name=f"simulator-{job.id}")
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _see_off(self, job: jobs.Job) -> None:
        """Wait until a job is over, give the price of a failed one back and tell its customer."""
        try:
            async with asyncio.timeout(max(0.0, job.ends_at_s - self._now_s())):
                await self._open[job.id].wait()
        except TimeoutError:
            logger.debug("job %s reached its end", job.id)
        finally:
            del self._open[job.id]
        # A timer may fire a little before the clock says so; the state asked for is the one at the job's end.
        at_s = max(self._now_s(), job.ends_at_s) if job.id not in self._cancelled_at_s else self._now_s()
        state = jobs.status(job=job, cancelled_at_s=self._cancelled_at_s.get(job.id), now_s=at_s)
        if state is jobs.Status.FAILED and job.id not in self._refunded:
            self._refunded.add(job.id)
            try:
                await self._book.refund(job_id=job.id, price_nano_usd=job.price_nano_usd, at_s=at_s)
            except (OSError, ledger.LedgerFull):
                logger.exception("refund of %s not written; the next start writes it", job.id)
        await self._sender.deliver(job=job, state=state, base_url=self.base_url)


def _injected_refusal(fault: fates.SubmitFault | None) -> Refused | None:
    match fault:
        case fates.SubmitFault.THROTTLED:
            return Refused(status=429, code="rate_limited", message="Too many requests.", retry_after_s=1)
        case fates.SubmitFault.SERVER_ERROR:
            return Refused(status=500, code="internal_error", message="Nothing was accepted; try again.")
        case fates.SubmitFault.CUT | None:
            return None


def _job_key(idempotency_key: str | None, client_job_id: str | None, digest: str) -> str:
    """Name what chances are drawn for: the customer's own name for the job, or what was asked for."""
    return idempotency_key or client_job_id or digest


def _next_count(counts: collections.OrderedDict[str, int], key: str) -> int:
    """Count from 0 how often a key was seen; of more than 100,000 keys the least recent is forgotten."""
    count = counts.pop(key, 0)
    counts[key] = count + 1
    if len(counts) > KEYS_COUNTED_MAX:
        counts.popitem(last=False)
    return count
