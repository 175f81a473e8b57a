"""Take payment, keep a twin's jobs until they are over, and tell what state each is in: the one mutable part of a twin.

A job's course is fixed when it is paid (``faults.job_fate``), so its state is a function of the clock and survives the
twin's own death: ``restore`` takes the jobs of a ledger up again. Payment is on disk before anybody is told. This
module knows no HTTP and no vendor. All of it runs on one event loop; between two awaits nothing else does, and that is
its only lock. Before it: a vendor's routes. After it: ``ledger``, and the vendor's ``Watcher`` that makes callbacks.
"""

import asyncio
import collections
import enum
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

from heddle.core import identity
from heddle.twins.kit import faults, ledger

JOBS_MAX = 20_000
KEYS_COUNTED_MAX = 100_000
QUEUED_SHARE = 0.15
REPLAY_S = 60.0  # jobs that ended so long ago are told of again after a restart, since a callback may be missing

logger = logging.getLogger(__name__)


class Status(enum.StrEnum):
    """The states of a job in the twin's own words; each vendor translates them into its own."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Tell whether the state is final."""
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a vendor's route asks to be paid and, when ``is_job``, to be worked on. See ``ledger.Paid``."""

    operation: str
    model: str
    digest: str
    amount_nano_usd: int
    id_prefix: str
    idempotency_key: str | None = None
    client_reference: str | None = None
    callback_url: str | None = None
    is_job: bool = True
    latency_s: float | None = None
    data: Mapping[str, identity.JsonValue] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name what chances are drawn for: the client's own name for the call, or what was asked for."""
        return self.idempotency_key or self.client_reference or self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A paid job and where it is now. ``over_at_s``: when it ended; None while it is open."""

    paid: ledger.Paid
    status: Status
    over_at_s: float | None

    @property
    def id(self) -> str:
        """Give the job's id."""
        return self.paid.id

    def as_accepted(self) -> "Job":
        """Give the job as it was at the moment it was accepted, which is what a vendor's first answer shows."""
        return Job(paid=self.paid, status=Status.QUEUED, over_at_s=None)


Watcher = Callable[[Job], Awaitable[None]]


