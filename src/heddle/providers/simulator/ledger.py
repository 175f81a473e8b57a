"""Keeps the simulator's books: one JSON line for each job paid, refunded or cancelled, appended and synced to disk.

A job exists when its `paid` line is on disk, and not before. The line holds everything needed to take the job up again
after `kill -9`. The file is only ever appended to; a line torn by a crash was never answered for, and is cut off when
the file is next opened. Summaries for people and tests are read from the same file. Before it `jobs_api` decides to
accept; after it the answer leaves.
"""

import asyncio
import dataclasses
import json
import os
import pathlib
import typing
from collections import abc
from dataclasses import dataclass

from heddle.providers.simulator import fates, jobs

LINE_SIZE_MAX_BYTES = 65_536
BATCH_LINES_MAX = 256
PENDING_LINES_MAX = 4_096


class LedgerFull(RuntimeError):
    """Say that more lines wait for the disk than may wait."""


class LedgerDamaged(ValueError):
    """Say which line of a ledger is not one the simulator wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What a ledger holds: jobs in the order they were paid, and when which of them were refunded or cancelled."""

    paid: tuple[jobs.Job, ...]
    refunded_at_s: abc.Mapping[str, float]
    cancelled_at_s: abc.Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Books in figures. A key was paid twice when two of its jobs were paid and not refunded."""

    paid_jobs: int
    refunded_jobs: int
    cancelled_jobs: int
    paid_nano_usd: int
    refunded_nano_usd: int
    keys_paid_twice: tuple[str, ...]


def read(path: pathlib.Path) -> Books:
    """Read a ledger; a missing file is an empty one and a torn last line is left out. Raises LedgerDamaged."""
    paid: list[jobs.Job] = []
    refunded: dict[str, float] = {}
    cancelled: dict[str, float] = {}
    content = path.read_bytes() if path.exists() else b""
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            entry = json.loads(line)
            match entry["kind"]:
                case "paid":
                    paid.append(_job(entry))
                case "refunded":
                    refunded[entry["id"]] = float(entry["at_s"])
                case "cancelled":
                    cancelled[entry["id"]] = float(entry["at_s"])
                case kind:
                    raise LedgerDamaged(f"{path} line {number}: unknown kind {kind!r}.")
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise LedgerDamaged(f"{path} line {number} is not a line of a simulator's ledger: {error!r}.") from error
    return Books(paid=tuple(paid), refunded_at_s=refunded, cancelled_at_s=cancelled)


def summarise(path: pathlib.Path) -> Summary:
    """Add a ledger up. The key of a job is its idempotency key, else its client job id; jobs with neither have none."""
    books = read(path)
    kept: dict[str, int] = {}
    for job in books.paid:
        key = job.idempotency_key or job.client_job_id
        if key is not None and job.id not in books.refunded_at_s:
            kept[key] = kept.get(key, 0) + 1
    return Summary(
        paid_jobs=len(books.paid),
        refunded_jobs=len(books.refunded_at_s),
        cancelled_jobs=len(books.cancelled_at_s),
        paid_nano_usd=sum(job.price_nano_usd for job in books.paid),
        refunded_nano_usd=sum(job.price_nano_usd for job in books.paid if job.id in books.refunded_at_s),
        keys_paid_twice=tuple(sorted(key for key, count in kept.items() if count > 1)),
    )


class Ledger:
    """The open file. Lines that arrive while the disk is busy are written and synced together."""

    def __init__(self, *, path: pathlib.Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._pending: list[tuple[bytes, asyncio.Future[None]]] = []
        self._has_pending = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        _cut_torn_line(self._descriptor)
        _sync_folder(path.parent)

    def start(self) -> None:
        """Start the task that writes; must be called on the running loop."""
        assert self._writer is None
        self._writer = asyncio.create_task(self._write_forever(), name="simulator-ledger")

    async def close(self) -> None:
        """Stop writing and close the file; lines still waiting are refused, since nobody was told of them."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        for _, written in self._pending:
            if not written.done():
                written.set_exception(LedgerFull("The ledger was closed before the line was written."))
        self._pending.clear()
        os.close(self._descriptor)

    async def pay(self, job: jobs.Job) -> None:
        """Record a job as paid; returns when it is on disk. Raises LedgerFull or OSError, and then it was not paid."""
        await self._append({"kind": "paid", "at_s": job.accepted_at_s, **_entry(job)})

    async def refund(self, *, job_id: str, price_nano_usd: int, at_s: float) -> None:
        """Record that a failed job's price was given back. Raises LedgerFull or OSError."""
        await self._append({"kind": "refunded", "at_s": at_s, "id": job_id, "price_nano_usd": price_nano_usd})

    async def cancel(self, *, job_id: str, at_s: float) -> None:
        """Record that a job was cancelled; its price stays paid. Raises LedgerFull or OSError."""
        await self._append({"kind": "cancelled", "at_s": at_s, "id": job_id})

    async def _append(self, entry: dict[str, typing.Any]) -> None:
        if len(self._pending) >= PENDING_LINES_MAX:
            raise LedgerFull(f"{PENDING_LINES_MAX} ledger lines wait for the disk: come back later.")
        line = json.dumps(entry, separators=(",", ":"), sort_keys=True).encode() + b"\n"
        assert len(line) <= LINE_SIZE_MAX_BYTES, "requests are capped well below a ledger line"
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((line, written))
        self._has_pending.set()
        await written

    async def _write_forever(self) -> None:
        while True:
            await self._has_pending.wait()
            batch, self._pending = self._pending[:BATCH_LINES_MAX], self._pending[BATCH_LINES_MAX:]
            if not self._pending:
                self._has_pending.clear()
            try:
                await asyncio.to_thread(_write_and_sync, self._descriptor, b"".join(line for line, _ in batch))
            except OSError as error:
                for _, written in batch:
                    if not written.done():
                        written.set_exception(error)
                continue
            for _, written in batch:
                if not written.done():
                    written.set_result(None)


