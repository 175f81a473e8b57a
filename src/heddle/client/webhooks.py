"""Offer one object for webhooks: what became of events, redelivery, addresses that are gone, signing secrets.

It checks what is asked and names the field at fault; who may ask is for the door to know. A secret is derived when it
is made and given once: afterwards nobody is shown it again, only rotated to the next. The wiring makes it, once per
process. Before it: the API and the command line. After it: ``ports.webhooks``.
"""

import uuid
from collections.abc import Callable, Sequence

from heddle.client import pages, values
from heddle.client.admission import InvalidInput
from heddle.client.values import Problem
from heddle.config import settings
from heddle.core import outbox
from heddle.ports import records, webhooks


class Webhooks:
    """Look after the webhooks of tenants. ``actor`` of every change is who the audit trail names."""

    def __init__(
        self,
        *,
        desk: webhooks.WebhookDesk,
        tenants: Callable[[str], records.Tenant],
        limits: settings.Settings,
    ) -> None:
        self._desk = desk
        self._tenants = tenants
        self._limits = limits

    def deliveries(
        self,
        *,
        tenant: str | records.Tenant,
        state: str | None = None,
        run_id: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Sequence[webhooks.EventView]:
        """Show events, those of the newest runs first, at most ``page_max``; ``before`` is the last of the page before.

        Raises InvalidInput.
        """
        problems: list[Problem] = []
        if state is not None and state not in set(outbox.EventState):
            problems.append(Problem(field="state", message=f"must be one of {', '.join(outbox.EventState)}"))
        run = None if run_id is None else _run(run_id)
        if run is None and run_id is not None:
            problems.append(Problem(field="run", message=f"is {run_id[:100]!r}, which is no run's id"))
        problems += pages.limit_problems(limit, page_max=self._limits.page_max)
        if problems:
            raise InvalidInput(problems)
        where = webhooks.EventFilter(
            state=None if state is None else outbox.EventState(state),
            run_id=run,
            before=None if before is None else _event(before),
            limit=limit,
        )
        return self._desk.deliveries(tenant=self._tenant(tenant), where=where)

    def redeliver(self, event_id: str, *, tenant: str | records.Tenant, actor: str) -> webhooks.EventView:
        """Send an event again from the start, under the same id. Raises EventMissing, also for what is no id at all."""
        try:
            event = outbox.EventId.parse(event_id)
        except ValueError as error:
            raise webhooks.EventMissing(f"there is no event {event_id[:100]!r}") from error
        return self._desk.redeliver(tenant=self._tenant(tenant), event=event, actor=actor)

    def disabled(
        self, *, tenant: str | records.Tenant, before: str | None = None, limit: int = 50
    ) -> Sequence[webhooks.DisabledView]:
        """Show the addresses that answered 410 Gone, the latest first, at most ``page_max``; ``before`` is the place of
        the last of the page before. Raises InvalidInput.
        """
        pages.check_limit(limit, page_max=self._limits.page_max)
        place = None if before is None else _place(before)
        return self._desk.disabled(tenant=self._tenant(tenant), before=place, limit=limit)

    def enable(self, url: str, *, tenant: str | records.Tenant, actor: str) -> None:
        """Let an address be sent to again. Raises EventMissing when it is not disabled, InvalidInput."""
        if not values.is_storable_text(url):
            raise InvalidInput([Problem(field="url", message="holds a NUL or half of a surrogate pair")])
        self._desk.enable(tenant=self._tenant(tenant), url=url, actor=actor)

    def secrets(self, *, tenant: str | records.Tenant) -> Sequence[webhooks.SecretView]:
        """Show which versions events are signed with, newest first; never the secrets."""
        return self._desk.secrets(tenant=self._tenant(tenant))[: outbox.SECRETS_MAX]

    def rotate(self, *, tenant: str | records.Tenant, actor: str) -> tuple[str, int]:
        """Make the tenant's next signing secret and give it with its version; it is shown nowhere again.

        Events are signed with the one before it, too, for ``webhook_rotation_s``. Raises RotationBusy.
        """
        owner = self._tenant(tenant)
        made = self._desk.rotate(tenant=owner, grace_s=self._limits.webhook_rotation_s, actor=actor)
        secret = outbox.secret(
            secret_key=self._limits.secret_key, tenant_id=owner.id, version=made.version, salt=made.salt
        )
        return secret, made.version

    def _tenant(self, tenant: str | records.Tenant) -> records.Tenant:
        return tenant if isinstance(tenant, records.Tenant) else self._tenants(tenant)


def _run(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _event(text: str) -> outbox.EventId:
    try:
        return outbox.EventId.parse(text)
    except ValueError as error:
        raise InvalidInput([pages.NO_CURSOR]) from error


def _place(text: str) -> webhooks.DisabledPlace:
    try:
        return webhooks.DisabledPlace.parse(text)
    except ValueError as error:
        raise InvalidInput([pages.NO_CURSOR]) from error
