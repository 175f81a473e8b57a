"""Write verdicts: one transaction for a batch; part of ``PostgresStore``.

A batch of nothing but results takes a short statement: ``settle_results`` for local steps, ``settle_call`` for runs
that are one call of a model. What that finds to be less plain, and every other batch, takes the whole one. What is said
of attempts that were given up takes a transaction of its own besides (``store.late``). Neighbours: ``engine.settle``
above, ``store/sql/settle.sql`` below.
"""

import collections
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

from heddle.ports import store
from heddle.store import connections, late, partitions, rows


class _Store(Protocol):
    _connections: connections.Connections

    async def _settle(
        self, settlements: Sequence[store.Settlement], direct: store.Direct | None
    ) -> store.SettleReport: ...

    async def _settle_calls(
        self, settlements: Sequence[store.Settlement]
    ) -> tuple[frozenset[uuid.UUID], store.SettleReport]: ...

    async def _write(
        self, settlements: Sequence[store.Settlement], direct: store.Direct | None
    ) -> store.SettleReport: ...


class Settling:
    """Settle batches."""

    async def settle(
        self: _Store, *, settlements: Sequence[store.Settlement], direct: store.Direct | None = None
    ) -> store.SettleReport:
        """Write a batch of verdicts in one round trip, or in two when results were not as plain as they seemed; more
        where something is heard late.
        """
        if not all(map(is_plain, settlements)):
            return await self._settle(settlements, direct)
        written, report = await self._settle_calls(settlements)
        left = [item for item in settlements if item.run_id not in written]
        return _both(report, await self._settle(left, direct)) if left else report

    async def _settle_calls(
        self: _Store, settlements: Sequence[store.Settlement]
    ) -> tuple[frozenset[uuid.UUID], store.SettleReport]:
        """Write what is plain; give the runs that were written."""
        cursor = await _send(self._connections, "settle_call", rows.settled_calls(settlements), settlements)
        (row,) = await cursor.fetchall()
        report = rows.settle_report((len(row[0] or ()), 0, None, 0, 0, row[1], None, row[2]), settlements)
        return frozenset(row[0] or ()), report

    async def _settle(
        self: _Store, settlements: Sequence[store.Settlement], direct: store.Direct | None
    ) -> store.SettleReport:
        """Write a batch. What a job that was asked after once more has come to is booked before its step moves on, so
        that no death in between leaves it out of the books; what was fenced may be news of an attempt that was closed.
        """
        asked = [item for item in settlements if item.attempt_before in late.GIVEN_UP and late.is_news(item)]
        before = await late.hear(self._connections, asked) if asked else None
        report = await self._write(settlements, direct)
        if before is not None:
            report = _both(before, report)
        news = [item for item in settlements if late.is_news(item)] if report.fenced else []
        return _both(report, await late.hear(self._connections, news)) if news else report

    async def _write(
        self: _Store, settlements: Sequence[store.Settlement], direct: store.Direct | None
    ) -> store.SettleReport:
        if all(map(is_result, settlements)):
            name, parameters = "settle_results", rows.settled_results(settlements)
        else:
            name, parameters = "settle", rows.settlements(settlements)
        cursor = await _send(self._connections, name, parameters | rows.direct(direct), settlements)
        (row,) = await cursor.fetchall()
        return rows.settle_report(row, settlements)


def is_result(item: store.Settlement) -> bool:
    """Tell whether a verdict is one that settle_results writes: the result of a local step that leaves no attempt."""
    return item.is_local and item.verdict == "complete" and (item.number == 1 or item.attempt_state is None)


def is_plain(item: store.Settlement) -> bool:
    """Tell whether a verdict may be one that settle_call writes: the result of a run that is one call."""
    return item.is_whole and item.verdict == "complete" and not item.is_local and item.frozen_s is None


def _both(first: store.SettleReport, second: store.SettleReport) -> store.SettleReport:
    """Tell of two transactions as of one."""
    late_at = collections.Counter(first.late_at)
    late_at.update(second.late_at)
    return store.SettleReport(
        settled=first.settled + second.settled,
        fenced=first.fenced + second.fenced,
        late_at=late_at,
        readied=first.readied + second.readied,
        timed=first.timed + second.timed,
        ended=first.ended + second.ended,
        leased=first.leased + second.leased,
        charged=first.charged + second.charged,
    )


async def _send(
    pool: connections.Connections, name: str, parameters: dict[str, Any], settlements: Sequence[store.Settlement]
) -> Any:
    run_ids = {item.run_id for item in settlements}

    async def work(transaction: connections.Transaction) -> Any:
        await transaction.send("lock_runs", {"run_ids": sorted(run_ids)})
        return await transaction.send(name, parameters)

    return await pool.run(work, stage="settle", suffix=partitions.suffix_of(run_ids))
