"""Admit runs of one call for a process that executes them itself; part of ``PostgresStore``.

One pipelined round trip and one commit for all that wait: keys, what the process may take at once, runs, who has the
keys; one more round trip where a tenant has a quota. No doorbell rings here; the caller knows who is to be woken.
Neighbours: ``engine.calls`` above, ``store/sql/call_now.sql``, ``new_runs.sql`` and ``over_quota.sql`` below.
"""

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

import psycopg

from heddle.core import identity, lanes
from heddle.core import step as step_law
from heddle.ports import calls as calls_port
from heddle.ports import records
from heddle.store import connections, keys, limits, partitions, schedule

DELTAS_MAX = 1_024
"""Reports of a scope that call_now reads; with more of them a claim has its turn, and folds them. The leader folds them
every second or two.
"""
LOCK_TIMEOUT_MS = 50
"""How long call_now waits for a row of limits; claims and folds hold one for milliseconds, a frozen worker for ever."""


class _Store(Protocol):
    _connections: connections.Connections
    _send_window_s: float

    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]: ...


class Calling:
    """Admit calls and look for their ends."""

    async def submit_calls(
        self: _Store, *, calls: Sequence[calls_port.NewCall], offer: calls_port.Offer | None = None
    ) -> calls_port.Admitted:
        """Write runs of one call in one transaction, and lease what may go at once."""

        async def written_by(offer: calls_port.Offer | None) -> _Written:
            return await self._connections.run(
                lambda transaction: _write(transaction, calls, offer, send_window_s=self._send_window_s),
                stage="admit",
                suffix=partitions.suffix_of([call.run_id for call in calls]),
            )

        try:
            written = await written_by(offer)
        except psycopg.errors.LockNotAvailable:
            written = await written_by(None)
        holders = {} if written.read is None else {row[:3]: row[3:] for row in await written.read.fetchall()}
        leased = () if written.leased is None else await written.leased.fetchall()
        return calls_port.Admitted(
            outcomes=[_outcome(call, written.bounds, holders) for call in calls],
            taken=[
                calls_port.TakenCall(
                    run_id=row[0], fence=row[1], endpoint_id=row[2], is_sending=row[3], price_nano_usd=row[4]
                )
                for row in leased
            ],
        )

    async def ended_calls(self: _Store, *, run_ids: Sequence[uuid.UUID]) -> list[calls_port.EndedCall]:
        """Give those of the runs that are over, or stuck."""
        found = await self._rows("ended_calls", {"run_ids": list(run_ids)}, stage="observe")
        return [
            calls_port.EndedCall(run_id=row[0], state=row[1], error=row[2], output=row[3], is_stuck=row[4])
            for row in found
            if row[1] not in ("queued", "running") or row[4]
        ]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """Hold what was sent: the bounds that were used up, and once it is committed, what was leased and who has the
    keys.
    """

    bounds: dict[uuid.UUID, str]
    leased: Any
    read: Any


async def _write(
    transaction: connections.Transaction,
    calls: Sequence[calls_port.NewCall],
    offer: calls_port.Offer | None,
    *,
    send_window_s: float,
) -> _Written:
    """Send what is to be written."""
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
    standing = [call for call in calls if call.run_id not in bounds]
    for call in standing:
        _add(arrays, call)
    eager = [] if offer is None else [call for call in standing if _may_go_at_once(call.run)][: offer.places]
    leased = None
    if offer is not None and eager:
        leased = await transaction.send("call_now", _offered(eager, offer) | {"send_window_s": send_window_s})
    if arrays.is_any:
        await transaction.send("new_runs", arrays.values)
    read = await transaction.send("idempotency_read", held.values) if held.is_any else None
    return _Written(bounds=bounds, leased=leased, read=read)


def _may_go_at_once(new: records.NewRun) -> bool:
    """Tell whether a call is plain enough for call_now: of a model, with no cap to be asked, no wait and no look before
    it.
    """
    call = new.call
    return (
        call is not None
        and call.kind is step_law.StepKind.MODEL
        and call.options.reuse is None
        and call.options.delay_s is None
        and new.max_cost_nano_usd is None
    )


def _offered(calls: Sequence[calls_port.NewCall], offer: calls_port.Offer) -> dict[str, Any]:
    """Write the parameters of call_now."""
    planned = [(call.run, call.run.call) for call in calls if call.run.call is not None]
    lines = [
        (model, lane) for model in sorted({call.name for _, call in planned}) for lane in offer.lines.get(model, ())
    ]
    return {
        "ids": [call.run_id for call in calls],
        "tenants": [new.tenant.id for new, _ in planned],
        "workflows": [new.workflow for new, _ in planned],
        "models": [call.name for _, call in planned],
        "lanes": [lanes.of_call(call, new.priority) for new, call in planned],
        "operations": [new.operation for new, _ in planned],
        "keys": [new.idempotency_key for new, _ in planned],
        "digests": [identity.fingerprint(new.input) for new, _ in planned],
        "tokens": [call.options.tokens for _, call in planned],
        "images": [call.options.images for _, call in planned],
        "line_models": [model for model, _ in lines],
        "line_lanes": [lane for _, lane in lines],
        "endpoints": list(offer.endpoints),
        "paid": list(offer.endpoints.values()),
        "worker": offer.worker,
        "claim_id": offer.claim_id,
        "deltas_max": DELTAS_MAX,
        "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
        "ramp_s": limits.LAW["ramp_s"],
    }


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
