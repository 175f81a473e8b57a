"""Serve the delivery of webhooks: take due events with what is needed to send them, write what became of them.

A run is read in the transaction that takes its event, without its values when they are too large to be sent. Mixed into
``PostgresStore``, whose connections it uses. Neighbours: ``ports.outbox`` says what is promised, ``engine.deliver``
asks, ``store/sql/outbox_take.sql`` keeps receivers apart.
"""

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from heddle.core import outbox as law
from heddle.ports import outbox, records
from heddle.store import connections, reading

RECEIVERS_LOOKED_MAX: Final = 1_000
_STAGE: Final = "deliver"


class _Store(Protocol):
    _connections: connections.Connections

    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]: ...


class Outbox:
    """Implement ``ports.outbox`` for a store that runs statements."""

    async def take_events(self: _Store, taking: outbox.Taking) -> outbox.TakenEvents:
        """Lease due events, in one transaction; nothing but a look at an index when none is due."""
        found = await self._rows("outbox_next", {}, stage=_STAGE)
        next_in_s = found[0][0]
        if next_in_s is None or next_in_s > 0 or taking.want < 1:
            return outbox.TakenEvents(next_in_s=next_in_s, next_after=taking.after)
        return await self._connections.run(lambda transaction: _take(transaction, taking, next_in_s), stage=_STAGE)

    async def write_events(
        self: _Store,
        *,
        events: Sequence[outbox.EventWrite],
        receivers: Sequence[outbox.ReceiverWrite],
        disabled: Sequence[outbox.Disabling],
    ) -> int:
        """Write what became of events, in one transaction."""

        async def work(transaction: connections.Transaction) -> int:
            written = await transaction.send("outbox_write", _writes(events))
            spared = [event.id for event in events if event.state is law.EventState.DISABLED and not event.is_try]
            if spared:
                named = {"run_ids": [each.run_id for each in spared], "seqs": [each.seq for each in spared]}
                await transaction.send("webhook_spare", named)
            if receivers:
                await transaction.send("receiver_write", _receivers(receivers))
            if disabled:
                await transaction.send("webhook_disable", _disabled(disabled))
            return len(await written.fetchall())

        return await self._connections.run(work, stage=_STAGE)

    async def count_events(self: _Store, *, limit: int) -> outbox.OutboxCounts:
        """Count what is not delivered."""
        due, dead, disabled, overdue_s = (await self._rows("outbox_counts", {"limit": limit}, stage=_STAGE))[0]
        return outbox.OutboxCounts(due=due, dead=dead, disabled=disabled, overdue_s=max(0.0, overdue_s or 0.0))

    async def give_up_events(
        self: _Store, *, overdue_s: float, failures: int, reason: str, limit: int
    ) -> Sequence[law.EventId]:
        """Give up a batch of what a failing receiver left no time for."""
        given = {"overdue_s": overdue_s, "failures": failures, "reason": reason, "limit": limit}
        return [law.EventId(*row) for row in await self._rows("outbox_give_up", given, stage=_STAGE)]

    async def prune_events(self: _Store, *, days: int, limit: int) -> int:
        """Remove a batch of what has been over for long."""
        return int((await self._rows("outbox_prune", {"days": days, "limit": limit}, stage=_STAGE))[0][0])


async def _take(transaction: connections.Transaction, taking: outbox.Taking, next_in_s: float) -> outbox.TakenEvents:
    after = taking.after or outbox.Receiver(tenant_id=0, address="")
    taken, last = (
        await transaction.rows(
            "outbox_take",
            {
                "want": taking.want,
                "want_failing": taking.want_failing,
                "receiver_max": taking.receiver_max,
                "failures_max": taking.failures_max,
                "busy_tenants": [receiver.tenant_id for receiver, _ in taking.busy],
                "busy_addresses": [receiver.address for receiver, _ in taking.busy],
                "busy_counts": [count for _, count in taking.busy],
                "after_tenant": after.tenant_id,
                "after_address": after.address,
                "receivers": RECEIVERS_LOOKED_MAX,
                "lease_s": taking.lease_s,
            },
        )
    )[0]
    events = [_Event(row) for row in taken or ()]
    views = await _views(transaction, events, taking.output_bytes_max)
    keys = await _first_keys(transaction, sorted({event.tenant_id for event in events if not event.keys}))
    return outbox.TakenEvents(
        events=tuple(event.due(views, keys, taking.output_bytes_max) for event in events),
        next_after=None if last is None else outbox.Receiver(tenant_id=last[0], address=last[1]),
        next_in_s=next_in_s,
    )


