"""Double the store's doors in memory, for fast tests of what stands before them.

It keeps the promises of ``ports.doors`` that doors can see (idempotency, ownership, terminal states) and moves no run
by itself: a test moves it.
"""

import dataclasses
import datetime
import itertools
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.core import artifact, ids, reasons, run, step
from heddle.core.plan import public
from heddle.core.policy import lineup, quota
from heddle.ports import doors, records

BORN_AT = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.UTC)


class FakeDoors:
    """Hold runs, keys and artifacts of any number of tenants."""

    def __init__(self) -> None:
        self.now = BORN_AT
        self.tenants: dict[str, records.Tenant] = {}
        self.keys: dict[str, records.ApiKeyView] = {}
        self.found: dict[uuid.UUID, records.RunView] = {}
        self.new: dict[uuid.UUID, records.NewRun] = {}
        self.run_steps: dict[uuid.UUID, list[records.StepView]] = {}
        self.run_events: dict[uuid.UUID, list[records.EventView]] = {}
        self.idempotency: dict[tuple[str, str, str], tuple[str, uuid.UUID]] = {}
        self.answers: dict[tuple[str, str, str], records.StoredAnswer] = {}
        self.busy: set[str] = set()
        self.owned: dict[tuple[str, str], artifact.Artifact] = {}
        self.signals: list[tuple[uuid.UUID, str, Any, str | None]] = []
        self.signals_max = 1_000
        self.callbacks: set[tuple[str, str, str]] = set()
        self.jobs: dict[tuple[str, str], str] = {}
        self.strays: list[tuple[str, str]] = []
        self.shown_endpoints: list[records.EndpointView] = []
        self.shown_lanes: list[lineup.LaneLoad] = []
        self.uses: dict[str, quota.Use] = {}
        self.key_lookups = 0
        self._numbers = itertools.count(1)

    def submit(self, new: records.NewRun) -> records.Submission:
        if new.idempotency_key is None:
            return records.Submission(run_id=self._write(new), is_replay=False)
        key = (new.tenant.name, new.operation, new.idempotency_key)
        if new.idempotency_key in self.busy:
            raise doors.IdempotencyBusy
        if key in self.idempotency:
            fingerprint, run_id = self.idempotency[key]
            if fingerprint != new.fingerprint:
                raise doors.IdempotencyConflict
            return records.Submission(run_id=run_id, is_replay=True, answer=self.answers.get(key))
        run_id = self._write(new)
        self.idempotency[key] = (new.fingerprint, run_id)
        if new.answer_for is not None:
            self.answers[key] = new.answer_for(run_id)
        return records.Submission(run_id=run_id, is_replay=False)

    def submit_many(self, new: Sequence[records.NewRun]) -> list[records.Submission | Exception]:
        outcomes: list[records.Submission | Exception] = []
        for each in new:
            try:
                outcomes.append(self.submit(each))
            except (doors.IdempotencyBusy, doors.IdempotencyConflict) as error:
                outcomes.append(error)
        return outcomes

    def replay(self, new: records.NewRun) -> records.Submission | None:
        key = (new.tenant.name, new.operation, new.idempotency_key or "")
        if key not in self.idempotency:
            return None
        fingerprint, run_id = self.idempotency[key]
        if fingerprint != new.fingerprint:
            raise doors.IdempotencyConflict
        return records.Submission(run_id=run_id, is_replay=True, answer=self.answers.get(key))

    def lanes(self) -> list[lineup.LaneLoad]:
        return self.shown_lanes

    def tenant_use(self, *, tenant: records.Tenant) -> quota.Use:
        return self.uses.get(tenant.name, quota.Use())

    def store_answer(self, *, tenant: records.Tenant, operation: str, key: str, answer: records.StoredAnswer) -> None:
        self.answers[tenant.name, operation, key] = answer

    def run(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> records.RunView:
        view = self.found.get(run_id)
        if view is None or view.tenant != tenant.name:
            raise doors.RunMissing(str(run_id))
        return view

    def runs(self, *, tenant: records.Tenant, where: records.RunFilter) -> list[records.RunView]:
        views = [
            view
            for view in sorted(self.found.values(), key=lambda each: each.id, reverse=True)
            if view.tenant == tenant.name
            and where.workflow in (None, view.workflow)
            and where.state in (None, view.state)
            and (where.label is None or view.labels.get(where.label[0]) == where.label[1])
            and (where.before is None or view.id < where.before)
        ]
        return [dataclasses.replace(view, input=None, output=None) for view in views[: where.limit]]

    def steps(self, *, tenant: records.Tenant, run_id: uuid.UUID, after: int, limit: int) -> list[records.StepView]:
        self.run(tenant=tenant, run_id=run_id)
        return [each for each in self.run_steps.get(run_id, []) if each.ordinal > after][:limit]

    def plan(self, run_id: uuid.UUID, *, calls: int) -> None:
        """Give a run so many calls, each waiting for the one before it."""
        self.run_steps[run_id] = [
            records.StepView(
                ordinal=ordinal,
                kind=step.StepKind.STEP,
                name="paint",
                state=step.StepState.BLOCKED,
                is_leased=False,
                parents=(ordinal - 1,) if ordinal > 1 else (),
                input=None,
                output=None,
                fault=None,
                note="",
                created_at=self.now,
                due_at=None,
                finished_at=None,
                cost_nano_usd=0,
                attempts=(),
            )
            for ordinal in range(1, calls + 1)
        ]
        self.move(run_id, steps=dataclasses.replace(self.found[run_id].steps, total=calls))

    def events(
        self, *, tenant: records.Tenant, run_id: uuid.UUID, after_seq: int, limit: int
    ) -> list[records.EventView]:
        self.run(tenant=tenant, run_id=run_id)
        return [each for each in self.run_events.get(run_id, []) if each.seq > after_seq][:limit]

    def cancel(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> bool:
        view = self.run(tenant=tenant, run_id=run_id)
        if view.state in run.TERMINAL:
            return False
        self.move(run_id, cancel_requested_at=view.cancel_requested_at or self.now, shown_state="cancelling")
        return True

    def retry(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> None:
        if self.run(tenant=tenant, run_id=run_id).state not in (run.RunState.FAILED, run.RunState.EXPIRED):
            raise doors.RunNotRetryable(f"run {run_id} is not failed or expired")
        self.move(run_id, state=run.RunState.RUNNING, shown_state="running", finished_at=None)

    def signal(
        self, *, tenant: records.Tenant, run_id: uuid.UUID, name: str, payload: Any, idempotency_key: str | None
    ) -> None:
        if self.run(tenant=tenant, run_id=run_id).state in run.TERMINAL:
            raise doors.RunTerminal(f"run {run_id} is over")
        if len(self.signals) >= self.signals_max:
            raise doors.SignalsFull(run_id=run_id, bound=self.signals_max)
        if idempotency_key is None or all(each[3] != idempotency_key for each in self.signals):
            self.signals.append((run_id, name, payload, idempotency_key))

    def why(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> reasons.Explanation:
        view = self.run(tenant=tenant, run_id=run_id)
        reason = reasons.Reason(cause=reasons.Cause.ENDING, clause=f"the run is {view.shown_state}")
        return reasons.Explanation(sentence=f"The run is {view.shown_state}.", chain=(reason,))

    def callback(self, *, endpoint: str, attempt_id: str, event_id: str, handle: str | None = None) -> bool:
        parsed = ids.AttemptId.parse(attempt_id)
        if parsed.run_id not in self.found:
            raise LookupError(attempt_id)
        is_new = (endpoint, attempt_id, event_id) not in self.callbacks
        self.callbacks.add((endpoint, attempt_id, event_id))
        return is_new

    def find_job(self, *, endpoint: str, handle: str) -> str | None:
        return self.jobs.get((endpoint, handle))

    def note_stray(self, *, endpoint: str, handle: str) -> None:
        self.strays.append((endpoint, handle))

    def artifact_record(self, *, tenant: records.Tenant, reference: artifact.Artifact) -> None:
        self.owned[tenant.name, reference.sha256] = reference

    def artifact(self, *, tenant: records.Tenant, sha256: str) -> artifact.Artifact | None:
        return self.owned.get((tenant.name, sha256))

    def api_key(self, *, key_hash: str, now: datetime.datetime) -> records.ApiKeyView | None:
        self.key_lookups += 1
        return self.keys.get(key_hash)

    def create_api_key(
        self, *, tenant: str, name: str, key_hash: str, scopes: frozenset[str], expires_at: datetime.datetime | None
    ) -> records.ApiKeyView:
        view = records.ApiKeyView(tenant=self.tenant(name=tenant), name=name, scopes=scopes)
        self.keys[key_hash] = view
        return view

    def endpoints(self) -> list[records.EndpointView]:
        return self.shown_endpoints

    def servable_models(self, *, tenant: records.Tenant) -> list[str]:
        return sorted({model for each in self.shown_endpoints for model in each.models})

    def find_tenant(self, *, name: str) -> records.Tenant | None:
        return self.tenants.get(name)

    def tenant(self, *, name: str) -> records.Tenant:
        return self.tenants.setdefault(name, records.Tenant(id=len(self.tenants) + 1, name=name))

    def move(self, run_id: uuid.UUID, **changes: Any) -> None:
        """Change a run as the engine would."""
        self.found[run_id] = dataclasses.replace(self.found[run_id], **changes)

    def _write(self, new: records.NewRun) -> uuid.UUID:
        number = next(self._numbers)
        run_id = ids.run_id(database_unix_ms=int(self.now.timestamp() * 1000) + number, random_bits=number)
        self.new[run_id] = new
        self.found[run_id] = records.RunView(
            id=run_id,
            tenant=new.tenant.name,
            workflow=new.workflow,
            version=new.version,
            priority=new.priority,
            state=run.RunState.QUEUED,
            shown_state="queued",
            input=public(new.input),
            output=None,
            error=None,
            is_degraded=False,
            cost_nano_usd=0,
            steps=records.StepCounts(),
            labels=new.labels,
            created_at=self.now,
            started_at=None,
            finished_at=None,
            deadline_at=None,
            cancel_requested_at=None,
        )
        return run_id
