"""What the engine needs from the store: claim, plan, settle, timers, leases, each atomic by itself.

All times are the store's own. Every call may raise ``StoreLost`` when the store could not be reached: the caller
does not know whether the call took effect, and every call here is safe to make again (a fence that no longer
matches makes it harmless). Nothing here decides: verdicts come from ``core.settle``, plans from ``core.plan``.
"""

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from heddle.core import plan
from heddle.core.policy import budget, quality
from heddle.ports import (
    calls,
    govern,
    leases,
    load,
    operating,
    outbox,
    recurring,
    reusing,
    routing,
    session,
    spending,
    stopping,
    timers,
)

LeaseRef = leases.LeaseRef
Charged = stopping.Charged


class StoreLost(Exception):
    """Say that the store could not be reached, and that the outcome of the call is not known."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LaneWish:
    """Ask for one lane: ``group`` picks the cap it shares, ``share`` its turns against other lanes, ``purpose`` what
    the lease is for.
    """

    lane: int
    group: int
    purpose: str
    share: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelWish:
    """Ask for one lane of a model."""

    lane: int
    model: str
    share: float


class Claimed(NamedTuple):
    """Hold one leased step with all that is needed to act on it.

    ``number`` is the attempt's, of which ``attempts_before`` do not count against the retry limit. ``outputs`` has
    the results of the calls it takes values from, by ordinal. ``purpose``: activate, execute, send or poll.
    ``state`` and ``attempt_state`` tell a poll what it is about. ``priority`` is the run's; ``waited_s`` is the time
    from being ready to this claim. A run's first activation has no journal to load: it comes with the run's ``input``,
    the ``wake_seq`` to write its plan against (otherwise None) and the store's time ``now_s`` in seconds since 1970.
    ``tier`` is its route's, ``price_nano_usd`` is reserved for it. The purpose ``park``: a retry beyond its endpoint's
    budget, without slot or attempt. Of a poll besides: ``sent_for_s``, how long ago its job was sent;
    ``is_called_back``; ``note``, what was last told of it; ``is_cut_off``: its worker did not wait for the answer.
    """

    run_id: uuid.UUID
    ordinal: int
    fence: int
    number: int
    purpose: str
    endpoint_id: int | None
    tenant_id: int
    kind: str | None
    name: str | None
    version: int | None
    input: Any
    options: dict[str, Any] | None
    state: str | None
    attempts_before: int
    epoch: int
    crashes: int
    outputs: dict[str, Any] | None
    workflow: str
    workflow_version: int
    traceparent: str | None
    deadline_in_s: float | None
    handle: str | None
    unknown_for_s: float | None
    attempt_state: str | None
    result: Any
    priority: str
    waited_s: float
    tier: int = 0
    price_nano_usd: int | None = None
    wake_seq: int | None = None
    now_s: float = 0.0
    sent_for_s: float | None = None
    is_called_back: bool = False
    note: str = ""
    is_cut_off: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadedJournal:
    """Hold a journal and what its plan must be written against."""

    journal: plan.Journal
    wake_seq: int
    tenant_id: int
    priority: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlanWrite:
    """Hold one finished activation: the plan, the lease it was made under, the wake-up count it saw, and the claim of a
    run's first activation (None for a later one).
    """

    plan: plan.Plan
    fence: int
    wake_seq: int
    first: Claimed | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """Let a worker lease local steps in the transaction that makes them due, where nobody waits in their lane.

    ``lanes``: lane → group of places; ``places``: free places by group, counted down as calls are planned.
    """

    worker: int
    claim_id: uuid.UUID
    lanes: Mapping[int, int]
    places: dict[int, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """Tell that a run came to its end: in which state, and how many seconds after its admission. ``run_id``: None where
    only that it ended is told. ``is_awaited``: it came by a gateway, where a request may be open; settlements tell.
    """

    workflow: str
    state: str
    priority: str
    duration_s: float
    run_id: uuid.UUID | None = None
    is_awaited: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """Tell what became of a batch of plans. ``dropped``: their lease was gone. ``again``: something happened that they
    had not seen. ``leased``: calls that the planning worker took at once. ``stopped``: runs of which a call was
    cancelled while a worker was on it. ``continued``: the workflows of runs that went on as others.
    """

    written: int = 0
    dropped: int = 0
    again: int = 0
    readied: int = 0
    timed: int = 0
    ended: tuple[EndedRun, ...] = ()
    leased: tuple[Claimed, ...] = ()
    stopped: tuple[uuid.UUID, ...] = ()
    continued: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True, kw_only=True)
class Settlement:
    """Hold one verdict in the form it is written. ``attempt_state`` None: no attempt (sleep, signal, child run).

    ``is_billed``: it was paid for; what it cost is ``cost_nano_usd``, or what was reserved where that is None.
    ``verdict``: complete, fail, retry, poll, reconcile, bury or release. ``breaker``: 1 the endpoint did well, -1
    it failed, 0 tells nothing. Three fields are not stored but counted: ``endpoint_id``, where the attempt was sent
    (None: nothing was), ``attempt_before``, the attempt's state at the claim, and ``is_first_try``. ``is_whole``: the
    run is this one call of a model.
    Of a model call besides: ``tier``, its route's; ``is_throttled``, it was told to slow down; ``latency_s``, how long
    a call that succeeded took; ``tokens`` and ``images``, what it used (None: as estimated); ``frozen_s``, for how long
    nothing more may be sent to its scopes; ``told``, a JSON list of lessons about limits (``core.policy.told``).
    """

    run_id: uuid.UUID
    ordinal: int
    fence: int
    number: int
    verdict: str
    output: str | None = None
    fault: str | None = None
    delay_s: float = 0.0
    handle: str | None = None
    note: str | None = None
    cost_nano_usd: int | None = None
    is_billed: bool = False
    attempt_state: str | None = None
    is_local: bool = True
    breaker: int = 0
    endpoint_id: int | None = None
    attempt_before: str | None = None
    is_first_try: bool = False
    is_whole: bool = False
    tier: int = 0
    is_throttled: bool = False
    latency_s: float | None = None
    tokens: int | None = None
    images: int | None = None
    frozen_s: float | None = None
    told: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SettleReport:
    """Tell what a batch of settlements did. ``fenced``: the lease was no longer theirs; ``late_at``: results that came
    after their step had moved on, by endpoint.
    """

    settled: int = 0
    fenced: int = 0
    late_at: Mapping[int, int] = dataclasses.field(default_factory=dict)
    readied: int = 0
    timed: int = 0
    ended: tuple[EndedRun, ...] = ()
    leased: tuple[Claimed, ...] = ()
    charged: tuple[Charged, ...] = ()

    @property
    def late(self) -> int:
        """Tell how many results were late."""
        return sum(self.late_at.values())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PumpReport:
    """Tell what due timers led to, and how late each was; ``stopped``: runs stopped while a worker was on a call."""

    taken: int = 0
    readied: int = 0
    late_s: tuple[float, ...] = ()
    ended: tuple[EndedRun, ...] = ()
    stopped: tuple[uuid.UUID, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimReport:
    """Tell what was taken from dead workers."""

    dead_workers: int = 0
    taken: int = 0
    readied: int = 0
    unknown: int = 0


SlotDrift = govern.SlotDrift
Gauges = govern.Gauges


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow:
    """Hold one endpoint as workers need it. ``gates``: quality gates of its models that have any."""

    id: int
    name: str
    adapter: str
    url: str
    secret_name: str | None
    callback_secret_name: str | None
    timeout_s: float
    price_nano_usd: int
    is_paid: bool
    options: dict[str, Any]
    models: tuple[str, ...]
    unknown_policies: dict[str, str]
    gates: Mapping[str, quality.QualityOptions] = dataclasses.field(default_factory=dict)


class EngineStore(
    session.Sessions,
    govern.GovernStore,
    stopping.StoppedJobs,
    recurring.Schedules,
    operating.OperatingStore,
    load.LoadStore,
    calls.CallStore,
    reusing.Reusing,
    routing.RoutingStore,
    spending.SpendStore,
    outbox.OutboxStore,
    timers.TimerStore,
    Protocol,
):
    """Keep runs and steps for workers."""

    async def open(self) -> None:
        """Connect. Raises StoreLost, ``operating.SchemaBehind``; a call after either tries again."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...

    async def register(self, *, name: str, detail: dict[str, Any]) -> int:
        """Make a worker row and give its id. A second call makes another."""
        ...

    async def retire(self, *, worker: int) -> None:
        """Tell that a worker has left in order."""
        ...

    async def endpoints(self) -> list[EndpointRow]:
        """Give every endpoint that is enabled or still has slots taken, with the models routed to it."""
        ...

    async def claim_local(
        self, *, worker: int, claim_id: uuid.UUID, lanes: Sequence[LaneWish], caps: Sequence[int]
    ) -> list[Claimed]:
        """Lease activations, local steps and polls, at most ``caps[group - 1]`` of each group. Waits for nothing."""
        ...

    async def claim_models(
        self, *, worker: int, claim_id: uuid.UUID, lanes: Sequence[ModelWish], want: int, is_expected: bool = False
    ) -> list[Claimed] | None:
        """Lease model calls, each with one endpoint whose every scope has room; None when none is ready, and an empty
        list when those that are have no room. Waits for nothing. ``is_expected``: a call has just become ready, or
        place for one, so that it is not worth a look first whether any is.
        """
        ...

    async def readback(self, *, worker: int, claim_ids: Sequence[uuid.UUID]) -> list[LeaseRef]:
        """Give the leases that claims of unknown outcome took."""
        ...

    async def give_back(self, *, leases: Sequence[LeaseRef]) -> None:
        """Return leases unused: nothing was started under them, or what was is no longer wanted."""
        ...

    async def journals(
        self, *, run_ids: Sequence[uuid.UUID], outputs_of: dict[uuid.UUID, tuple[int, ...]]
    ) -> dict[uuid.UUID, LoadedJournal]:
        """Read journals with the outputs of calls that were awaited before.

        For the runs of ``outputs_of`` the outputs named there are loaded too, and those of other ended calls as far as
        the size allows.
        """
        ...

    async def write_plans(
        self, *, plans: Sequence[PlanWrite], cleanup_s: float, direct: Direct | None = None
    ) -> PlanReport:
        """Write plans whose lease and wake-up count still match; ``direct`` takes steps of first ones at once."""
        ...

    async def mark_sending(
        self, *, calls: Sequence[tuple[Claimed, str]]
    ) -> dict[tuple[uuid.UUID, int], budget.Cap | None]:
        """Make the intent of paid calls durable (call, digest of its request).

        Gives (run, ordinal) → None: it may be sent; or the cap it would pass beside those that may. Missing: its lease
        or its time is lost.
        """
        ...

    async def settle(self, *, settlements: Sequence[Settlement], direct: Direct | None = None) -> SettleReport:
        """Write a batch of verdicts in one transaction. Facts are written even where the fence no longer matches."""
        ...

    async def carry_out(self, *, due: Sequence[timers.TimerRef], worker: int, cleanup_s: float) -> PumpReport:
        """Carry out those of a batch that still are due, in one transaction: what is refused leaves all as it was."""
        ...

    async def lead(self, *, worker: int, lead_s: float) -> bool:
        """Become or stay the leader."""
        ...

    async def reclaim(self, *, lease_s: float | None, margin_s: float, limit: int) -> ReclaimReport:
        """Declare workers dead that were silent for ``lease_s`` (None: nobody); take ``limit`` of dead ones' leases."""
        ...

    async def held(self, *, worker: int, grace_s: float) -> list[LeaseRef]:
        """List a worker's leases older than a grace."""
        ...

    async def gauges(self, *, lease_s: float) -> Gauges:
        """Read what the gauges show; a worker that was silent for ``lease_s`` does not count as alive."""
        ...

    async def tenant_names(self) -> dict[int, str]:
        """Give the names of tenants by id."""
        ...

    async def record_artifact(self, *, tenant_id: int, sha256: str, media_type: str, size_bytes: int) -> None:
        """Note that a tenant owns an artifact."""
        ...
