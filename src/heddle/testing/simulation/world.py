"""Build a world from a seed: a store in memory, workers as processes of one loop, providers, a doorbell, a trace.

Everything drawn comes from the seed, each thing from a stream of its own, so that what one worker draws does not
depend on another. Neighbours: a test decides what is submitted, who dies when, and what must hold.
"""

import asyncio
import dataclasses
import functools
import random
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from heddle.client import letters
from heddle.config import deployment, settings
from heddle.core import artifact, ids
from heddle.core import run as run_law
from heddle.engine import parts as parts_module
from heddle.engine import worker as worker_module
from heddle.ports import blobs, courier, records, transport
from heddle.ports import store as store_port
from heddle.program import definitions
from heddle.testing import couriers
from heddle.testing.memory import store as memory_store
from heddle.testing.simulation import loop as loop_module
from heddle.testing.simulation import machine, provider, weather

Result = TypeVar("Result")
_SICK_RATE = 0.1
_LOOK_S = 0.1
# The proportions of the defaults, a third as long: a day in here is a minute.
QUICK = settings.Settings(
    lease_s=5.0,
    heartbeat_s=1.5,
    send_window_s=2.5,
    send_margin_s=1.5,
    sweep_interval_s=0.5,
    poll_interval_s=2.0,
    poll_after_s=0.5,
    poll_after_max_s=4.0,
    cleanup_s=10.0,
    drain_s=5.0,
    unknown_at_most_s=60.0,
    step_timeout_s=10.0,
    worker_batch=20,
    worker_in_flight_max=50,
    secret_key="of the simulation",  # noqa: S106 - it signs for nobody
    webhook_timeout_s=2.0,
)


class NoBlobs:
    """Keep no artifacts (``ports.blobs.Blobs``): values of a simulation are JSON."""

    async def write(self, *, tenant: str, chunks: Any, claimed_media_type: str | None) -> artifact.Artifact:
        """Refuse."""
        raise blobs.BlobRefused("too_large", "a simulation keeps no artifacts")

    async def stat(self, *, tenant: str, sha256: str) -> artifact.Artifact:
        """Find none."""
        raise blobs.BlobMissing(sha256)

    def read(self, *, tenant: str, sha256: str, chunk_bytes: int = 65_536) -> Any:
        """Find none."""
        raise blobs.BlobMissing(sha256)

    async def check(self) -> str | None:
        """Find nothing wrong."""
        return None

    async def is_empty(self) -> bool:
        """Tell that it is."""
        return True