def _write_and_sync(descriptor: int, content: bytes) -> None:
    size_before_bytes = os.fstat(descriptor).st_size
    remaining = memoryview(content)
    try:
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)
    except OSError:
        # Nobody will be told that these lines were written, and half a line would spoil the next one.
        os.ftruncate(descriptor, size_before_bytes)
        raise


def _cut_torn_line(descriptor: int) -> None:
    size_bytes = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, LINE_SIZE_MAX_BYTES, max(0, size_bytes - LINE_SIZE_MAX_BYTES))
    torn_bytes = len(tail) - (tail.rfind(b"\n") + 1)
    if torn_bytes:
        os.ftruncate(descriptor, size_bytes - torn_bytes)
        os.fsync(descriptor)


def _sync_folder(folder: pathlib.Path) -> None:
    """Make the file's own name durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entry(job: jobs.Job) -> dict[str, typing.Any]:
    return {
        "id": job.id,
        "model": job.model,
        "idempotency_key": job.idempotency_key,
        "client_job_id": job.client_job_id,
        "price_nano_usd": job.price_nano_usd,
        "request_digest": job.request_digest,
        "request": dataclasses.asdict(job.request),
        "webhook_url": job.webhook_url,
        "fate": dataclasses.asdict(job.fate),
    }


def _job(entry: dict[str, typing.Any]) -> jobs.Job:
    return jobs.Job(
        id=entry["id"],
        model=entry["model"],
        request=jobs.PictureRequest(**entry["request"]),
        request_digest=entry["request_digest"],
        idempotency_key=entry["idempotency_key"],
        client_job_id=entry["client_job_id"],
        webhook_url=entry["webhook_url"],
        accepted_at_s=float(entry["at_s"]),
        price_nano_usd=int(entry["price_nano_usd"]),
        fate=fates.Fate(**entry["fate"]),
    )
