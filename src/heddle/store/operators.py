"""Serve operators from Django's own connection: pauses, limits over the file's, verdicts by hand, bulk operations.

Each change and its row of ``heddle_audit`` are one transaction. Nothing here decides who may: doors ask for the scope
``admin``. Before it: ``client.operating``. After it: claims, which read pauses, and ``engine.operate``.
"""

import dataclasses
import datetime
import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.core import ids, run
from heddle.ports import operators, records
from heddle.store import by_hand, reading

_PAGE, _SAMPLE = 500, 10
_PREVIEWED = {"open_since": None, "calls": None}
STATES: dict[operators.Action, tuple[str, ...]] = {
    operators.Action.CANCEL: (run.RunState.QUEUED.value, run.RunState.RUNNING.value),
    operators.Action.RETRY: (run.RunState.FAILED.value, run.RunState.EXPIRED.value),
    operators.Action.REPRIORITISE: (run.RunState.QUEUED.value, run.RunState.RUNNING.value),
}


def page_parameters(
    *, action: operators.Action, where: dict[str, Any], priority: str | None, limit: int
) -> dict[str, Any]:
    """Give the parameters of operation_page that its filter sets: the same for a preview and for the work."""
    wanted = where.get("state")
    return {
        "states": [state for state in STATES[action] if wanted in (None, state)],
        "workflow": where.get("workflow"),
        "label": None if where.get("label") is None else json.dumps(where["label"]),
        "created_after": where.get("created_after"),
        "created_before": where.get("created_before"),
        "fault": where.get("fault"),
        "run_ids": where.get("run_ids"),
        "priority": priority,
        "limit": limit,
        **_PREVIEWED,
    }


def filter_json(where: operators.BulkFilter) -> dict[str, Any]:
    """Write a filter as it is kept with its operation."""
    written = {
        "workflow": where.workflow,
        "state": None if where.state is None else where.state.value,
        "label": None if where.label is None else dict([where.label]),
        "created_after": None if where.created_after is None else where.created_after.isoformat(),
        "created_before": None if where.created_before is None else where.created_before.isoformat(),
        "fault": where.fault,
        "run_ids": [str(run_id) for run_id in where.run_ids] or None,
    }
    return {name: value for name, value in written.items() if value is not None}


_PAUSES = {
    operators.Kind.ENDPOINT: "pause_endpoint",
    operators.Kind.MODEL: "pause_model",
    operators.Kind.TENANT: "pause_tenant",
}