@dataclasses.dataclass(slots=True, kw_only=True)
class Hand:
    """Hold one worker of a world. ``task`` is its main coroutine, ``stop`` asks it to drain."""

    name: str
    process: loop_module.Process
    parts: parts_module.Parts
    gate: weather.WeatherGate
    clock: loop_module.VirtualClock
    stop: asyncio.Event
    compute: machine.InlineCompute
    task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether it neither died nor stands still."""
        return self.process.life is loop_module.Life.RUNNING and self.task is not None and not self.task.done()


class World:
    """Hold everything of one seed. ``trace`` tells what happened, one line a move.

    ``errors``: what ended workers, except the loss of the store, at which a process may exit while it starts.
    ``manners``: of the provider behind each endpoint of the deployment. ``answer`` makes a model's result of its input.
    """

    def __init__(
        self,
        seed: object,
        *,
        wanted: deployment.Deployment,
        manners: Mapping[str, provider.Manners],
        limits: settings.Settings = QUICK,
        answer: Any = dict,
    ) -> None:
        self.seed = seed
        self.limits = limits
        self.loop = loop_module.VirtualLoop()
        self.weather = weather.Weather()
        self.trace: list[str] = []
        self.hands: list[Hand] = []
        self.letters: list[str] = []
        self.errors: list[BaseException] = []
        self.is_over = False
        self.exchange = machine.Exchange(self.loop, rng=self.rng("exchange"))
        self.memory = memory_store.Memory(
            now_s=lambda: loop_module.START_UNIX_S + self.loop.time(), rng=self.rng("store")
        )
        self.memory.tables.watch = self.note
        self.memory.deploy(wanted)
        self.doors = memory_store.MemoryDoors(self.memory, cleanup_s=limits.cleanup_s, rung=self._rung)
        self.desks = {
            name: provider.Desk(
                name,
                each,
                loop=self.loop,
                rng=self.rng(f"desk.{name}"),
                answer=answer,
                call_back=self._called_back,
                trace=self.note,
                is_wanted=self._is_wanted,
            )
            for name, each in manners.items()
        }

    def rng(self, name: str) -> random.Random:
        """Give a stream of chance of the seed."""
        return random.Random(f"{self.seed}.{name}")  # noqa: S311 - no secret, a repeatable draw

    def note(self, line: str) -> None:
        """Write a line of the trace."""
        self.trace.append(f"{self.loop.time():9.4f} {line}")

    def _rung(self, channel: str, payload: str) -> None:
        if channel == transport.CHANNEL_STOPPED:
            self.exchange.tell_stopped(uuid.UUID(payload))
        self.exchange.ring()

    def _called_back(self, endpoint: str, attempt_id: str, event_id: str) -> None:
        self.note(f"{endpoint} calls back about {attempt_id}")
        self.doors.callback(endpoint=endpoint, attempt_id=attempt_id, event_id=event_id)

    def _is_wanted(self, attempt_id: str) -> bool:
        named = ids.AttemptId.parse(attempt_id)
        step = self.memory.tables.step(named.run_id, named.ordinal)
        return step is not None and step.state not in ("cancelled", "failed")

    def tenant(self, name: str) -> records.Tenant:
        """Give a tenant."""
        return self.doors.tenant(name=name)

    # Workers

    def start_worker(self) -> Hand:
        """Start one more worker, as a process of its own."""
        name = f"w{len(self.hands) + 1}"
        process = loop_module.Process(name)
        clock = loop_module.VirtualClock(self.loop, rng=self.rng(f"{name}.clock"))
        hand: Hand
        gate = weather.WeatherGate(
            self.weather,
            rng=self.rng(f"{name}.gate"),
            kill=lambda: self.kill(hand),
            freeze=lambda: self.freeze(hand, self._freeze_s(hand)),
        )
        compute = machine.InlineCompute(rng=self.rng(f"{name}.compute"))
        parts = parts_module.Parts(
            settings=self.limits,
            store=memory_store.MemoryStore(
                self.memory,
                gate=gate,
                send_window_s=self.limits.send_window_s,
                claim_endpoints=self.limits.claim_endpoints,
            ),
            pulse=memory_store.MemoryPulse(self.memory, gate=gate),
            doorbell=machine.Doorbell(self.exchange, self.loop, process),
            compute=compute,
            blobs=NoBlobs(),
            clock=clock,
            build_provider=self._provider,
            callback_url=lambda _endpoint, _attempt: None,
            courier=couriers.ScriptedCourier(functools.partial(self._receive, self.rng(f"{name}.courier"))),
            compose=letters.composer(public_url="", predictions=None),
            name=name,
        )
        hand = Hand(
            name=name, process=process, parts=parts, gate=gate, clock=clock, stop=asyncio.Event(), compute=compute
        )
        made = worker_module.Worker(parts, beat=machine.LoopHeartbeat)
        hand.task = self.loop.create_task(made.run(hand.stop), context=loop_module.context_of(process))
        hand.task.add_done_callback(lambda done: self._exited(hand, done), context=loop_module.context_of(None))
        self.hands.append(hand)
        self.note(f"{name} starts")
        return hand

    def _exited(self, hand: Hand, done: asyncio.Task[None]) -> None:
        """End the process of a worker whose main coroutine is over, with all that is left of it."""
        if self.is_over:
            return
        error = None if done.cancelled() else done.exception()
        self.note(f"{hand.name} exits" + (f": {type(error).__name__}: {error}" if error else ""))
        if error is not None and not isinstance(error, store_port.StoreLost):
            self.errors.append(error)
        self._bury(hand)

    def _bury(self, hand: Hand) -> None:
        """End a process; with it ends the session of its heartbeat."""
        self.loop.stop_process(hand.process, loop_module.Life.DEAD)
        hand.parts.pulse.close()
        if hand.parts.doorbell in self.exchange.bells:
            self.exchange.bells.remove(hand.parts.doorbell)

    def _provider(self, row: store_port.EndpointRow) -> provider.ScriptedProvider:
        return provider.ScriptedProvider(self.desks[row.name])

    async def _receive(self, rng: random.Random, letter: courier.Letter) -> couriers.Answer:
        """Be the receiver of every webhook: late, and sometimes sick at the first try of an event."""
        is_first = letter.message_id not in self.letters
        self.letters.append(letter.message_id)
        await asyncio.sleep(rng.random())
        return courier.Answered(status=500 if is_first and rng.random() < _SICK_RATE else 204)

    def _freeze_s(self, hand: Hand) -> float:
        return self.rng(f"{hand.name}.{self.loop.time()}").random() * 3 * self.limits.lease_s

    def kill(self, hand: Hand) -> None:
        """Kill a worker where it is: nothing of it runs any more, no handler and no cleanup."""
        self.note(f"{hand.name} is killed")
        self._bury(hand)

    def freeze(self, hand: Hand, for_s: float) -> None:
        """Freeze a worker where it is, for so many seconds."""
        if not hand.is_running:
            return
        self.note(f"{hand.name} freezes for {for_s:.2f} s")
        self.loop.stop_process(hand.process, loop_module.Life.FROZEN)
        self.loop.call_later(for_s, self._thaw, hand, context=loop_module.context_of(None))

    def _thaw(self, hand: Hand) -> None:
        if hand.process.life is loop_module.Life.FROZEN:
            self.note(f"{hand.name} goes on")
            self.loop.resume(hand.process)

    # The day

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Let the world live until ``work`` is over, and give what it gives."""
        return self.loop.run_until_complete(self.loop.create_task(work, context=loop_module.context_of(None)))

    def submit(
        self, workflow: definitions.WorkflowDefinition, given: Mapping[str, object], *, tenant: str = "default"
    ) -> uuid.UUID:
        """Submit a run and give its id. Raises InputRefused when the input does not fit."""
        new = records.NewRun(
            tenant=self.tenant(tenant),
            workflow=workflow.name,
            version=workflow.version,
            input=dict(workflow.validate_input(given)),
        )
        return self.doors.submit(new).run_id

    def finish(self, run_id: uuid.UUID, *, tenant: str = "default", within_s: float = 600.0) -> records.RunView:
        """Let the world live until a run is over, and show it. Raises TimeoutError after ``within_s`` of its time."""
        return self.run(self._over(run_id, self.tenant(tenant), within_s))

    async def _over(self, run_id: uuid.UUID, tenant: records.Tenant, within_s: float) -> records.RunView:
        until_s = self.loop.time() + within_s
        while self.loop.time() < until_s:
            view = self.doors.run(tenant=tenant, run_id=run_id)
            if view.state in run_law.TERMINAL:
                return view
            await asyncio.sleep(_LOOK_S)
        raise TimeoutError(f"after {within_s:g} s: {self.doors.why(tenant=tenant, run_id=run_id)}")

    def close(self) -> None:
        """Unwind everything; the tables and ledgers stay to be looked at."""
        self.is_over = True
        self.memory.tables.watch = lambda _line: None
        for hand in self.hands:
            hand.gate.is_cut = True
        self.loop.bury([hand.process for hand in self.hands])
        self.loop.close()
