"""Compare what the provider was paid for with the steps that asked: the proof that nothing was paid twice.

The provider's own ledger is the witness. Each paid job names the attempt it was made for; jobs that the provider failed
and refunded do not count. It reads a file and decides nothing else. Before it: `demo`, with the steps of its runs.
"""

import collections
import dataclasses
import pathlib
import urllib.parse
import uuid
from collections import abc

from heddle.core import ids
from heddle.providers.simulator import jobs, ledger

EPOCHS_MAX = 32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Paid jobs beside the steps that wanted them. Duplicates are jobs paid beyond one for a step, refunds left out."""

    steps: int
    paid_jobs: int
    refunded_jobs: int
    duplicates: int
    unpaid_steps: int
    paid_nano_usd: int

    @property
    def is_good(self) -> bool:
        """Tell whether no step was paid for twice."""
        return self.duplicates == 0


def compare(*, ledger_path: pathlib.Path, paid_steps: abc.Sequence[tuple[str, int]]) -> Account:
    """Add up the jobs of these steps, each (run id, ordinal). Raises ledger.LedgerDamaged."""
    books = ledger.read(ledger_path)
    wanted = set(paid_steps)
    by_key = {
        ids.idempotency_key(run=uuid.UUID(run_id), ordinal=ordinal, epoch=epoch): (run_id, ordinal)
        for run_id, ordinal in wanted
        for epoch in range(EPOCHS_MAX)
    }
    kept: collections.Counter[tuple[str, int]] = collections.Counter()
    paid, refunded, spent_nano_usd = 0, 0, 0
    for job in books.paid:
        step = _step_of(job) or by_key.get(job.idempotency_key or "")
        if step not in wanted:
            continue
        paid += 1
        if job.id in books.refunded_at_s:
            refunded += 1
        else:
            kept[step] += 1
            spent_nano_usd += job.price_nano_usd
    return Account(
        steps=len(wanted),
        paid_jobs=paid,
        refunded_jobs=refunded,
        duplicates=sum(count - 1 for count in kept.values()),
        unpaid_steps=sum(1 for step in wanted if kept[step] == 0),
        paid_nano_usd=spent_nano_usd,
    )


def _step_of(job: jobs.Job) -> tuple[str, int] | None:
    """Tell which step a job was made for, by the attempt named in its client job id or in its callback address."""
    last = urllib.parse.urlsplit(job.webhook_url or "").path.rpartition("/")[2]
    for text in (job.client_job_id or "", last.rpartition(".")[0]):
        try:
            attempt = ids.AttemptId.parse(text)
        except ValueError:
            continue
        return str(attempt.run_id), attempt.ordinal
    return None
