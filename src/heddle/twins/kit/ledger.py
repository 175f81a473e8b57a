"""Keep a twin's books: one JSON line for each payment, refund and cancellation, synced to disk before the answer.

A payment is what its vendor would put on the invoice, and exists when its line is on disk, not before. The line of a
job also holds what is needed to take the job up again after ``kill -9``. The file is only appended to; a line torn by a
crash was never answered for and is cut off when the file is next opened. Before it: ``jobs``. After it: the answer, and
whoever adds the books up.
"""

import asyncio
import json
import os
import pathlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from heddle.core import identity
from heddle.twins.kit import faults

LINE_BYTES_MAX = 4 * 1024**2
BATCH_LINES_MAX = 256
PENDING_LINES_MAX = 4_096


class LedgerFull(RuntimeError):
    """Say that more lines wait for the disk than may wait."""


class LedgerDamaged(ValueError):
    """Say which line of a ledger is not one a twin wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """One payment.

    key: what the twin knows the request by: its idempotency key, the client's own reference, or the digest. digest:
    sha256 of what was asked for. data: the vendor's own, needed to answer for the job later; is_job: False when the
    answer was the whole of it and nothing is to be taken up again.
    """

    id: str
    at_s: float
    operation: str
    model: str
    key: str
    digest: str
    amount_nano_usd: int
    idempotency_key: str | None = None
    client_reference: str | None = None
    callback_url: str | None = None
    is_job: bool = True
    fate: faults.Fate
    data: Mapping[str, identity.JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What a ledger holds: payments in order, and when which of them were refunded or cancelled."""

    paid: tuple[Paid, ...]
    refunded_at_s: Mapping[str, float]
    cancelled_at_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Books in figures. ``payments``: how often each key was paid and not refunded."""

    paid: int
    refunded: int
    cancelled: int
    paid_nano_usd: int
    refunded_nano_usd: int
    payments: Mapping[str, int]

    @property
    def paid_twice(self) -> tuple[str, ...]:
        """Name the keys that were paid more than once."""
        return tuple(sorted(key for key, count in self.payments.items() if count > 1))


def read(path: pathlib.Path) -> Books:
    """Read a ledger; a missing file is an empty one and a torn last line is left out. Raises LedgerDamaged."""
    paid: list[Paid] = []
    refunded: dict[str, float] = {}
    cancelled: dict[str, float] = {}
    content = path.read_bytes() if path.exists() else b""
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            entry = json.loads(line)
            match entry.pop("kind"):
                case "paid":
                    paid.append(Paid(**{**entry, "fate": faults.Fate(**entry["fate"])}))
                case "refunded":
                    refunded[entry["id"]] = float(entry["at_s"])
                case "cancelled":
                    cancelled[entry["id"]] = float(entry["at_s"])
                case kind:
                    raise LedgerDamaged(f"{path} line {number}: unknown kind {kind!r}.")
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise LedgerDamaged(f"{path} line {number} is not a line of a twin's ledger: {error!r}.") from error
    return Books(paid=tuple(paid), refunded_at_s=refunded, cancelled_at_s=cancelled)


def summarise(path: pathlib.Path) -> Summary:
    """Add a ledger up, by the client's reference where there is one, else by the idempotency key or the digest."""
    books = read(path)
    payments: dict[str, int] = {}
    for each in books.paid:
        key = each.client_reference or each.key
        payments[key] = payments.get(key, 0) + (each.id not in books.refunded_at_s)
    return Summary(
        paid=len(books.paid),
        refunded=len(books.refunded_at_s),
        cancelled=len(books.cancelled_at_s),
        paid_nano_usd=sum(each.amount_nano_usd for each in books.paid),
        refunded_nano_usd=sum(each.amount_nano_usd for each in books.paid if each.id in books.refunded_at_s),
        payments=payments,
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
        self._writer = asyncio.create_task(self._write_forever(), name="twin-ledger")

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

    async def pay(self, paid: Paid) -> None:
        """Record a payment; returns when it is on disk. Raises LedgerFull or OSError, and then nothing was paid."""
        await self._append({"kind": "paid", **asdict(paid)})

    async def refund(self, paid: Paid, *, at_s: float) -> None:
        """Record that a payment was given back. Raises LedgerFull or OSError."""
        await self._append({"kind": "refunded", "at_s": at_s, "id": paid.id, "amount_nano_usd": paid.amount_nano_usd})

    async def cancel(self, paid: Paid, *, at_s: float) -> None:
        """Record that a job was cancelled; what that gives back is another line. Raises LedgerFull or OSError."""
        await self._append({"kind": "cancelled", "at_s": at_s, "id": paid.id})

    async def _append(self, entry: dict[str, identity.JsonValue]) -> None:
        if len(self._pending) >= PENDING_LINES_MAX:
            raise LedgerFull(f"{PENDING_LINES_MAX} ledger lines wait for the disk: come back later.")
        line = json.dumps(entry, separators=(",", ":"), sort_keys=True).encode() + b"\n"
        if len(line) > LINE_BYTES_MAX:
            raise LedgerFull(f"A ledger line has at most {LINE_BYTES_MAX} bytes; this one has {len(line)}.")
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
    tail = os.pread(descriptor, LINE_BYTES_MAX, max(0, size_bytes - LINE_BYTES_MAX))
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
