"""Frozen records that cross the store's border: what doors hand in, and what they are shown.

Times are aware datetimes in UTC, money is integer nano-USD, values are in their public form (no marks, no escapes).
Nothing here knows a row.
"""

import dataclasses
import datetime
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from heddle.core import attempt, faults, identity, plan, run, step
from heddle.core.policy import quota as quota_policy
from heddle.ports import routing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Hold who is asking. ``id`` is internal, ``name`` what people and configuration call it."""

    id: int
    name: str
    weight: int = 1
    quota: quota_policy.Quota = quota_policy.NONE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """Hold one run to be admitted.

    ``input`` is encoded JSON that has passed the workflow's schema. ``deadline_s`` counts from admission.
    ``fingerprint`` is compared when the same ``idempotency_key`` comes again; ``operation`` separates keys of
    different calls. ``answer_for`` gives, for the id the run will have, the first answer, kept with the key.
    ``call``: the one call of a run without a function, None for a workflow's run.
    """

    tenant: Tenant
    workflow: str
    version: int
    input: dict[str, identity.JsonValue]
    priority: run.Priority = run.Priority.STANDARD
    deadline_s: float | None = None
    start_at: datetime.datetime | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    webhook_url: str | None = None
    max_cost_nano_usd: int | None = None
    idempotency_key: str | None = None
    operation: str = "runs.create"
    fingerprint: str = ""
    traceparent: str | None = None
    answer_for: "Callable[[uuid.UUID], StoredAnswer] | None" = None
    call: plan.PlannedCall | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """Hold the first answer given under an idempotency key, to be given again unchanged."""

    status: int
    body: str
    location: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Tell what became of a ``NewRun``. ``answer`` is there on a replay whose first answer is stored."""

    run_id: uuid.UUID
    is_replay: bool
    answer: StoredAnswer | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepCounts:
    """Count the calls of a run by where they are."""

    total: int = 0
    done: int = 0
    running: int = 0
    waiting: int = 0
    failed: int = 0
    attempts: int = 0
    retries: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """Show one run. ``shown_state`` adds the derived ``waiting`` and ``cancelling`` to the stored states.

    ``is_degraded``: a fallback answered a call of it; ``price_difference`` is what fallbacks cost more, together.
    ``continued_as`` is the run that this one went on as, ``continued_last`` the one that goes on now.
    """

    id: uuid.UUID
    tenant: str
    workflow: str
    version: int
    priority: run.Priority
    state: run.RunState
    shown_state: str
    input: identity.JsonValue
    output: identity.JsonValue
    error: Mapping[str, Any] | None
    is_degraded: bool
    cost_nano_usd: int
    steps: StepCounts
    labels: Mapping[str, str]
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    deadline_at: datetime.datetime | None
    cancel_requested_at: datetime.datetime | None
    parent_run: uuid.UUID | None = None
    parent_ordinal: int | None = None
    traceparent: str | None = None
    price_difference_nano_usd: int = 0
    continued_from: uuid.UUID | None = None
    continued_as: uuid.UUID | None = None
    continued_last: uuid.UUID | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """Show one try of a step at one endpoint. ``tier``: 0 the first choice of its model's routes, above it a fallback,
    whose ``price_difference`` is what it cost more than the first choice would have.
    """

    id: str
    number: int
    endpoint: str | None
    worker: str | None
    state: attempt.AttemptState
    handle: str | None
    fault: faults.StepFault | None
    cost_nano_usd: int | None
    started_at: datetime.datetime
    sent_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    tier: int = 0
    price_difference_nano_usd: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """Show one call of a run with its attempts. ``note`` is the provider's own word while it works. ``reused_run`` and
    ``reused_call`` name the call whose result it took.
    """

    ordinal: int
    kind: step.StepKind
    name: str
    state: step.StepState
    is_leased: bool
    parents: tuple[int, ...]
    input: identity.JsonValue
    output: identity.JsonValue
    fault: faults.StepFault | None
    note: str
    created_at: datetime.datetime
    due_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    cost_nano_usd: int
    attempts: tuple[AttemptView, ...]
    child_run: uuid.UUID | None = None
    reused_run: uuid.UUID | None = None
    reused_call: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """Show one thing that happened to a run; ``seq`` counts from 1 without gaps."""

    seq: int
    name: str
    ordinal: int | None
    at: datetime.datetime
    detail: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Say which runs of a tenant are asked for. ``before`` is the cursor: runs made earlier than this one, newest
    first.
    """

    workflow: str | None = None
    state: run.RunState | None = None
    label: tuple[str, str] | None = None
    created_after: datetime.datetime | None = None
    created_before: datetime.datetime | None = None
    before: uuid.UUID | None = None
    limit: int = 50


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndpointView:
    """Show one endpoint with its limits and health. ``paused_at``: since when an operator lets nothing go to it.
    ``routes``: by which models reach it, each with what its calls came to.
    """

    name: str
    adapter: str
    url: str
    models: tuple[str, ...]
    in_flight: int
    concurrency: int | None
    requests_per_min: int | None
    breaker: str
    paused_until: datetime.datetime | None
    secret_name: str | None
    paused_at: datetime.datetime | None = None
    regions: tuple[str, ...] = ()
    routes: tuple[routing.RouteFacts, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """Show one schedule: what it starts when, what it last started, and how often it has and has not.

    ``is_enabled``: False once neither the file nor code names it any more. ``problem``: why it started nothing when
    its time last came.
    """

    name: str
    workflow: str
    cron: str
    time_zone: str
    catch_up: str
    priority: str
    is_enabled: bool
    paused_at: datetime.datetime | None
    next_at: datetime.datetime
    last_at: datetime.datetime | None
    last_run: uuid.UUID | None
    fired: int
    missed: int
    problem: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyView:
    """Show who a key belongs to and what it may do. The key itself is stored only as a hash."""

    tenant: Tenant
    name: str
    scopes: frozenset[str]
