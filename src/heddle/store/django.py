"""Serve the doors from Django's own connection: synchronous, and inside the host's transaction when there is one.

``submit`` in ``transaction.atomic()`` joins it: the run exists when the host's commit does, and the doorbell rings
after it. Nothing here decides or validates: that is ``heddle.client``.
"""

import datetime
import json
import logging
import uuid
from typing import Any

from django.db import transaction

from heddle.core import artifact, identity, ids, plan, reasons
from heddle.core.policy import lineup, quota
from heddle.ports import doors, operators, records, transport
from heddle.ports import routing as routing_port
from heddle.store import admitting, late, load, quotas, reading, reusing, routing, why

_LOG = logging.getLogger("heddle.store")
# How often a run that goes on as another at this very moment is followed, before what was asked for is given up.
_CHASE_MAX = 5


class DjangoDoors(admitting.Admitting):
    """Admit, show and steer runs through one of Django's connections."""

    def __init__(self, *, using: str = "default", cleanup_s: float = 60.0, signals_max: int = 1_000) -> None:
        super().__init__(using=using)
        self._cleanup_s = cleanup_s
        self._signals_max = signals_max

    def _atomic(self) -> transaction.Atomic:
        return transaction.atomic(using=self._using)

    # Quotas

    def tenant_use(self, *, tenant: records.Tenant) -> quota.Use:
        """Tell what a tenant has taken of its quota."""
        return quotas.use(self._rows, tenant)

    def store_answer(self, *, tenant: records.Tenant, operation: str, key: str, answer: records.StoredAnswer) -> None:
        """Keep the answer that replays are given."""
        self._rows(
            "idempotency_answer",
            {
                "tenant_id": tenant.id,
                "operation": operation,
                "key": key,
                "status": answer.status,
                "body": answer.body,
                "location": answer.location,
            },
        )

    # Show

    def run(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> records.RunView:
        """Show one run; the newest of its chain by the id of a first that has gone."""
        alone = records.RunFilter(limit=1)
        found = self._rows("run_views", _run_filter(tenant, alone, run_id=run_id))
        if not found:
            newest = self._latest(tenant, run_id)
            found = self._rows("run_views", _run_filter(tenant, alone, run_id=newest))
        if not found:
            raise doors.RunMissing(f"there is no run {run_id}")
        return reading.run_view(found[0], tenant=tenant.name)

    def runs(self, *, tenant: records.Tenant, where: records.RunFilter) -> list[records.RunView]:
        """Show runs, newest first."""
        found = self._rows("run_views", _run_filter(tenant, where, run_id=None))
        return [reading.run_view(row, tenant=tenant.name) for row in found]

    def _own(self, tenant: records.Tenant, run_id: uuid.UUID) -> str:
        found = self._rows("own_run", {"run_id": run_id, "tenant_id": tenant.id})
        if not found:
            raise doors.RunMissing(f"there is no run {run_id}")
        return str(found[0][0])

    def _kept(self, tenant: records.Tenant, run_id: uuid.UUID) -> uuid.UUID:
        """Give the run itself as long as it is kept; the newest of its chain by the id of a first that has gone."""
        is_there = self._rows("own_run", {"run_id": run_id, "tenant_id": tenant.id})
        return run_id if is_there else self._latest(tenant, run_id)

    def steps(self, *, tenant: records.Tenant, run_id: uuid.UUID, after: int, limit: int) -> list[records.StepView]:
        """Show calls of a run."""
        run_id = self._kept(tenant, run_id)
        calls = self._rows("step_views", {"run_id": run_id, "after": after, "limit": limit})
        if not calls:
            return []
        attempts: dict[int, list[records.AttemptView]] = {}
        for row in self._rows("attempt_views", {"run_id": run_id, "after": after, "last": calls[-1][0]}):
            ordinal, view = reading.attempt_view(row, run_id=run_id)
            attempts.setdefault(ordinal, []).append(view)
        return [reading.step_view(row, attempts=tuple(attempts.get(row[0], ()))) for row in calls]

    def events(
        self, *, tenant: records.Tenant, run_id: uuid.UUID, after_seq: int, limit: int
    ) -> list[records.EventView]:
        """Show what happened after a point."""
        run_id = self._kept(tenant, run_id)
        found = self._rows("event_views", {"run_id": run_id, "after_seq": after_seq, "limit": limit})
        return reading.event_views(found, after_seq=after_seq, limit=limit)

    def why(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> reasons.Explanation:
        """Say what a run waits for."""
        found = why.explain(self._rows, run_id=run_id, tenant_id=tenant.id)
        if found is None:
            found = why.explain(self._rows, run_id=self._latest(tenant, run_id), tenant_id=tenant.id)
        if found is None:
            raise doors.RunMissing(f"there is no run {run_id}")
        return found

    def lanes(self) -> list[lineup.LaneLoad]:
        """Show the measured load of lanes that have something in line."""
        return [load.lane_load(row) for row in self._rows("load_read", load.READ)]

    def endpoints(self) -> list[records.EndpointView]:
        """Show every endpoint."""
        leading: dict[str, list[routing_port.RouteFacts]] = {}
        for each in map(routing.facts, self._rows("route_facts", {})):
            leading.setdefault(each.endpoint, []).append(each)
        return [reading.endpoint_view(row, leading.get(row[0], ())) for row in self._rows("endpoint_views", {})]

    def servable_models(self, *, tenant: records.Tenant) -> list[str]:
        """Name the models that can be served for a tenant."""
        return [name for (name,) in self._rows("servable_models", {"tenant_id": tenant.id})]

    def schedules(self, *, tenant: records.Tenant, after: str, limit: int) -> list[records.ScheduleView]:
        """Show a tenant's schedules."""
        found = self._rows("schedule_views", {"tenant_id": tenant.id, "after": after, "limit": limit})
        return [reading.schedule_view(row) for row in found]

    # Steer

    def pause_schedule(self, *, tenant: records.Tenant, name: str, is_paused: bool) -> None:
        """Let a schedule start nothing, or begin again."""
        if not self._rows("pause_schedule", {"tenant_id": tenant.id, "name": name, "is_paused": is_paused}):
            raise LookupError(f"there is no schedule {name!r}")

    def cancel(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> bool:
        """Ask for a run to stop."""
        latest = self._latest(tenant, run_id)
        for _ in range(_CHASE_MAX):
            if self._cancel(latest):
                return True
            before, latest = latest, self._latest(tenant, run_id)
            if before == latest:
                break
        return self._own(tenant, latest) in ("queued", "running")

    def _latest(self, tenant: records.Tenant, run_id: uuid.UUID) -> uuid.UUID:
        """Give the run that this one has gone on as by now, also where this one was the first and has gone."""
        found = self._rows("latest_run", {"run_id": run_id, "tenant_id": tenant.id})
        if not found:
            raise doors.RunMissing(f"there is no run {run_id}")
        latest: uuid.UUID = found[0][0]
        return latest

    def _cancel(self, run_id: uuid.UUID) -> bool:
        with self._atomic():
            self._rows("lock_runs", {"run_ids": [run_id]})
            found = self._rows(
                "stop",
                {
                    "run_ids": [run_id],
                    "reasons": ["cancelled"],
                    "faults": [_CANCELLED],
                    "forced": [False],
                    "cleanup_s": self._cleanup_s,
                },
            )
            stopped = found[0][0]
            self._ring()
            self._ring(transport.CHANNEL_STOPPED, str(run_id))
        return bool(stopped)

    def retry(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> None:
        """Make the failed steps of a failed or expired run due again."""
        run_id = self._kept(tenant, run_id)
        with self._atomic():
            self._rows("lock_runs", {"run_ids": [run_id]})
            looks = reusing.looking_again(self._rows("look_lanes", {"run_ids": [run_id]}))
            if not self._rows("retry_run", {"run_id": run_id, "lost": plan.LOST, "above": None, **looks}):
                raise doors.RunNotRetryable(f"run {run_id} is neither failed nor expired")
            self._ring()

    def signal(
        self,
        *,
        tenant: records.Tenant,
        run_id: uuid.UUID,
        name: str,
        payload: identity.JsonValue,
        idempotency_key: str | None,
    ) -> None:
        """Deliver a signal, buffered when nobody waits yet."""
        latest = self._latest(tenant, run_id)
        for _ in range(_CHASE_MAX):
            if self._signal(tenant, latest, name=name, payload=payload, idempotency_key=idempotency_key):
                return
            before, latest = latest, self._latest(tenant, run_id)
            if before == latest:
                break
        raise doors.RunTerminal(f"run {latest} is over")

    def _signal(
        self,
        tenant: records.Tenant,
        run_id: uuid.UUID,
        *,
        name: str,
        payload: identity.JsonValue,
        idempotency_key: str | None,
    ) -> bool:
        with self._atomic():
            self._rows("lock_runs", {"run_ids": [run_id]})
            if self._own(tenant, run_id) not in ("queued", "running"):
                return False
            given = {"run_id": run_id, "name": name, "key": idempotency_key, "payload": json.dumps(payload)}
            ((is_kept,),) = self._rows("signal_add", {**given, "kept_max": self._signals_max})
            if not is_kept:
                raise doors.SignalsFull(run_id=run_id, bound=self._signals_max)
            self._ring()
        return True

    def callback(self, *, endpoint: str, attempt_id: str, event_id: str, handle: str | None = None) -> bool:
        """Keep a verified callback in the inbox, with the job it tells of, and make the step's poll due."""
        named = ids.AttemptId.parse(attempt_id)
        kept_once = {
            "endpoint": endpoint,
            "run_id": named.run_id,
            "ordinal": named.ordinal,
            "number": named.number,
            "event_id": event_id,
            "handle": handle,
        }
        lock = ("lock_runs", {"run_ids": [named.run_id]})
        [(found, kept, is_closed)] = self._together([lock, ("callback_add", kept_once)])
        if not found:
            raise LookupError(f"endpoint {endpoint!r} has no attempt {attempt_id}")
        if is_closed:
            with self._atomic():
                self._rows(*lock)
                late.hear_at_door(self._rows, late.told_by_callback(named, handle))
                self._ring()
        return bool(kept)

    def find_job(self, *, endpoint: str, handle: str) -> str | None:
        """Find the attempt in flight that a job belongs to."""
        rows = self._rows("callback_find", {"endpoint": endpoint, "handle": handle})
        if not rows:
            return None
        run_id, ordinal, number = rows[0]
        return str(ids.AttemptId(run_id=run_id, ordinal=ordinal, number=number))

    def note_stray(self, *, endpoint: str, handle: str) -> None:
        """Note a callback whose job no attempt in flight has."""
        self._rows("callback_stray", {"endpoint": endpoint, "handle": handle})

    # Artifacts, tenants, keys

    def artifact_record(self, *, tenant: records.Tenant, reference: artifact.Artifact) -> None:
        """Note that a tenant owns an artifact."""
        self._rows(
            "record_artifact",
            {
                "tenant_id": tenant.id,
                "sha256": reference.sha256,
                "media_type": reference.media_type,
                "size_bytes": reference.size_bytes,
            },
        )

    def artifact(self, *, tenant: records.Tenant, sha256: str) -> artifact.Artifact | None:
        """Give a tenant's artifact."""
        found = self._rows("artifact_read", {"tenant_id": tenant.id, "sha256": sha256})
        if not found:
            return None
        return artifact.Artifact(sha256=sha256, media_type=found[0][0], size_bytes=found[0][1])

    def api_key(self, *, key_hash: str, now: datetime.datetime) -> records.ApiKeyView | None:
        """Find a living key by its hash."""
        found = self._rows("api_key", {"key_hash": key_hash, "now": now})
        if not found:
            return None
        *tenant, name, scopes = found[0]
        return records.ApiKeyView(tenant=quotas.tenant(tenant), name=name, scopes=frozenset(scopes))

    def create_api_key(
        self, *, tenant: str, name: str, key_hash: str, scopes: frozenset[str], expires_at: datetime.datetime | None
    ) -> records.ApiKeyView:
        """Keep a new key's hash."""
        owner = self.tenant(name=tenant)
        self._rows(
            "api_key_add",
            {
                "tenant_id": owner.id,
                "name": name,
                "key_hash": key_hash,
                "scopes": sorted(scopes),
                "expires_at": expires_at,
            },
        )
        return records.ApiKeyView(tenant=owner, name=name, scopes=scopes)

    def find_tenant(self, *, name: str) -> records.Tenant | None:
        """Give the tenant of this name, None when there is none."""
        found = self._rows("tenant_read", {"name": name})
        return quotas.tenant(found[0]) if found else None

    def known_tenant(self, *, name: str) -> records.Tenant:
        """Give the tenant of this name. Raises SubjectMissing: who looks after a tenant mistypes it, and makes none."""
        found = self.find_tenant(name=name)
        if found is None:
            raise operators.SubjectMissing(
                f"there is no tenant {name[:100]!r}; heddle.toml or the first key of a tenant makes it"
            )
        return found

    def tenant(self, *, name: str) -> records.Tenant:
        """Give the tenant of this name, made when it does not exist."""
        found = self.find_tenant(name=name)
        if found is None:
            self._rows("tenant_add", {"name": name})
            found = self.find_tenant(name=name)
        assert found is not None, "it was made, or was there"
        return found


_CANCELLED = json.dumps({"fault": "cancelled", "message": "somebody asked for the run to stop", "where": ""})


def _run_filter(tenant: records.Tenant, where: records.RunFilter, *, run_id: uuid.UUID | None) -> dict[str, Any]:
    return {
        "tenant_id": tenant.id,
        "run_id": run_id,
        "is_full": run_id is not None,
        "before": where.before,
        "workflow": where.workflow,
        "state": None if where.state is None else where.state.value,
        "label": None if where.label is None else json.dumps(dict([where.label])),
        "created_after": where.created_after,
        "created_before": where.created_before,
        "limit": where.limit,
    }
