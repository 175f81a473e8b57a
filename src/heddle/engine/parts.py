"""Name everything a stage of the engine works with, so that each stage takes one argument and says what it uses of it.

Built once per worker by ``wiring``; the stages fill ``hold``, ``settling`` and ``claiming``.
"""

import asyncio
import dataclasses
import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

from heddle.config import settings as settings_module
from heddle.core import identity, settle
from heddle.core.policy import scorecard
from heddle.engine import hold as hold_module
from heddle.engine import scores as scores_module
from heddle.ports import blobs as blobs_port
from heddle.ports import calls as calls_port
from heddle.ports import clock as clock_port
from heddle.ports import compute as compute_port
from heddle.ports import courier as courier_port
from heddle.ports import load as load_port
from heddle.ports import outbox as outbox_port
from heddle.ports import provider as provider_port
from heddle.ports import routing as routing_port
from heddle.ports import session as session_port
from heddle.ports import store as store_port
from heddle.ports import transport as transport_port

BuildProvider = Callable[[store_port.EndpointRow], provider_port.Provider]
CallbackUrl = Callable[[str, str], str | None]
Compose = Callable[[outbox_port.DueEvent], str | None]
"""Write the body of an event; None when its run is not stored any more."""


class Settling(Protocol):
    """Take what happened to steps and write it soon (``engine.settle``)."""

    def put(self, written: store_port.Settlement) -> None:
        """Hand in one settlement."""
        ...

    async def drained(self) -> None:
        """Wait until everything handed in is written."""
        ...

    async def run(self) -> None:
        """Write until cancelled."""
        ...


class Claiming(Protocol):
    """Offer this worker's free places to steps that become due, and take what was leased (``engine.claim``)."""

    def direct(self) -> store_port.Direct | None:
        """Offer the free places; None while nothing more is taken."""
        ...

    def offer_calls(self, *, wanted: int) -> calls_port.Offer | None:
        """Offer this worker to as many calls that are about to be admitted; None while nothing more is taken. The
        places are kept until ``take_calls`` or ``doubt_calls``.
        """
        ...

    def take_calls(self, offer: calls_port.Offer, claimed: Sequence[store_port.Claimed], *, asked_at_s: float) -> None:
        """Hand what was leased under an offer over to its stage. ``asked_at_s``: monotonic, from before it was."""
        ...

    def doubt_calls(self, offer: calls_port.Offer) -> None:
        """Note that it is not known which calls were leased under an offer; none of them was sent."""
        ...

    def expect(self) -> None:
        """Learn that a call of a model has just become ready."""
        ...

    def freed(self) -> None:
        """Learn that a call at an endpoint was settled: another may take its place."""
        ...

    def doubt(self, offer: store_port.Direct | None) -> None:
        """Note that it is not known what was leased under an offer."""
        ...

    def note_planned(self, writes: Sequence[store_port.PlanWrite]) -> None:
        """Learn how many local steps an activation plans."""
        ...

    def take(self, claimed: Sequence[store_port.Claimed]) -> None:
        """Hand what was leased as it became due over to its stage."""
        ...


class Tally(Protocol):
    """Add up what this worker does, by lane (``engine.load``)."""

    def took(self, lane: tuple[str, str, int, str] | None) -> None:
        """Count a step just taken from a lane."""
        ...

    def ended(self, held: hold_module.Held | None, *, now_s: float) -> None:
        """Count a step that ended well and how long it was held."""
        ...

    def take(self) -> dict[int, load_port.LaneWork]:
        """Give what was added up, and begin anew."""
        ...


class Listening(Protocol):
    """Hear what becomes of calls, for doors of this process that hold requests open (``engine.calls``)."""

    def on_piece(self, claimed: store_port.Claimed) -> Callable[[identity.JsonValue], None] | None:
        """Give what takes the pieces of a call's answer as they come, None when nobody listens."""
        ...

    def settled(self, batch: Sequence[store_port.Settlement], report: store_port.SettleReport) -> None:
        """Take what was just written."""
        ...

    def is_watched(self, run_id: uuid.UUID) -> bool:
        """Tell whether a door of this process waits for a run."""
        ...


class Deaf:
    """Hear nothing: no door is in this process."""

    def on_piece(self, claimed: store_port.Claimed) -> None:
        """Listen to nothing."""

    def settled(self, batch: Sequence[store_port.Settlement], report: store_port.SettleReport) -> None:
        """Take nothing."""

    def is_watched(self, _run_id: uuid.UUID) -> bool:
        """Wait for no run."""
        return False


class Scores(Protocol):
    """Add up what this worker's calls came to (``engine.scores``)."""

    def note(
        self,
        claimed: store_port.Claimed,
        written: store_port.Settlement,
        outcome: settle.Outcome,
        answered: scores_module.Answered,
        *,
        price_nano_usd: int,
    ) -> None:
        """Count one outcome of a call that reached its endpoint."""
        ...

    def take(self) -> dict[routing_port.CardKey, scorecard.Card]:
        """Give what was added up, and begin anew."""
        ...

    def take_promises(self) -> list[scores_module.Promise]:
        """Give the jobs whose callbacks are to be counted when their grace is over, and begin anew."""
        ...

    def note_promise(self, promise: scores_module.Promise, *, is_kept: bool) -> None:
        """Count a job whose provider has, or has not, called back by the end of its grace."""
        ...


@dataclasses.dataclass(slots=True, kw_only=True)
class Endpoint:
    """Hold one endpoint with the adapter built for it."""

    row: store_port.EndpointRow
    provider: provider_port.Provider

    @property
    def is_paid(self) -> bool:
        """Tell whether calls cost money, by the file or by what the adapter is for, also where no price is known."""
        return self.row.is_paid or self.provider.capabilities.is_paid


@dataclasses.dataclass(slots=True, kw_only=True)
class Parts:
    """Hold the parts of one worker. ``worker`` is its id in the store, new after it was declared dead.
    ``is_models_only``: it takes model calls and what is to be asked of their endpoints, no activation and no step.
    """

    settings: settings_module.Settings
    store: store_port.EngineStore
    pulse: session_port.Pulse
    doorbell: transport_port.Doorbell
    compute: compute_port.Compute
    blobs: blobs_port.Blobs
    clock: clock_port.Clock
    build_provider: BuildProvider
    callback_url: CallbackUrl
    courier: courier_port.Courier
    compose: Compose
    name: str
    is_models_only: bool = False
    listening: Listening = dataclasses.field(default_factory=Deaf)
    hold: hold_module.Hold = dataclasses.field(default_factory=hold_module.Hold)
    endpoints: dict[int, Endpoint] = dataclasses.field(default_factory=dict)
    tenants: dict[int, str] = dataclasses.field(default_factory=dict)
    worker: int = 0
    is_draining: bool = False
    is_alive: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    settling: Settling = dataclasses.field(init=False)
    claiming: Claiming = dataclasses.field(init=False)
    tally: Tally = dataclasses.field(init=False)
    scores: Scores = dataclasses.field(init=False)

    def wake(self, *, readied: int) -> None:
        """Ring the doorbell when work became ready."""
        if readied > 0:
            self.doorbell.ring()

    async def tenant_name(self, tenant_id: int) -> str:
        """Give a tenant's name, asking the store for one not seen before."""
        if tenant_id not in self.tenants:
            self.tenants = await self.store.tenant_names()
        return self.tenants[tenant_id]
