"""What the doors need from the store, synchronously, on the host's own connection.

Every call names a tenant and sees nothing of another's. ``submit`` inside the host's ``transaction.atomic()`` joins it.
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Protocol

from heddle.core import artifact, identity, reasons
from heddle.core.policy import lineup, quota
from heddle.ports import records


class IdempotencyConflict(Exception):
    """Say that a key came again with another body (HTTP 422)."""


class IdempotencyBusy(Exception):
    """Say that the first request under the key has not been admitted yet (HTTP 409)."""


class RunMissing(LookupError):
    """Say that the tenant has no such run: unknown and foreign look the same."""


class RunTerminal(Exception):
    """Say that a run is over and cannot take what was asked (HTTP 409)."""


class SignalsFull(Exception):
    """Say that a run has as many signals that it has not taken as one may have (HTTP 409)."""

    def __init__(self, *, run_id: uuid.UUID, bound: int) -> None:
        super().__init__(
            f"run {run_id} keeps as many signals that it has not taken as it may, {bound:,} (HEDDLE_SIGNALS_MAX)"
        )
        self.bound = bound


class RunNotRetryable(Exception):
    """Say that only failed or expired runs can be retried (HTTP 409)."""


class Doors(Protocol):
    """Admit, show and steer runs."""

    def submit(self, new: records.NewRun) -> records.Submission:
        """Write a run and its first ready entry in one transaction, once per idempotency key.

        A second call with the same key and fingerprint gives the same run id with ``is_replay``. Raises
        IdempotencyConflict, IdempotencyBusy.
        """
        ...

    def submit_many(self, new: Sequence[records.NewRun]) -> list[records.Submission | Exception]:
        """Write up to 1,000 runs in one transaction; one outcome per item, in order."""
        ...

    def replay(self, new: records.NewRun) -> records.Submission | None:
        """Give what was admitted under a request's key, None when nothing was: a look that takes nothing.

        Raises IdempotencyConflict.
        """
        ...

    def lanes(self) -> list[lineup.LaneLoad]:
        """Show the lanes that have something in line, as the leader measured them last."""
        ...

    def tenant_use(self, *, tenant: records.Tenant) -> quota.Use:
        """Tell what a tenant has taken of its quota; what has no bound is not counted."""
        ...

    def store_answer(self, *, tenant: records.Tenant, operation: str, key: str, answer: records.StoredAnswer) -> None:
        """Keep the answer that replays of this key are given. A later call replaces it."""
        ...

    def run(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> records.RunView:
        """Show one run. Raises RunMissing.

        Here, and in what else is asked of one run, the id of a first that has gone with its week stands for the newest
        of its chain as long as that is kept.
        """
        ...

    def runs(self, *, tenant: records.Tenant, where: records.RunFilter) -> list[records.RunView]:
        """Show runs, newest first, at most ``where.limit``; input and output are left out."""
        ...

    def steps(self, *, tenant: records.Tenant, run_id: uuid.UUID, after: int, limit: int) -> list[records.StepView]:
        """Show the calls of a run whose ordinals come after ``after``, in order, at most ``limit``. Raises
        RunMissing.
        """
        ...

    def events(
        self, *, tenant: records.Tenant, run_id: uuid.UUID, after_seq: int, limit: int
    ) -> list[records.EventView]:
        """Show what happened after ``after_seq``, in order. Raises RunMissing."""
        ...

    def cancel(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> bool:
        """Ask for a run to stop; False when it is terminal. A second call changes nothing. Raises RunMissing."""
        ...

    def retry(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> None:
        """Make the failed steps of a failed or expired run due again, under the same run id. Raises RunMissing,
        RunNotRetryable.
        """
        ...

    def signal(
        self,
        *,
        tenant: records.Tenant,
        run_id: uuid.UUID,
        name: str,
        payload: identity.JsonValue,
        idempotency_key: str | None,
    ) -> None:
        """Deliver a signal, buffered when nobody waits for it yet. Raises RunMissing, RunTerminal, SignalsFull: that
        one was not kept, all before it were.
        """
        ...

    def why(self, *, tenant: records.Tenant, run_id: uuid.UUID) -> reasons.Explanation:
        """Say what a run waits for: one sentence, the chain of causes, an estimate. Raises RunMissing."""
        ...

    def callback(self, *, endpoint: str, attempt_id: str, event_id: str, handle: str | None = None) -> bool:
        """Keep a verified callback in the inbox and make the step's poll due; False when the event was there already.

        ``handle`` names the job: an attempt that was sent and of which no answer came is asked after by it.
        Raises LookupError when the attempt is not of this endpoint or does not exist.
        """
        ...

    def find_job(self, *, endpoint: str, handle: str) -> str | None:
        """Give the id of the attempt in flight at an endpoint whose job has this handle; None when there is none."""
        ...

    def note_stray(self, *, endpoint: str, handle: str) -> None:
        """Note a verified callback whose job no attempt in flight has: one that has ended counts as called back.

        A second call changes nothing.
        """
        ...

    def artifact_record(self, *, tenant: records.Tenant, reference: artifact.Artifact) -> None:
        """Note that a tenant owns an artifact. A second call changes nothing."""
        ...

    def artifact(self, *, tenant: records.Tenant, sha256: str) -> artifact.Artifact | None:
        """Give a tenant's artifact, None when it has none of this hash."""
        ...

    def api_key(self, *, key_hash: str, now: datetime.datetime) -> records.ApiKeyView | None:
        """Find a key by its sha256; None when unknown, revoked or expired."""
        ...

    def create_api_key(
        self, *, tenant: str, name: str, key_hash: str, scopes: frozenset[str], expires_at: datetime.datetime | None
    ) -> records.ApiKeyView:
        """Keep a new key's hash; the tenant is made when it does not exist."""
        ...

    def endpoints(self) -> list[records.EndpointView]:
        """Show every endpoint with its limits and health."""
        ...

    def servable_models(self, *, tenant: records.Tenant) -> list[str]:
        """Name the models that an endpoint may serve for a tenant: not paused, and in its regions."""
        ...

    def schedules(self, *, tenant: records.Tenant, after: str, limit: int) -> list[records.ScheduleView]:
        """Show a tenant's schedules by name, those whose names come after ``after``, at most ``limit``."""
        ...

    def pause_schedule(self, *, tenant: records.Tenant, name: str, is_paused: bool) -> None:
        """Let a schedule start nothing, or begin again. A second call changes nothing. Raises LookupError."""
        ...

    def find_tenant(self, *, name: str) -> records.Tenant | None:
        """Give the tenant of this name, None when there is none."""
        ...

    def tenant(self, *, name: str) -> records.Tenant:
        """Give the tenant of this name, made when it does not exist."""
        ...
