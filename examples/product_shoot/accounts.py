"""Compare what the providers were paid for with the steps that asked: the proof that nothing was paid twice.

The providers' own ledgers are the witnesses. A picture's job names the attempt it was made for, by its callback's
address or its key; a text names nobody, so what was asked for is compared with itself. What a provider failed and
refunded does not count. It reads files and decides nothing else. Before it: `demo`, with the steps of its runs.
"""

import collections
import dataclasses
import pathlib
import urllib.parse
import uuid
from collections import abc

from heddle.core import ids
from heddle.twins.kit import ledger

EPOCHS_MAX = 32
SIMULATOR = "simulator"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Payments beside the steps that wanted them. Duplicates name each step that was paid for more than once,
    and the jobs, refunds left out; ``texts``: those that name no step. ``providers``: who was paid, and how often.
    """

    steps: int
    paid_jobs: int
    refunded_jobs: int
    duplicates: abc.Sequence[str]
    unpaid_steps: int
    texts: int
    paid_nano_usd: int
    providers: abc.Mapping[str, int]

    @property
    def is_good(self) -> bool:
        """Tell whether no step was paid for twice."""
        return not self.duplicates


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Payment:
    provider: str
    id: str
    key: str | None
    digest: str
    callback_url: str | None
    amount_nano_usd: int
    is_refunded: bool
    at_s: float


def compare(
    *, ledgers: abc.Mapping[str, pathlib.Path], paid_steps: abc.Sequence[tuple[str, int]], since_s: float
) -> Account:
    """Add up the payments for these steps, each (run id, ordinal), and those for texts since a moment (Unix seconds).

    Raises ledger.LedgerDamaged.
    """
    wanted = set(paid_steps)
    by_key = {
        ids.idempotency_key(run=uuid.UUID(run_id), ordinal=ordinal, epoch=epoch): (run_id, ordinal)
        for run_id, ordinal in wanted
        for epoch in range(EPOCHS_MAX)
    }
    kept: dict[tuple[str, str | int], list[str]] = collections.defaultdict(list)
    providers: collections.Counter[str] = collections.Counter()
    paid = refunded = spent_nano_usd = texts = 0
    for payment in _payments(ledgers):
        is_text = payment.callback_url is None and payment.provider != SIMULATOR
        step = _step_of(payment.callback_url) or by_key.get(payment.key or "")
        if (payment.at_s < since_s) if is_text else (step not in wanted):
            continue
        paid += 1
        if payment.is_refunded:
            refunded += 1
            continue
        texts += is_text
        providers[payment.provider] += 1
        kept[(payment.provider, payment.digest) if is_text else step].append(f"{payment.provider} {payment.id}")
        spent_nano_usd += payment.amount_nano_usd
    return Account(
        steps=len(wanted),
        paid_jobs=paid,
        refunded_jobs=refunded,
        duplicates=tuple(f"{what[0]}, {what[1]}: {', '.join(made)}" for what, made in kept.items() if len(made) > 1),
        unpaid_steps=sum(step not in kept for step in wanted),
        texts=texts,
        paid_nano_usd=spent_nano_usd,
        providers=dict(providers),
    )


def _payments(ledgers: abc.Mapping[str, pathlib.Path]) -> abc.Iterator[_Payment]:
    for name, path in ledgers.items():
        books = ledger.read(path)
        for paid in books.paid:
            yield _Payment(
                provider=name,
                id=paid.id,
                key=paid.idempotency_key,
                digest=paid.digest,
                callback_url=paid.callback_url,
                amount_nano_usd=paid.amount_nano_usd,
                is_refunded=paid.id in books.refunded_at_s,
                at_s=paid.at_s,
            )


def _step_of(callback_url: str | None) -> tuple[str, int] | None:
    """Tell which step a job was made for, by the attempt named in its callback's address."""
    last = urllib.parse.urlsplit(callback_url or "").path.rpartition("/")[2]
    try:
        attempt = ids.AttemptId.parse(last.rpartition(".")[0])
    except ValueError:
        return None
    return str(attempt.run_id), attempt.ordinal
