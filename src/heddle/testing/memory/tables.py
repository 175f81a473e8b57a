"""Hold the rows that the statements work on, and the few moves that many of them share.

Times are seconds since 1970 of the store's own clock, values are what JSON gives. A state moves only where the law of
``core`` allows it: a statement that would break it raises ``LawBroken`` instead of writing. Neighbours: every module of
this room works on these tables; nothing else does, except invariants that look.
"""

import collections
import copy
import dataclasses
import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from heddle.core import attempt, run, step
from heddle.testing.memory import deployed, results
from heddle.testing.memory.posted import OutboxRow

Rows = list[tuple[Any, ...]]
Statement = Callable[..., Rows]
Key = tuple[uuid.UUID, int]
TimerKey = tuple[uuid.UUID, int, str]
OPEN = frozenset({"blocked", "due", "pending", "waiting", "unknown"})
LIVE = frozenset({"queued", "running"})
# What a transaction that is undone leaves: the clock, chance, who watches, and sequences, which no database takes back.
_NO_ROWS = frozenset({"now_s", "rng", "watch", "_numbers"})


class LawBroken(AssertionError):
    """Say which state was to move where the law does not allow it."""


@dataclasses.dataclass(slots=True, kw_only=True)
class AttemptRow:
    """Hold one try of a step."""

    number: int
    endpoint_id: int | None
    worker_id: int | None
    fence: int
    state: str
    started_at: float
    price_nano_usd: int | None = None
    cost_nano_usd: int | None = None
    handle: str | None = None
    request_digest: str | None = None
    fault: Any = None
    result: Any = None
    send_by: float | None = None
    sent_at: float | None = None
    accepted_at: float | None = None
    unknown_at: float | None = None
    finished_at: float | None = None
    tier: int = 0
    primary_price_nano_usd: int | None = None
    called_back_at: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """Hold one entry of the ledger; its key is run, ordinal, number and kind."""

    tenant_id: int
    endpoint_id: int | None
    amount: int
    day: int
    workflow: str
    model: str
    is_estimated: bool = False


@dataclasses.dataclass(slots=True, kw_only=True)
class StepRow:
    """Hold one call of a run, with its attempts by number."""

    run_id: uuid.UUID
    ordinal: int
    kind: str
    name: str
    version: int
    lane: int
    tenant_id: int
    state: str
    digest: str
    input: Any
    created_at: float
    options: dict[str, Any] | None = None
    output: Any = None
    fault: Any = None
    note: str = ""
    blockers: int = 0
    parents: list[int] | None = None
    children: list[int] = dataclasses.field(default_factory=list)
    attempts: int = 0
    attempts_before: int = 0
    crashes: int = 0
    epoch: int = 0
    cost_nano_usd: int = 0
    child_run: uuid.UUID | None = None
    started_at: float | None = None
    worker_id: int | None = None
    finished_at: float | None = None
    tries: dict[int, AttemptRow] = dataclasses.field(default_factory=dict)

    @property
    def is_detached(self) -> bool:
        """Tell whether its failure leaves the run alone."""
        return bool((self.options or {}).get("detach"))