class Jobs:
    """All jobs of one twin, at most 20,000; of more, the oldest that is over is forgotten."""

    def __init__(
        self,
        *,
        plan: faults.Plan,
        book: ledger.Ledger,
        now_s: Callable[[], float],
        watcher: Watcher,
        is_failure_refunded: bool = False,
        is_cancel_refunded: bool = False,
    ) -> None:
        self._plan = plan
        self._book = book
        self._now_s = now_s
        self._watcher = watcher
        self._is_failure_refunded = is_failure_refunded
        self._is_cancel_refunded = is_cancel_refunded
        self._jobs: dict[str, ledger.Paid] = {}
        self._cancelled_at_s: dict[str, float] = {}
        self._refunded: set[str] = set()
        self._by_key: dict[str, str] = {}
        self._by_reference: dict[str, list[str]] = {}
        self._reserved = 0
        self._accepted: collections.OrderedDict[str, int] = collections.OrderedDict()
        self._open: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def restore(self, books: ledger.Books) -> None:
        """Take up the jobs of a ledger again: go on with open ones, tell again of those that ended lately."""
        self._cancelled_at_s.update(books.cancelled_at_s)
        self._refunded.update(books.refunded_at_s)
        now_s = self._now_s()
        for paid in books.paid:
            next_count(self._accepted, paid.key)
            if not paid.is_job:
                continue
            self._remember(paid)
            is_refund_due = self._is_failure_refunded and paid.fate.is_failed and paid.id not in self._refunded
            is_open = paid.fate.is_stuck or _ends_at_s(paid) > now_s - REPLAY_S or is_refund_due
            if paid.id not in self._cancelled_at_s and is_open:
                self._watch(paid)
        logger.info("%d jobs restored, %d of them open", len(self._jobs), len(self._open))

    async def close(self) -> None:
        """Stop watching; jobs go on in the ledger and are taken up by the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def pay(self, order: Order) -> Job:
        """Take payment, on disk when this returns, and begin the job. Raises ledger.LedgerFull or OSError: not paid.

        ``order.latency_s`` fixes how long the job takes; None leaves it to the plan.
        """
        if order.is_job and self.is_full:
            raise ledger.LedgerFull(f"{JOBS_MAX} jobs are open: come back later.")
        count = next_count(self._accepted, order.key)
        fate = faults.job_fate(plan=self._plan, key=order.key, count=count)
        if order.latency_s is not None:
            fate = faults.Fate(latency_s=order.latency_s, is_failed=fate.is_failed, is_stuck=fate.is_stuck)
        digest = hashlib.sha256(f"{self._plan.seed}/{order.operation}/{count}/{order.key}".encode()).hexdigest()
        paid = ledger.Paid(
            id=order.id_prefix + digest[:32],
            at_s=self._now_s(),
            operation=order.operation,
            model=order.model,
            key=order.key,
            digest=order.digest,
            amount_nano_usd=order.amount_nano_usd,
            idempotency_key=order.idempotency_key,
            client_reference=order.client_reference,
            callback_url=order.callback_url,
            is_job=order.is_job,
            fate=fate,
            data=order.data,
        )
        self._reserved += order.is_job
        try:
            await self._book.pay(paid)
        finally:
            self._reserved -= order.is_job
        if order.is_job:
            self._remember(paid)
            self._watch(paid)
        return self._seen(paid)

    def find(self, job_id: str) -> Job | None:
        """Find a job by its id, as it is now."""
        paid = self._jobs.get(job_id)
        return None if paid is None else self._seen(paid)

    def find_by_key(self, idempotency_key: str) -> Job | None:
        """Find the job that was accepted under an idempotency key; for vendors who honour one."""
        job_id = self._by_key.get(idempotency_key)
        return None if job_id is None else self.find(job_id)

    def find_by_reference(self, client_reference: str) -> list[Job]:
        """Find the jobs that carry a client's own reference, the oldest first."""
        return [self._seen(self._jobs[job_id]) for job_id in self._by_reference.get(client_reference, ())]

    def newest_first(self, *, operation: str) -> Iterator[Job]:
        """Give the jobs of one operation, the newest first."""
        return (self._seen(paid) for paid in reversed(list(self._jobs.values())) if paid.operation == operation)

    def place_in_queue(self, job: Job) -> int:
        """Count the queued jobs of the same model that were paid before this one."""
        ahead = (self._jobs[job_id] for job_id in self._open if job_id in self._jobs)
        return sum(
            paid.model == job.paid.model and paid.at_s < job.paid.at_s and self._status(paid) is Status.QUEUED
            for paid in ahead
        )

    @property
    def open_count(self) -> int:
        """Count the jobs that are not over."""
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Tell whether so many jobs are open that none may be accepted."""
        return len(self._open) + self._reserved >= JOBS_MAX

    def next_end_s(self) -> float | None:
        """Tell when the first of the open jobs ends; None when none will by itself."""
        open_jobs = (self._jobs[job_id] for job_id in self._open)
        return min((_ends_at_s(paid) for paid in open_jobs if not paid.fate.is_stuck), default=None)

    async def cancel(self, job_id: str) -> Job | None:
        """Cancel an open job; one that is over stays as it is. None when there is none. Raises as ``pay`` does."""
        paid = self._jobs.get(job_id)
        if paid is None:
            return None
        if not self._status(paid).is_over:
            at_s = self._cancelled_at_s[job_id] = self._now_s()
            try:
                await self._book.cancel(paid, at_s=at_s)
            except (OSError, ledger.LedgerFull):
                del self._cancelled_at_s[job_id]
                raise
            if self._is_cancel_refunded:
                await self._refund(paid)
            if job_id in self._open:
                self._open[job_id].set()
        return self._seen(paid)

    def forget(self, job_id: str) -> bool:
        """Forget a job that is over, as a vendor does whose client deletes it; tells whether there was one."""
        if job_id in self._open or job_id not in self._jobs:
            return False
        paid = self._jobs.pop(job_id)
        self._cancelled_at_s.pop(job_id, None)
        self._refunded.discard(job_id)
        if paid.idempotency_key is not None:
            self._by_key.pop(paid.idempotency_key, None)
        if paid.client_reference is not None:
            named = self._by_reference[paid.client_reference]
            named.remove(job_id)
            if not named:
                del self._by_reference[paid.client_reference]
        return True

    def _seen(self, paid: ledger.Paid) -> Job:
        status = self._status(paid)
        over_at_s = self._cancelled_at_s.get(paid.id, _ends_at_s(paid)) if status.is_over else None
        return Job(paid=paid, status=status, over_at_s=over_at_s)

    def _status(self, paid: ledger.Paid, *, now_s: float | None = None) -> Status:
        return status_of(
            paid,
            cancelled_at_s=self._cancelled_at_s.get(paid.id),
            now_s=self._now_s() if now_s is None else now_s,
        )

    def _remember(self, paid: ledger.Paid) -> None:
        if len(self._jobs) >= JOBS_MAX:
            oldest = next((job_id for job_id in self._jobs if job_id not in self._open), None)
            if oldest is not None:
                self.forget(oldest)
        self._jobs[paid.id] = paid
        if paid.idempotency_key is not None:
            self._by_key.setdefault(paid.idempotency_key, paid.id)
        if paid.client_reference is not None:
            self._by_reference.setdefault(paid.client_reference, []).append(paid.id)

    def _watch(self, paid: ledger.Paid) -> None:
        self._open[paid.id] = asyncio.Event()
        task = asyncio.create_task(self._see_off(paid), name=f"twin-{paid.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_off(self, paid: ledger.Paid) -> None:
        """Wait for a job to start and to end, refund what fails, and tell the vendor's watcher of both."""
        told = asyncio.Event()
        starting = asyncio.create_task(self._tell_start(paid, told), name=f"twin-start-{paid.id}")
        try:
            async with asyncio.timeout(None if paid.fate.is_stuck else max(0.0, _ends_at_s(paid) - self._now_s())):
                await self._open[paid.id].wait()
        except TimeoutError:
            logger.debug("job %s reached its end", paid.id)
        finally:
            if not told.is_set():
                starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            del self._open[paid.id]
        # A timer may fire a little before the clock says so; the state asked for is the one at the job's end.
        is_cancelled = paid.id in self._cancelled_at_s
        status = self._status(paid, now_s=None if is_cancelled else max(self._now_s(), _ends_at_s(paid)))
        if status is Status.FAILED and self._is_failure_refunded and paid.id not in self._refunded:
            try:
                await self._refund(paid)
            except (OSError, ledger.LedgerFull):
                logger.exception("refund of %s not written; the next start writes it", paid.id)
        await self._tell(Job(paid=paid, status=status, over_at_s=self._cancelled_at_s.get(paid.id, _ends_at_s(paid))))

    async def _tell_start(self, paid: ledger.Paid, told: asyncio.Event) -> None:
        if paid.fate.is_stuck:
            return
        await asyncio.sleep(max(0.0, _starts_at_s(paid) - self._now_s()))
        told.set()
        await self._tell(Job(paid=paid, status=Status.RUNNING, over_at_s=None))

    async def _tell(self, job: Job) -> None:
        try:
            await self._watcher(job)
        except Exception:  # a watcher that breaks must not take the job with it
            logger.exception("telling of job %s (%s) failed", job.id, job.status)

    async def _refund(self, paid: ledger.Paid) -> None:
        await self._book.refund(paid, at_s=self._now_s())
        self._refunded.add(paid.id)


def status_of(paid: ledger.Paid, *, cancelled_at_s: float | None, now_s: float) -> Status:
    """Name the state of a job at now_s."""
    ends_at_s = _ends_at_s(paid)
    if cancelled_at_s is not None and (paid.fate.is_stuck or cancelled_at_s < ends_at_s):
        return Status.CANCELLED
    if paid.fate.is_stuck:
        return Status.QUEUED
    if now_s >= ends_at_s:
        return Status.FAILED if paid.fate.is_failed else Status.SUCCEEDED
    return Status.QUEUED if now_s < _starts_at_s(paid) else Status.RUNNING


def next_count(counts: collections.OrderedDict[str, int], key: str) -> int:
    """Count from 0 how often a key was seen; of more than 100,000 keys the least recent is forgotten."""
    count = counts.pop(key, 0)
    counts[key] = count + 1
    if len(counts) > KEYS_COUNTED_MAX:
        counts.popitem(last=False)
    return count


def _starts_at_s(paid: ledger.Paid) -> float:
    return paid.at_s + paid.fate.latency_s * QUEUED_SHARE


def _ends_at_s(paid: ledger.Paid) -> float:
    return paid.at_s + paid.fate.latency_s