class DjangoOperators(by_hand.Verdicts):
    """Do what operators ask for, through one of Django's connections."""

    # Pause and resume

    def pause(self, *, kind: operators.Kind, name: str, actor: str) -> datetime.datetime:
        """Let nothing new be claimed."""
        with self._atomic():
            before, after = self._set_pause(kind, name, is_paused=True)
            if before is None:
                self._audit(actor=actor, action="pause", subject=f"{kind} {name}", before=None, after=after)
        assert isinstance(after, datetime.datetime)
        return after

    def resume(self, *, kind: operators.Kind, name: str, actor: str) -> bool:
        """Undo a pause, and let workers look at once."""
        with self._atomic():
            before, _ = self._set_pause(kind, name, is_paused=False)
            if before is not None:
                self._audit(actor=actor, action="resume", subject=f"{kind} {name}", before=before, after=None)
                self._ring()
        return before is not None

    def _set_pause(
        self, kind: operators.Kind, name: str, *, is_paused: bool
    ) -> tuple[datetime.datetime | None, datetime.datetime | None]:
        given: dict[str, Any] = {"name": name, "is_paused": is_paused}
        if kind is operators.Kind.MODEL:
            known = self._rows("model_known", {"name": name})
            if not known:
                raise operators.SubjectMissing(f"there is no model {name!r}; [[routes]] of heddle.toml name models")
            given["before"] = known[0][0]
        found = self._rows(_PAUSES[kind], given)
        if not found:
            raise operators.SubjectMissing(f"there is no {kind} {name!r}")
        return found[0][0], found[0][1]

    def in_flight(self, *, kind: operators.Kind, name: str) -> operators.InFlight:
        """Count what is in flight."""
        calls, steps, is_known = self._rows("in_flight", {"kind": kind.value, "name": name})[0]
        if not is_known:
            raise operators.SubjectMissing(f"there is no {kind} {name!r}")
        return operators.InFlight(calls=calls, steps=steps)

    def resume_sending(self, *, actor: str) -> bool:
        """End the pause of all sending."""
        with self._atomic():
            found = self._rows("resume_sending", {})
            if found:
                self._audit(actor=actor, action="resume", subject="sending", before=found[0][0], after=None)
                self._ring()
        return bool(found)

    # Limits

    def set_limits(self, *, endpoint: str, change: operators.LimitChange, actor: str) -> None:
        """Set limits over those of the file."""
        with self._atomic():
            scope_id, name, concurrency, requests_per_min = self._scope_of(endpoint)
            # The scope is locked since it was read: what is left unchanged is what the change before this one made it.
            before = {"concurrency": concurrency, "requests_per_min": requests_per_min}
            after = dict(zip(before, change.made(**before), strict=True))
            self._rows("override_set", {"scope_id": scope_id, **after})
            self._audit(actor=actor, action="set_limits", subject=f"scope {name}", before=before, after=after)
            self._ring()

    def reset_limits(self, *, endpoint: str, actor: str) -> bool:
        """Go back to the file's limits."""
        with self._atomic():
            scope_id, name, concurrency, requests_per_min = self._scope_of(endpoint)
            found = self._rows("override_reset", {"scope_id": scope_id})
            if not found:
                return False
            before = {"concurrency": concurrency, "requests_per_min": requests_per_min}
            after = dict(zip(before, found[0], strict=True))
            self._audit(actor=actor, action="reset_limits", subject=f"scope {name}", before=before, after=after)
            self._ring()
        return True

    def _scope_of(self, endpoint: str) -> tuple[Any, ...]:
        """Give the scope whose limits a change of the endpoint means: its only one, or the one of its own name."""
        found = self._rows("endpoint_scopes", {"name": endpoint})
        if not found:
            raise operators.SubjectMissing(f"there is no endpoint {endpoint!r}")
        own = [row for row in found if len(found) == 1 or row[1] == endpoint]
        if not own:
            names = ", ".join(row[1] for row in found)
            raise operators.ChangeRefused(
                f"endpoint {endpoint!r} shares the scopes {names} and has none of its own name; "
                "change their limits in heddle.toml and run `heddle migrate`"
            )
        return own[0]

    # By hand

    # In bulk

    def start_operation(self, new: operators.NewOperation) -> operators.OperationView:
        """Write one bulk operation."""
        operation_id = uuid.uuid4()
        with self._atomic():
            first, until = self._span(new)
            self._rows(
                "operation_add",
                {
                    "id": operation_id,
                    "tenant_id": new.tenant.id,
                    "action": new.action.value,
                    "priority": None if new.priority is None else new.priority.value,
                    "filter": json.dumps(filter_json(new.where)),
                    "actor": new.actor,
                    "first": first,
                    "until": until,
                },
            )
            after = {"id": operation_id, "filter": filter_json(new.where), "priority": new.priority}
            self._audit(
                actor=new.actor,
                action=f"runs.{new.action}",
                subject=f"tenant {new.tenant.name}",
                before=None,
                after=after,
            )
        return self.operation(tenant=new.tenant, operation_id=operation_id)

    def _span(self, new: operators.NewOperation) -> tuple[uuid.UUID, uuid.UUID]:
        """Give between which ids an operation looks, both left out: runs that are there now."""
        first, now_s = self._rows("operation_span", {"tenant_id": new.tenant.id})[0]
        until = ids.first_id_at(database_unix_ms=int(now_s * 1000) + 1)
        low = until if first is None else uuid.UUID(int=first.int - 1)
        if new.where.created_after is not None:
            # Ids are made a moment before their rows are; a second covers it, and the filter looks at the exact time.
            after = ids.first_id_at(database_unix_ms=max(0, int(new.where.created_after.timestamp() * 1000) - 1_000))
            low = max(low, after)
        return low, max(low, until)

    def preview(self, new: operators.NewOperation, *, seconds_max: float) -> operators.Preview:
        """Look page by page until the end or until the time is over."""
        priority = None if new.priority is None else new.priority.value
        given = page_parameters(action=new.action, where=filter_json(new.where), priority=priority, limit=_PAGE)
        cursor, until = self._span(new)
        matched, looked_at, sample = 0, 0, list[uuid.UUID]()
        until_s = time.monotonic() + seconds_max
        while time.monotonic() < until_s:
            count, last, found, is_end = self._rows(
                "operation_page", {**given, "tenant_id": new.tenant.id, "cursor": cursor, "until": until}
            )[0]
            found = found or []
            looked_at, matched = looked_at + count, matched + len(found)
            sample += found[: _SAMPLE - len(sample)]
            if is_end:
                return operators.Preview(matched=matched, looked_at=looked_at, is_whole=True, sample=tuple(sample))
            cursor = last
        return operators.Preview(matched=matched, looked_at=looked_at, is_whole=False, sample=tuple(sample))

    def operation(self, *, tenant: records.Tenant, operation_id: uuid.UUID) -> operators.OperationView:
        """Show one operation."""
        found = self._rows("operation_views", {"id": operation_id, "tenant_id": tenant.id})
        if not found:
            raise operators.SubjectMissing(f"there is no operation {operation_id}")
        return _operation_view(found[0])

    def stop_operation(self, *, tenant: records.Tenant, operation_id: uuid.UUID, actor: str) -> bool:
        """End an operation after its present chunk."""
        self.operation(tenant=tenant, operation_id=operation_id)
        with self._atomic():
            found = self._rows("operation_stop", {"id": operation_id, "tenant_id": tenant.id})
            if found:
                self._audit(
                    actor=actor,
                    action="operation.stop",
                    subject=f"operation {operation_id}",
                    before=None,
                    after="stopped",
                )
        return bool(found)

    def dead_letters(
        self,
        *,
        tenant: records.Tenant,
        workflow: str | None,
        fault: str | None,
        before: uuid.UUID | None,
        limit: int,
    ) -> Sequence[operators.DeadLetter]:
        """Show what ended in failure and can be replayed."""
        found = self._rows(
            "dead_letters",
            {
                "tenant_id": tenant.id,
                "workflow": workflow,
                "fault": fault,
                "before": before or uuid.UUID(int=2**128 - 1),
                "limit": limit,
            },
        )
        return [
            operators.DeadLetter(
                run_id=row[0],
                workflow=row[1],
                version=row[2],
                state=row[3],
                error=reading.decode(row[4]),
                labels=reading.decode(row[5]) or {},
                created_at=row[6],
                finished_at=row[7],
                calls=tuple(reading.decode(row[8]) or ()),
            )
            for row in found
        ]

    def api_keys(self, *, tenant: records.Tenant | None, limit: int) -> Sequence[operators.KeyView]:
        """Show API keys, of one tenant or of all."""
        found = self._rows("api_key_views", {"tenant_id": None if tenant is None else tenant.id, "limit": limit})
        names = [field.name for field in dataclasses.fields(operators.KeyView)]
        views = [operators.KeyView(**dict(zip(names, row, strict=True))) for row in found]
        return [dataclasses.replace(view, scopes=tuple(view.scopes)) for view in views]

    def revoke_api_key(self, *, key_id: int, actor: str) -> datetime.datetime:
        """Refuse a key from now on, and tell since when."""
        with self._atomic():
            found = self._rows("api_key_revoke", {"id": key_id})
            if not found:
                raise operators.SubjectMissing(
                    f"there is no API key {key_id}; `heddle keys list` shows those there are"
                )
            tenant, name, before, after = found[0]
            if before is None:
                subject = f"tenant {tenant} key {key_id} {name}"
                self._audit(actor=actor, action="revoke_key", subject=subject, before=None, after=after)
        assert isinstance(after, datetime.datetime)
        return after

    def audit(self, *, limit: int) -> Sequence[operators.AuditView]:
        """Show the latest changes made by hand."""
        return [
            operators.AuditView(
                at=at,
                actor=actor,
                action=action,
                subject=subject,
                before=reading.decode(before),
                after=reading.decode(after),
            )
            for at, actor, action, subject, before, after in self._rows("audit_views", {"limit": limit})
        ]


def _operation_view(row: Sequence[Any]) -> operators.OperationView:
    """Read one row of operation_views."""
    (identity, action, priority, where, state, actor, looked_at, matched, changed, unchanged, *rest) = row
    first, cursor, until, created_at, started_at, finished_at, reason = rest
    span_ms = ids.unix_ms(until) - ids.unix_ms(first)
    progress = 1.0 if state == "done" or span_ms <= 0 else (ids.unix_ms(cursor) - ids.unix_ms(first)) / span_ms
    return operators.OperationView(
        id=identity,
        action=operators.Action(action),
        priority=priority,
        filter=reading.decode(where),
        state=state,
        actor=actor,
        looked_at=looked_at,
        matched=matched,
        changed=changed,
        unchanged=unchanged,
        progress=max(0.0, min(1.0, progress)),
        created_at=created_at,
        started_at=started_at,
        finished_at=finished_at,
        reason=reason,
    )