@dataclasses.dataclass(slots=True, kw_only=True)
class SignalRow:
    """Hold one signal that was delivered to a run."""

    seq: int
    name: str
    key: str | None
    payload: Any
    consumed_by: int | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class RunRow:
    """Hold one run, with its steps by ordinal, its events and its signals."""

    id: uuid.UUID
    tenant_id: int
    workflow: str
    version: int
    priority: str
    lane: int
    input: Any
    labels: dict[str, str]
    webhook_url: str | None
    max_cost_nano_usd: int | None
    created_at: float
    deadline_at: float | None
    parent_run: uuid.UUID | None
    parent_ordinal: int | None
    traceparent: str | None
    cap_run: uuid.UUID | None = None
    continued_from: uuid.UUID | None = None
    continued_as: uuid.UUID | None = None
    chain_first: uuid.UUID | None = None
    chain_last: uuid.UUID | None = None
    chain_number: int | None = None
    state: str = "queued"
    function_state: str = "running"
    shape: Any = None
    refs: list[int] = dataclasses.field(default_factory=list)
    error: Any = None
    cost_nano_usd: int = 0
    is_degraded: bool = False
    planned: int = 0
    open: int = 0
    failed: int = 0
    is_broken: bool = False
    is_activation_due: bool = True
    wake_seq: int = 0
    awaits: list[int] | None = None
    await_left: int = 0
    await_failures_left: int | None = None
    handled: set[int] = dataclasses.field(default_factory=set)
    awaited: set[int] = dataclasses.field(default_factory=set)
    patches: list[str] = dataclasses.field(default_factory=list)
    stopping: str | None = None
    stop_ordinal: int = 0
    left: dict[int, dict[int, AttemptRow]] = dataclasses.field(default_factory=dict)
    """Attempts of calls that a retry removed, by ordinal and number."""
    started_at: float | None = None
    finished_at: float | None = None
    cancel_requested_at: float | None = None
    steps: dict[int, StepRow] = dataclasses.field(default_factory=dict)
    events: list[tuple[int, str, int | None, float, Any]] = dataclasses.field(default_factory=list)
    signals: list[SignalRow] = dataclasses.field(default_factory=list)

    @property
    def is_call(self) -> bool:
        """Tell whether it is one call and has no function."""
        return ":" in self.workflow

    @property
    def is_live(self) -> bool:
        """Tell whether it has not come to its end."""
        return self.state in LIVE


@dataclasses.dataclass(slots=True, kw_only=True)
class ReadyRow:
    """Hold one entry of a queue."""

    lane: int
    tenant_id: int
    seq: int
    run_id: uuid.UUID
    ordinal: int
    at: float


@dataclasses.dataclass(slots=True, kw_only=True)
class LeaseRow:
    """Hold one lease."""

    run_id: uuid.UUID
    ordinal: int
    worker_id: int
    fence: int
    claim_id: uuid.UUID | None
    number: int
    lane: int
    tenant_id: int
    endpoint_id: int | None
    purpose: str
    claimed_at: float


@dataclasses.dataclass(slots=True, kw_only=True)
class WorkerRow:
    """Hold one worker's sign of life."""

    id: int
    name: str
    seen_at: float
    detail: dict[str, Any]
    state: str = "alive"


def abroad(tables: "Tables", step: StepRow) -> AttemptRow | None:
    """Give the attempt of which a provider has a job, or may have; None when there is none, or its slot is free."""
    last = step.tries[max(step.tries)] if step.tries else None
    is_held = (step.run_id, step.ordinal) in tables.slots
    return last if is_held and last is not None and last.state in ("accepted", "sending", "unknown") else None


