"""Admit runs of one call for a process that executes them itself; part of ``PostgresStore``.

One pipelined round trip and one commit for all that wait: keys, runs, who has the keys; one more round trip where a
tenant has a quota. No doorbell rings here; the caller knows who is to be woken. Neighbours: ``engine.calls`` above,
``store/sql/new_runs.sql`` and ``over_quota.sql`` below.
"""

import uuid
from collections.abc import Sequence
from typing import Any, Protocol

from heddle.ports import calls as calls_port
from heddle.ports import records
from heddle.store import connections, keys, partitions, schedule


class _Store(Protocol):
    _connections: connections.Connections

    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]: ...


class Calling:
    """Admit calls and look for their ends."""

    async def submit_calls(
        self: _Store, *, calls: Sequence[calls_port.NewCall]
    ) -> list[records.Submission | Exception]:
        """Write runs of one call in one transaction; one outcome per item, in order."""

        async def work(transaction: connections.Transaction) -> tuple[dict[uuid.UUID, str], Any]:
            return await _write(transaction, calls)

        suffix = partitions.suffix_of([call.run_id for call in calls])
        bounds, read = await self._connections.run(work, stage="admit", suffix=suffix)
        holders = {} if read is None else {row[:3]: row[3:] for row in await read.fetchall()}
        return [_outcome(call, bounds, holders) for call in calls]

    async def ended_calls(self: _Store, *, run_ids: Sequence[uuid.UUID]) -> list[calls_port.EndedCall]:
        """Give those of the runs that are over, or stuck."""
        found = await self._rows("ended_calls", {"run_ids": list(run_ids)}, stage="observe")
        return [
            calls_port.EndedCall(run_id=row[0], state=row[1], error=row[2], output=row[3], is_stuck=row[4])
            for row in found
            if row[1] not in ("queued", "running") or row[4]
        ]


async def _write(
    transaction: connections.Transaction, calls: Sequence[calls_port.NewCall]
) -> tuple[dict[uuid.UUID, str], Any]:
    """Send what is to be written; give the bounds that were used up, and who has the keys once it is committed."""
    held = keys.Keys()
    for call in calls:
        if call.run.idempotency_key is not None:
            held.add(call.run, call.run_id)
    bounded = [call for call in calls if call.run.tenant.quota.is_any]
    if bounded:
        await transaction.send("lock_quotas", {"tenants": sorted({call.run.tenant.id for call in bounded})})
    if held.is_any:
        await transaction.send("idempotency_take", held.values)
    bounds = dict(await transaction.rows("over_quota", _counted(bounded))) if bounded else {}
    arrays = schedule.NewRuns()
    for call in calls:
        if call.run_id not in bounds:
            _add(arrays, call)
    if arrays.is_any:
        await transaction.send("new_runs", arrays.values)
    return bounds, await transaction.send("idempotency_read", held.values) if held.is_any else None


def _counted(calls: Sequence[calls_port.NewCall]) -> dict[str, list[Any]]:
    return {
        "ids": [call.run_id for call in calls],
        "tenants": [call.run.tenant.id for call in calls],
        "operations": [call.run.operation for call in calls],
        "keys": [call.run.idempotency_key for call in calls],
    }


def _add(arrays: schedule.NewRuns, call: calls_port.NewCall) -> None:
    new = call.run
    assert new.call is not None, "a run of this kind is one call"
    assert new.start_at is None, "whoever waits for a call wants it now"
    arrays.add(
        run_id=call.run_id,
        tenant_id=new.tenant.id,
        workflow=new.workflow,
        version=new.version,
        priority=new.priority.value,
        arguments=new.input,
        labels=new.labels,
        webhook_url=new.webhook_url,
        max_cost_nano_usd=new.max_cost_nano_usd,
        deadline_s=new.deadline_s,
        traceparent=new.traceparent,
        operation=None if new.idempotency_key is None else new.operation,
        key=new.idempotency_key,
        call=new.call,
    )


def _outcome(
    call: calls_port.NewCall, bounds: dict[uuid.UUID, str], holders: dict[Any, Any]
) -> records.Submission | Exception:
    bound = bounds.get(call.run_id)
    if bound is not None:
        return calls_port.QuotaFull(bound)
    new = call.run
    return keys.outcome(new, call.run_id, holders.get((new.tenant.id, new.operation, new.idempotency_key or "")))