async def _views(
    transaction: connections.Transaction, events: Sequence["_Event"], output_bytes_max: int
) -> dict[uuid.UUID, records.RunView]:
    """Show the runs of events that are sent for the first time."""
    asked = [event for event in events if event.body is None and event.output_bytes is not None]
    cursors = [
        await transaction.send(
            "run_views",
            {
                "tenant_id": event.tenant_id,
                "run_id": event.id.run_id,
                "is_full": (event.output_bytes or 0) <= output_bytes_max,
                "before": None,
                "workflow": None,
                "state": None,
                "label": None,
                "created_after": None,
                "created_before": None,
                "limit": 1,
            },
        )
        for event in asked
    ]
    rows = [(event, await cursor.fetchall()) for event, cursor in zip(asked, cursors, strict=True)]
    return {row[0]: reading.run_view(row, tenant=event.tenant) for event, found in rows for row in found}


async def _first_keys(
    transaction: connections.Transaction, tenants: Sequence[int]
) -> dict[int, tuple[outbox.SigningKey, ...]]:
    """Make the first signing secret of tenants that have none."""
    if not tenants:
        return {}
    await transaction.send("webhook_secret_first", {"tenants": list(tenants)})
    rows = await transaction.rows("webhook_secret_keys", {"tenants": list(tenants)})
    found: dict[int, tuple[outbox.SigningKey, ...]] = {}
    for tenant_id, version, salt, *_ in rows:
        found[tenant_id] = (*found.get(tenant_id, ()), outbox.SigningKey(version=version, salt=salt))
    return found


class _Event:
    """Hold one event of outbox_take."""

    __slots__ = ("_rest", "body", "id", "keys", "output_bytes", "submitted", "tenant", "tenant_id")

    def __init__(self, row: Sequence[Any]) -> None:
        run_id, seq, fence, tenant_id, *rest, body, is_disabled, keys, sized = row
        submitted, output_bytes, tenant = sized or (run_id, None, "")
        self.id = law.EventId(uuid.UUID(str(run_id)), seq)
        self.tenant_id: int = tenant_id
        self.body: str | None = body
        self.output_bytes: int | None = output_bytes
        self.tenant: str = tenant
        self.submitted = uuid.UUID(str(submitted))
        self.keys = tuple(outbox.SigningKey(version=each[0], salt=uuid.UUID(str(each[1]))) for each in keys or ())
        self._rest = (fence, *rest, is_disabled)

    def due(
        self,
        views: Mapping[uuid.UUID, records.RunView],
        first: Mapping[int, tuple[outbox.SigningKey, ...]],
        output_bytes_max: int,
    ) -> outbox.DueEvent:
        """Give it as the port promises."""
        fence, address, url, kind, at_s, tries, failures, is_disabled = self._rest
        return outbox.DueEvent(
            id=self.id,
            fence=fence,
            receiver=outbox.Receiver(tenant_id=self.tenant_id, address=address),
            url=url,
            type=kind,
            at=datetime.datetime.fromtimestamp(at_s, tz=datetime.UTC),
            tries=tries,
            failures=failures,
            body=self.body,
            view=views.get(self.id.run_id),
            submitted_as=self.submitted,
            is_whole=self.output_bytes is not None and self.output_bytes <= output_bytes_max,
            is_disabled=is_disabled,
            keys=(self.keys or first.get(self.tenant_id, ()))[: law.SECRETS_MAX],
        )


def _writes(events: Sequence[outbox.EventWrite]) -> dict[str, Any]:
    return {
        "run_ids": [event.id.run_id for event in events],
        "seqs": [event.id.seq for event in events],
        "fences": [event.fence for event in events],
        "states": [event.state.value for event in events],
        "delays": [event.delay_s for event in events],
        "tried": [event.is_try for event in events],
        "statuses": [event.status for event in events],
        "errors": [event.error for event in events],
        "bodies": [event.body for event in events],
    }


def _receivers(receivers: Sequence[outbox.ReceiverWrite]) -> dict[str, Any]:
    ordered = sorted(receivers, key=lambda each: each.receiver)
    return {
        "tenants": [each.receiver.tenant_id for each in ordered],
        "addresses": [each.receiver.address for each in ordered],
        "failures": [each.failures for each in ordered],
        "holds": [each.hold_s for each in ordered],
    }


def _disabled(disabled: Sequence[outbox.Disabling]) -> dict[str, Any]:
    return {
        "tenants": [each.tenant_id for each in disabled],
        "urls": [each.url for each in disabled],
        "reasons": [each.reason for each in disabled],
    }
