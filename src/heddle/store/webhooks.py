"""Serve people who look after webhooks, from Django's own connection; each change is audited in its transaction.

Before it: ``client.webhooks``. After it: ``engine.deliver``, which finds what is due again.
"""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.core import outbox
from heddle.ports import outbox as outbox_port
from heddle.ports import records, webhooks
from heddle.store import django


class DjangoWebhooks(django.DjangoDoors):
    """Show and steer webhooks (``ports.webhooks.WebhookDesk``) through one of Django's connections."""

    def _audit(self, *, tenant: records.Tenant, actor: str, action: str, subject: str, after: Any) -> None:
        self._rows(
            "audit_add",
            {
                "actor": actor,
                "action": f"webhooks.{action}",
                "subject": f"tenant {tenant.name}: {subject}",
                "before": json.dumps(None),
                "after": json.dumps(after),
            },
        )

    def deliveries(self, *, tenant: records.Tenant, where: webhooks.EventFilter) -> Sequence[webhooks.EventView]:
        """Show events."""
        return self._views(tenant, where, run_id=where.run_id, seq=None)

    def _views(
        self, tenant: records.Tenant, where: webhooks.EventFilter, *, run_id: uuid.UUID | None, seq: int | None
    ) -> list[webhooks.EventView]:
        found = self._rows(
            "outbox_views",
            {
                "tenant_id": tenant.id,
                "run_id": run_id,
                "seq": seq,
                "state": None if where.state is None else where.state.value,
                "before_run": None if where.before is None else where.before.run_id,
                "before_seq": None if where.before is None else where.before.seq,
                "limit": where.limit,
            },
        )
        return [_view(row) for row in found]

    def redeliver(self, *, tenant: records.Tenant, event: outbox.EventId, actor: str) -> webhooks.EventView:
        """Send an event again."""
        with self._atomic():
            given = {"tenant_id": tenant.id, "run_id": event.run_id, "seq": event.seq}
            found = self._rows("outbox_again", given)
            if not found:
                raise webhooks.EventMissing(f"there is no event {event}")
            kind, url = found[0]
            after = {"type": kind, "url": url}
            self._audit(tenant=tenant, actor=actor, action="redeliver", subject=str(event), after=after)
            (view,) = self._views(tenant, webhooks.EventFilter(limit=1), run_id=event.run_id, seq=event.seq)
        return view

    def disabled(
        self, *, tenant: records.Tenant, before: webhooks.DisabledPlace | None, limit: int
    ) -> Sequence[webhooks.DisabledView]:
        """Show disabled addresses."""
        given = {
            "tenant_id": tenant.id,
            "before_at": None if before is None else before.at,
            "before_digest": None if before is None else before.digest,
            "limit": limit,
        }
        return [
            webhooks.DisabledView(url=url, reason=reason, place=webhooks.DisabledPlace(at=at, digest=digest))
            for url, reason, at, digest in self._rows("webhook_disabled_views", given)
        ]

    def enable(self, *, tenant: records.Tenant, url: str, actor: str) -> None:
        """Let an address be sent to again."""
        with self._atomic():
            if not self._rows("webhook_enable", {"tenant_id": tenant.id, "url": url}):
                raise webhooks.EventMissing(f"{url[:200]} is not disabled")
            self._audit(tenant=tenant, actor=actor, action="enable", subject=url, after=None)

    def secrets(self, *, tenant: records.Tenant) -> Sequence[webhooks.SecretView]:
        """Show the versions that count."""
        found = self._rows("webhook_secret_keys", {"tenants": [tenant.id]})
        return [
            webhooks.SecretView(version=version, created_at=created_at, retires_at=retires_at)
            for _, version, _, created_at, retires_at in found
        ]

    def rotate(self, *, tenant: records.Tenant, grace_s: float, actor: str) -> outbox_port.SigningKey:
        """Make the next version."""
        with self._atomic():
            found = self._rows("webhook_rotate", {"tenant_id": tenant.id, "grace_s": grace_s})
            if not found:
                raise webhooks.RotationBusy("another rotation was just made; ask again for a further one")
            version, salt = found[0]
            self._audit(
                tenant=tenant,
                actor=actor,
                action="rotate",
                subject="signing secret",
                after={"version": version, "grace_s": grace_s},
            )
        return outbox_port.SigningKey(version=version, salt=salt)


def _view(row: Sequence[Any]) -> webhooks.EventView:
    run_id, seq, kind, url, state, tries, at, next_at, last_at, last_status, last_error, ended_at = row
    return webhooks.EventView(
        id=outbox.EventId(run_id, seq),
        type=kind,
        url=url,
        state=outbox.EventState(state),
        tries=tries,
        at=at,
        next_at=next_at,
        last_at=last_at,
        last_status=last_status,
        last_error=last_error,
        ended_at=ended_at,
    )