class Tables:
    """Hold every row.

    ``now_s``: the store's clock; ``rng``: what it draws ties and weights from; ``watch``: is told of every move.
    """

    def __init__(self, *, now_s: Callable[[], float], rng: random.Random) -> None:
        self.now_s = now_s
        self.rng = rng
        self.runs: dict[uuid.UUID, RunRow] = {}
        self.ready: dict[int, dict[int, list[ReadyRow]]] = {}
        self.queue_clocks: dict[tuple[int, int], deployed.QueueClock] = {}
        self.leases: dict[Key, LeaseRow] = {}
        self.slots: dict[Key, deployed.SlotRow] = {}
        self.timers: dict[TimerKey, float] = {}
        self.workers: dict[int, WorkerRow] = {}
        self.scopes: dict[int, deployed.ScopeRow] = {}
        self.deltas: list[deployed.Delta] = []
        self.scores: dict[tuple[int, str], deployed.ScoreRow] = {}
        self.score_deltas: list[tuple[int, str, deployed.ScoreRow]] = []
        self.canaries: dict[tuple[str, int], deployed.CanaryRow] = {}
        self.endpoints: dict[int, deployed.EndpointRow] = {}
        self.routes: list[deployed.RouteRow] = []
        self.models: dict[str, deployed.ModelRow] = {}
        self.tenants: dict[int, deployed.TenantRow] = {1: deployed.TenantRow(id=1, name="default")}
        self.results: dict[tuple[int, str], results.ResultRow] = {}
        self.chains: dict[uuid.UUID, tuple[int, uuid.UUID]] = {}
        self.inbox: dict[tuple[int, str], tuple[uuid.UUID, int, int, float]] = {}
        self.strays: dict[tuple[int, str], float] = {}
        self.idempotency: dict[tuple[int, str, str], dict[str, Any]] = {}
        self.ledger: dict[tuple[uuid.UUID, int, int, str], LedgerRow] = {}
        self.workflows: dict[str, deployed.WorkflowRow] = {}
        self.artifacts: dict[tuple[int, str], tuple[str, int]] = {}
        self.api_keys: dict[str, tuple[int, str, list[str], Any]] = {}
        self.budget_days: dict[tuple[int, int], int] = {}
        self.budget_calls: set[tuple[int, int, uuid.UUID, int, int]] = set()
        self.outbox: dict[tuple[uuid.UUID, int], OutboxRow] = {}
        self.outbox_due: dict[tuple[uuid.UUID, int], OutboxRow] = {}
        self.receivers: dict[tuple[int, str], tuple[int, float, float]] = {}
        self.disabled: dict[tuple[int, str], tuple[str, float]] = {}
        self.secrets: dict[tuple[int, int], tuple[uuid.UUID, float, float | None]] = {}
        self.sessions: set[str] = set()
        self.leader: tuple[int | None, float] = (None, deployed.NEVER_S)
        self.watch: Callable[[str], None] = lambda _line: None
        self._numbers: collections.Counter[str] = collections.Counter()

    def copied(self) -> dict[str, Any]:
        """Copy every row, so that a transaction can be undone."""
        return copy.deepcopy({name: rows for name, rows in vars(self).items() if name not in _NO_ROWS})

    def restore(self, before: dict[str, Any]) -> None:
        """Put the rows back as they were copied."""
        for name, rows in before.items():
            setattr(self, name, rows)

    def next(self, sequence: str) -> int:
        """Draw the next number of a sequence, counting from 1."""
        self._numbers[sequence] += 1
        return self._numbers[sequence]

    def step(self, run_id: uuid.UUID, ordinal: int) -> StepRow | None:
        """Give a step, None when it is not there."""
        run_row = self.runs.get(run_id)
        return None if run_row is None else run_row.steps.get(ordinal)

    # Queues, timers, slots

    def put_ready(self, lane: int, tenant_id: int, run_id: uuid.UUID, ordinal: int) -> None:
        """Put a step at the end of a queue."""
        queue = self.ready.setdefault(lane, {}).setdefault(tenant_id, [])
        row = ReadyRow(
            lane=lane, tenant_id=tenant_id, seq=self.next("ready"), run_id=run_id, ordinal=ordinal, at=self.now_s()
        )
        queue.append(row)

    def ready_rows(self) -> Iterator[ReadyRow]:
        """Yield every entry of every queue."""
        for queues in self.ready.values():
            for queue in queues.values():
                yield from queue

    def remove_ready(self, gone: list[ReadyRow]) -> None:
        """Take entries out of their queues."""
        for row in gone:
            queues = self.ready[row.lane]
            queue = queues[row.tenant_id]
            queue.remove(row)
            if not queue:
                del queues[row.tenant_id]
                if not queues:
                    del self.ready[row.lane]

    def set_timer(self, key: TimerKey, due_at: float) -> None:
        """Set a timer, or move one that is set."""
        self.timers[key] = due_at

    def drop_timers(self, run_id: uuid.UUID, *, ordinals: Callable[[int], bool]) -> None:
        """Remove the timers of some calls of a run, but those that ask after jobs of unknown outcome."""
        for key in [key for key in self.timers if key[0] == run_id and ordinals(key[1]) and key[2] != "reconcile"]:
            del self.timers[key]

    def free_slot(self, key: Key, *, is_claimed: bool = False, shown: deployed.Shown = deployed.NOTHING_SHOWN) -> None:
        """Give back a slot, when one is held, with what its endpoint showed.

        ``is_claimed``: it counts in the breaker's epoch that its call was claimed in, else in the one there is now.
        """
        slot = self.slots.pop(key, None)
        if slot is not None:
            self.tell_scopes(slot, is_final=True, is_claimed=is_claimed, shown=shown)

    def tell_scopes(self, slot: deployed.SlotRow, *, is_final: bool, is_claimed: bool, shown: deployed.Shown) -> None:
        """Write what the endpoint of a slot showed, for each of its scopes; ``is_final``: the slot is free again."""
        now, used = self.now_s(), shown.tokens
        for place, scope_id in enumerate(self.endpoints[slot.endpoint_id].scope_ids):
            is_dated = is_claimed and place < len(slot.epochs)
            delta = deployed.Delta(
                scope_id=scope_id,
                epoch=slot.epochs[place] if is_dated else self.scopes[scope_id].breaker_epoch,
                at=now,
                released=int(is_final),
                ok=int(shown.breaker > 0),
                failed=int(shown.breaker < 0),
                silent=int(is_final and shown.is_silent and shown.breaker == 0),
                throttled=int(shown.is_throttled),
                finished=int(shown.latency_s is not None),
                finished_s=shown.latency_s or 0.0,
                tokens=used - slot.tokens if is_final and used is not None else 0,
                tokens_used=used or 0 if is_final else 0,
                tokens_calls=int(is_final and bool(used)),
                images=shown.images - slot.images if is_final and shown.images is not None else 0,
                frozen_until=deployed.NEVER_S if shown.frozen_s is None else now + shown.frozen_s,
            )
            self.deltas.append(delta)

    def tell(self, run_row: RunRow, name: str, ordinal: int | None = None, detail: Any = None) -> None:
        """Write the next event of a run."""
        run_row.events.append((len(run_row.events) + 1, name, ordinal, self.now_s(), detail))

    # States

    def move_run(self, row: RunRow, state: str) -> None:
        """Move a run. Raises LawBroken."""
        source, target = run.RunState(row.state), run.RunState(state)
        if source is not target and not run.may_move(source=source, target=target):
            raise LawBroken(f"run {row.id} would go from {row.state} to {state}")
        self._move(f"run {row.id}", row, state)

    def move_step(self, row: StepRow, state: str) -> None:
        """Move a step. Raises LawBroken."""
        source, target = step.StepState(row.state), step.StepState(state)
        if source is not target and not step.may_move(source=source, target=target):
            raise LawBroken(f"step {row.run_id}.{row.ordinal} would go from {row.state} to {state}")
        self._move(f"step {row.run_id}.{row.ordinal}", row, state)

    def move_attempt(self, row: AttemptRow, state: str, *, of: StepRow) -> None:
        """Move an attempt. Raises LawBroken."""
        source, target = attempt.AttemptState(row.state), attempt.AttemptState(state)
        if source is not target and not attempt.may_move(source=source, target=target):
            raise LawBroken(f"attempt {of.run_id}.{of.ordinal}.{row.number} would go from {row.state} to {state}")
        self._move(f"attempt {of.run_id}.{of.ordinal}.{row.number}", row, state)

    def _move(self, name: str, row: RunRow | StepRow | AttemptRow, state: str) -> None:
        if row.state != state:
            self.watch(f"{name}: {row.state} -> {state}")
        row.state = state
