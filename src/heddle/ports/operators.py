"""What an operator may do to what runs: pause, resume, change limits, settle by hand, start work in bulk.

Synchronous, on the host's own connection. Every change names its actor and writes one row of ``heddle_audit`` in the
transaction of the change. Claims read pauses, so they hold for every worker from its next claim; what is in flight goes
on. Neighbours: doors and the command line above, ``store.operators`` below; ``engine.operate`` carries bulk work on.
"""

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from heddle.core import ids, run
from heddle.ports import records


class Kind(enum.StrEnum):
    """Name what can be paused."""

    ENDPOINT = "endpoint"
    MODEL = "model"
    TENANT = "tenant"


class Action(enum.StrEnum):
    """Name what can be done to runs in bulk."""

    CANCEL = "cancel"
    RETRY = "retry"
    REPRIORITISE = "reprioritise"


class SubjectMissing(LookupError):
    """Say that there is no endpoint, model, tenant, operation or step of this name."""


class ChangeRefused(Exception):
    """Say why a change cannot be made, in one sentence that tells what can."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """Count what a pause lets go on. ``calls``: model calls that hold a slot until their job is known to be over.
    ``steps``: activations and steps in workers (tenants only).
    """

    calls: int
    steps: int

    @property
    def total(self) -> int:
        """Give what a drain waits for."""
        return self.calls + self.steps


class Unchanged(enum.Enum):
    """Say of a limit that it stays what it is when the change is made, whoever changes it just before."""

    UNCHANGED = "unchanged"


Limit = int | None | Unchanged


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LimitChange:
    """Hold limits that win over those of the file until they are reset; None: no limit of that kind."""

    concurrency: Limit
    requests_per_min: Limit

    def made(self, *, concurrency: int | None, requests_per_min: int | None) -> tuple[int | None, int | None]:
        """Give the limits that this makes of those there are."""
        return (
            concurrency if isinstance(self.concurrency, Unchanged) else self.concurrency,
            requests_per_min if isinstance(self.requests_per_min, Unchanged) else self.requests_per_min,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BulkFilter:
    """Say which runs of one tenant are meant; what is None or empty does not narrow.

    ``fault`` is the classified failure of the run's error. ``run_ids`` names runs one by one, at most 1,000.
    """

    workflow: str | None = None
    state: run.RunState | None = None
    label: tuple[str, str] | None = None
    created_after: datetime.datetime | None = None
    created_before: datetime.datetime | None = None
    fault: str | None = None
    run_ids: tuple[uuid.UUID, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewOperation:
    """Ask for one bulk operation. ``priority``: the new class, for reprioritise only."""

    tenant: records.Tenant
    action: Action
    where: BulkFilter
    priority: run.Priority | None
    actor: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Tell what an operation would do, changing nothing. ``is_whole``: False when the time for looking ended first, and
    there may be more. ``sample``: the first runs it would touch.
    """

    matched: int
    looked_at: int
    is_whole: bool
    sample: tuple[uuid.UUID, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OperationView:
    """Show one bulk operation. ``looked_at``: runs compared with the filter so far; ``unchanged``: runs that matched
    and could not be changed any more (over in the meantime). ``progress``: 0 to 1, by the time the cursor has reached.
    ``reason``: why it was stopped before its end.
    """

    id: uuid.UUID
    action: Action
    priority: str | None
    filter: Mapping[str, Any]
    state: str
    actor: str
    looked_at: int
    matched: int
    changed: int
    unchanged: int
    progress: float
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    reason: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Show one run that ended in failure and can be replayed. ``calls``: its failed calls, 20 at most, each with
    ordinal, kind, name, fault, attempts and finished_at.
    """

    run_id: uuid.UUID
    workflow: str
    version: int
    state: str
    error: Mapping[str, Any] | None
    labels: Mapping[str, str]
    created_at: datetime.datetime
    finished_at: datetime.datetime | None
    calls: tuple[Mapping[str, Any], ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AuditView:
    """Show one change made by hand."""

    at: datetime.datetime
    actor: str
    action: str
    subject: str
    before: Any
    after: Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UnknownCall:
    """Show one call whose outcome at the provider nobody knows, since ``since``. ``handle``: the provider's name of the
    job, where one was told. ``price_nano_usd``: what it may have cost, where that is known. ``is_looked_up``: a worker
    asks just now; ``next_look_at``: when one does next. Neither: it stays unknown until a person decides.
    """

    attempt: ids.AttemptId
    tenant: str
    workflow: str
    model: str
    endpoint: str | None
    handle: str | None
    price_nano_usd: int | None
    since: datetime.datetime
    is_looked_up: bool
    next_look_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UnknownPage:
    """Hold one page of calls of unknown outcome. ``following``: after which the next page begins; None: this is the
    last. A page may have fewer calls than were asked for, even none, and not be the last.
    """

    calls: tuple[UnknownCall, ...]
    following: ids.AttemptId | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """Show one API key: whose it is and what it may do, never the key. ``id`` is the number it is revoked by."""

    id: int
    tenant: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime.datetime
    expires_at: datetime.datetime | None
    revoked_at: datetime.datetime | None


class Operators(Protocol):
    """Change how work goes on, each change audited."""

    def pause(self, *, kind: Kind, name: str, actor: str) -> datetime.datetime:
        """Let nothing new be claimed; give since when. A second call changes nothing. Raises SubjectMissing."""
        ...

    def resume(self, *, kind: Kind, name: str, actor: str) -> bool:
        """Undo a pause; False when there was none. Raises SubjectMissing."""
        ...

    def in_flight(self, *, kind: Kind, name: str) -> InFlight:
        """Count what is in flight. Raises SubjectMissing."""
        ...

    def set_limits(self, *, endpoint: str, change: LimitChange, actor: str) -> None:
        """Set limits over those of the file. A later call replaces them, what it leaves unchanged as the call before
        made it. Raises SubjectMissing, ChangeRefused when it is not clear which of the endpoint's scopes is meant.
        """
        ...

    def reset_limits(self, *, endpoint: str, actor: str) -> bool:
        """Go back to the file's limits; False when none were set over them. Raises SubjectMissing, ChangeRefused."""
        ...

    def start_canary(self, *, model: str, endpoint: str, share: float, margin: float, actor: str) -> None:
        """Give a route a share (above 0, below 1) of its tier and compare it with the others of the tier; it is rolled
        back by itself when its share of bad calls is above theirs by more than ``margin``.

        A second call begins the comparison anew. Raises SubjectMissing, ChangeRefused.
        """
        ...

    def promote_canary(self, *, model: str, endpoint: str, actor: str) -> None:
        """Let a canary be a route like the others, until it is reset. Raises SubjectMissing, ChangeRefused."""
        ...

    def roll_back_canary(self, *, model: str, endpoint: str, actor: str) -> None:
        """Give a canary nothing more, until it is reset. Raises SubjectMissing, ChangeRefused."""
        ...

    def reset_canary(self, *, model: str, endpoint: str, actor: str) -> bool:
        """Go back to what the file says of a route; False when nothing was decided over it. Raises SubjectMissing."""
        ...

    def resume_sending(self, *, actor: str) -> bool:
        """End the pause of all sending that a restore began; False when there was none."""
        ...

    def settle_unknown(
        self, *, run_id: uuid.UUID, ordinal: int, verdict: str, output: Any, cost_nano_usd: int | None, actor: str
    ) -> None:
        """Decide a step whose outcome is unknown: ``done`` with its output, ``failed``, or ``retry``.

        Of one that was stopped it closes what was left behind at the provider: ``done`` charges it, ``failed`` releases
        it. Raises SubjectMissing, ChangeRefused when the step is not unknown or a worker is asking about it just now.
        """
        ...

    def unknown_calls(self, *, tenant: records.Tenant | None, after: ids.AttemptId | None, limit: int) -> UnknownPage:
        """Show calls of unknown outcome, of one tenant or of all, those of the oldest runs first."""
        ...

    def start_operation(self, new: NewOperation) -> OperationView:
        """Write one bulk operation; the leading worker carries it out, and another goes on when that one dies."""
        ...

    def preview(self, new: NewOperation, *, seconds_max: float) -> Preview:
        """Look which runs an operation would touch, for at most so many seconds."""
        ...

    def operation(self, *, tenant: records.Tenant, operation_id: uuid.UUID) -> OperationView:
        """Show one operation. Raises SubjectMissing."""
        ...

    def stop_operation(self, *, tenant: records.Tenant, operation_id: uuid.UUID, actor: str) -> bool:
        """End an operation after its present chunk; False when it is over. Raises SubjectMissing."""
        ...

    def dead_letters(
        self,
        *,
        tenant: records.Tenant,
        workflow: str | None,
        fault: str | None,
        before: uuid.UUID | None,
        limit: int,
    ) -> Sequence[DeadLetter]:
        """Show what ended in failure and can be replayed, newest first, runs made earlier than ``before``."""
        ...

    def api_keys(self, *, tenant: records.Tenant | None, limit: int) -> Sequence[KeyView]:
        """Show API keys, of one tenant or of all, newest first."""
        ...

    def revoke_api_key(self, *, key_id: int, actor: str) -> datetime.datetime:
        """Refuse a key from now on, and tell since when. A second call changes nothing. Raises SubjectMissing."""
        ...

    def audit(self, *, limit: int) -> Sequence[AuditView]:
        """Show the latest changes made by hand, newest first."""
        ...
