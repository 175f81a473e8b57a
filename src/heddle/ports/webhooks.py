"""What people may do to webhooks: see what became of events, send one again, enable an address, rotate the secret.

Synchronous, on the host's own connection. Everything is one tenant's; every change names its actor and writes one row
of ``heddle_audit`` in the transaction of the change. Neighbours: doors and the command line above, ``store.webhooks``
below; ``engine.deliver`` sends.
"""

import dataclasses
import datetime
import re
import uuid
from collections.abc import Sequence
from typing import Final, Protocol

from heddle.core import outbox
from heddle.ports import operators, records
from heddle.ports import outbox as outbox_port

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND: Final = datetime.timedelta(microseconds=1)
# Seventeen digits of microseconds reach into the year 5138.
_PLACE: Final = re.compile(r"([0-9]{1,17})\.([0-9a-f]{16})\Z", re.ASCII)


class EventMissing(operators.SubjectMissing):
    """Say that the tenant has no such event, or no such disabled address."""


class RotationBusy(operators.ChangeRefused):
    """Say that another rotation of the same tenant's secret was faster; asking again makes a further one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """Show one event and what became of it. ``next_at``: None when it is over."""

    id: outbox.EventId
    type: str
    url: str
    state: outbox.EventState
    tries: int
    at: datetime.datetime
    next_at: datetime.datetime | None
    last_at: datetime.datetime | None
    last_status: int | None
    last_error: str | None
    ended_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Say which events are asked for. ``before``: those of earlier runs, the newest first."""

    state: outbox.EventState | None = None
    run_id: uuid.UUID | None = None
    before: outbox.EventId | None = None
    limit: int = 50


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SecretView:
    """Show one version of a signing secret, never the secret. ``retires_at``: None for the newest."""

    version: int
    created_at: datetime.datetime
    retires_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DisabledPlace:
    """Say where an address stands in the list of those that get nothing, without naming it. ``digest``: 64 bits."""

    at: datetime.datetime
    digest: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // _MICROSECOND}.{self.digest % 2**64:016x}"

    @classmethod
    def parse(cls, text: str) -> "DisabledPlace":
        """Read a place. Raises ValueError for what is none."""
        found = _PLACE.match(text)
        if found is None:
            raise ValueError(f"{text[:100]!r} is no place in the list of disabled addresses")
        digest = int(found[2], 16)
        at = _EPOCH + int(found[1]) * _MICROSECOND
        return cls(at=at, digest=digest if digest < 2**63 else digest - 2**64)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DisabledView:
    """Show one address that gets nothing any more. Its place's time: when it said so, or to the day, when an event for
    it was last left unsent; one that no event is for is forgotten after ``webhook_keep_days``.
    """

    url: str
    reason: str
    place: DisabledPlace


class WebhookDesk(Protocol):
    """Show and steer one tenant's webhooks."""

    def deliveries(self, *, tenant: records.Tenant, where: EventFilter) -> Sequence[EventView]:
        """Show events, those of the newest runs first."""
        ...

    def redeliver(self, *, tenant: records.Tenant, event: outbox.EventId, actor: str) -> EventView:
        """Send an event again from the start, under the same id. A second call does so again. Raises EventMissing."""
        ...

    def disabled(self, *, tenant: records.Tenant, before: DisabledPlace | None, limit: int) -> Sequence[DisabledView]:
        """Show the addresses that get nothing any more, those that said so last first."""
        ...

    def enable(self, *, tenant: records.Tenant, url: str, actor: str) -> None:
        """Let an address be sent to again; what was not sent meanwhile is redelivered one by one. Raises
        EventMissing.
        """
        ...

    def secrets(self, *, tenant: records.Tenant) -> Sequence[SecretView]:
        """Show the versions that events are signed with, newest first."""
        ...

    def rotate(self, *, tenant: records.Tenant, grace_s: float, actor: str) -> outbox_port.SigningKey:
        """Make the next version; those before it sign for ``grace_s`` more. Raises RotationBusy."""
        ...
