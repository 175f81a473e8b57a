"""Take work: one statement for what needs no limit, one for model calls, and hand each leased step to its stage.

A worker claims only lanes it has loaded and only as much as it has places for; it waits for the doorbell, at most
``poll_interval_s``. A claim of unknown outcome is read back by its id and given back. Before this in the walk: plan
and ready. After: activate, execute and poll.
"""

import asyncio
import collections
import dataclasses
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence

from heddle.core import lanes, plan
from heddle.core import run as run_law
from heddle.core import step as step_law
from heddle.engine import parts as parts_module
from heddle.engine import settle
from heddle.ports import calls as calls_port
from heddle.ports import store
from heddle.program import definitions, mapping, registry
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

ACTIVATIONS, ASYNC_STEPS, SYNC_STEPS, POLLS = 1, 2, 3, 4
_IDLE_FIRST_S = 0.004
_ACTIVATE_EVERY_S = 0.1
_POLLS_EVERY_S = 0.1
# What an activation is taken to plan before the first is seen: a guess too low floods the queue once, at the start.
_STEPS_PER_ACTIVATION = 32.0
_MOMENT_S = 1e-6
DOUBTS_MAX = 1_000
"""Admissions of unknown outcome that a worker remembers; of more, the oldest is forgotten."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Hold the lanes this worker can serve."""

    local: tuple[store.LaneWish, ...]
    models: tuple[store.ModelWish, ...]


def wishes(endpoints: Sequence[store.EndpointRow], *, is_models_only: bool = False) -> Wishes:
    """List the lanes of what is registered in this process, without workflows and steps when ``is_models_only``, and
    of every model with an endpoint.
    """
    local: list[store.LaneWish] = []
    for priority, share in run_law.CLASS_SHARE.items():
        if not is_models_only:
            local.extend(_of_code(priority, share))
        for model in registry.models():
            if model.call_options.reuse is not None:
                lane = lanes.number(plan.LOOK, model.name, model.version, priority.value)
                local.append(store.LaneWish(lane=lane, group=ASYNC_STEPS, purpose="execute", share=float(share)))
    local.extend(
        store.LaneWish(lane=lanes.of_poll(row.name), group=POLLS, purpose="poll", share=1.0) for row in endpoints
    )
    models = tuple(
        store.ModelWish(
            lane=lanes.number("model", model, definitions.UNVERSIONED, priority.value), model=model, share=float(share)
        )
        for priority, share in run_law.CLASS_SHARE.items()
        for model in sorted({model for row in endpoints for model in row.models})
    )
    return Wishes(local=tuple(local), models=models)


def _of_code(priority: run_law.Priority, share: int) -> list[store.LaneWish]:
    """List the lanes of one class of every registered workflow and step."""
    local: list[store.LaneWish] = []
    versions = [(workflow.name, workflow.version) for workflow in registry.workflows()]
    # Runs of heddle.map come of workflows; they need none of their own.
    for name, version in [(mapping.NAME, mapping.VERSION), *versions] if versions else []:
        lane = lanes.number("activation", name, version, priority.value)
        local.append(store.LaneWish(lane=lane, group=ACTIVATIONS, purpose="activate", share=float(share)))
    for step in registry.steps():
        lane = lanes.number("step", step.name, step.version, priority.value)
        group = ASYNC_STEPS if step.is_async else SYNC_STEPS
        local.append(store.LaneWish(lane=lane, group=group, purpose="execute", share=float(share)))
    return local


def aged(item: store.Claimed, *, by_s: float) -> store.Claimed:
    """Give a claim with what is left of its run's time ``by_s`` later, at the worst.

    Something is always left: nothing left, at a claim, tells the cleanup of a stopping run.
    """
    if item.deadline_in_s is None:
        return item
    return item._replace(deadline_in_s=max(_MOMENT_S, item.deadline_in_s - by_s))


class Claimer:
    """Claim for one worker, one claim of each kind at a time.

    ``hand_over`` is given what was taken and when it was asked for (monotonic seconds): a lease is at least that old.
    """

    def __init__(
        self, parts: parts_module.Parts, *, hand_over: Callable[[Sequence[store.Claimed], float], None]
    ) -> None:
        self._parts = parts
        self._hand_over = hand_over
        self._wishes = Wishes(local=(), models=())
        self._step_groups: dict[int, int] = {}
        self._lines: Mapping[str, Sequence[int]] = {}
        self._unknown: set[uuid.UUID] = set()
        self._unsent: dict[uuid.UUID, None] = {}
        self._is_doubt_new = False
        # Places for sends that a claim or an admission was told of and has not answered for yet.
        self._promised = 0
        self._empty_in_row = 0
        self._steps_per_activation = _STEPS_PER_ACTIVATION
        self._has_step_backlog = False
        self._activated_at_s = 0.0
        self._is_expecting = False
        self._do_calls_wait = False
        self._asked_for_polls_at_s = -math.inf
        # Held from before a claim until what it took is handed over: a drain that has held it once finds everything.
        self.claiming = asyncio.Lock()

    def refresh(self) -> None:
        """Look anew which lanes can be served."""
        rows = [endpoint.row for endpoint in self._parts.endpoints.values()]
        self._wishes = wishes(rows, is_models_only=self._parts.is_models_only)
        lines: dict[str, list[int]] = collections.defaultdict(list)
        for model_wish in self._wishes.models:
            lines[model_wish.model].append(model_wish.lane)
        self._lines = lines
        self._step_groups = {wish.lane: wish.group for wish in self._wishes.local if wish.purpose == "execute"}

    def direct(self) -> store.Direct | None:
        """Offer the free places to local steps that are about to be planned; None while nothing more is taken."""
        parts = self._parts
        if parts.is_draining or not parts.is_alive.is_set():
            return None
        claim_id = uuid.UUID(int=parts.clock.rng.getrandbits(128))
        return store.Direct(
            worker=parts.worker, claim_id=claim_id, lanes=self._step_groups, places=self._free_step_places()
        )

    def offer_calls(self, *, wanted: int) -> calls_port.Offer | None:
        """Offer this worker to as many calls that are about to be admitted; None while nothing more is taken. The
        places are kept until ``take_calls`` or ``doubt_calls``.
        """
        parts = self._parts
        places = min(wanted, self._free_sends())
        if parts.is_draining or not parts.is_alive.is_set() or places <= 0:
            return None
        self._promised += places
        return calls_port.Offer(
            worker=parts.worker,
            claim_id=uuid.UUID(int=parts.clock.rng.getrandbits(128)),
            endpoints={endpoint_id: endpoint.is_paid for endpoint_id, endpoint in parts.endpoints.items()},
            lines=self._lines,
            places=places,
        )

    def take_calls(self, offer: calls_port.Offer, claimed: Sequence[store.Claimed], *, asked_at_s: float) -> None:
        """Hand what was leased under an offer over to its stage. ``asked_at_s``: monotonic, from before it was."""
        self._promised -= offer.places
        self._hand_over(claimed, asked_at_s)

    def doubt_calls(self, offer: calls_port.Offer) -> None:
        """Note that it is not known which calls were leased under an offer; none of them was sent."""
        self._promised -= offer.places
        self._unsent[offer.claim_id] = None
        self._is_doubt_new = True
        if len(self._unsent) > DOUBTS_MAX:
            del self._unsent[next(iter(self._unsent))]

    def expect(self) -> None:
        """Learn that a call of a model has just become ready: the next claim need not ask whether one is."""
        self._is_expecting = True

    def freed(self) -> None:
        """Learn that a call at an endpoint was settled: if others wait for a place there, one is claimed at once.

        Otherwise the place stood empty until the next look, which comes the later the oftener there was no room.
        """
        if self._do_calls_wait:
            self._is_expecting = True
            self._parts.doorbell.wake()

    def doubt(self, offer: store.Direct | None) -> None:
        """Note that a commit's outcome is not known: what it may have leased is read back before the next claim."""
        if offer is not None:
            self._unknown.add(offer.claim_id)

    def take(self, claimed: Sequence[store.Claimed]) -> None:
        """Hand what was leased as it became due over to its stage."""
        self._hand_over(claimed, self._parts.clock.monotonic_s())

    def note_planned(self, writes: Sequence[store.PlanWrite]) -> None:
        """Learn how many local steps an activation plans: up at once, down by half with each batch."""
        steps = sum(1 for write in writes for call in write.plan.calls if call.kind is step_law.StepKind.STEP)
        known, seen = self._steps_per_activation, max(1.0, steps / len(writes))
        self._steps_per_activation = max(seen, (known + seen) / 2)

    async def one_pass(self) -> None:
        """Claim once; then wait for the doorbell when there was nothing or no place is left."""
        parts = self._parts
        await parts.is_alive.wait()
        if parts.is_draining:
            await parts.clock.sleep(parts.settings.poll_interval_s)
            return
        async with self.claiming:
            taken = await self._claim_and_hand_over()
        if taken:
            self._empty_in_row = 0
            await parts.clock.sleep(0)  # a turn for what was just handed over
        else:
            await self._idle()

    async def _claim_and_hand_over(self) -> int:
        parts = self._parts
        await self._read_back()
        caps, want = self._places()
        if parts.is_draining or not (any(caps) or want):
            return 0
        started_s = parts.clock.monotonic_s()
        self._promised += want
        try:
            claimed = await self._claim(caps, want, started_s)
        finally:
            self._promised -= want
        took_s = parts.clock.monotonic_s() - started_s
        claimed = [aged(item, by_s=took_s) if (item.deadline_in_s or 0.0) > 0 else item for item in claimed]
        recorder.observe(metrics.STAGE_DURATION, took_s, stage="claim")
        if claimed:
            recorder.count(metrics.STAGE_ITEMS, len(claimed), stage="claim")
        else:
            recorder.count(metrics.CLAIMS_EMPTY)
        self._hand_over(claimed, started_s)
        return len(claimed)

    async def _idle(self) -> None:
        """Look again soon after work, then less and less often: another worker may have held the queue for a moment."""
        wait_s = min(self._parts.settings.poll_interval_s, _IDLE_FIRST_S * 4.0**self._empty_in_row)
        self._empty_in_row = min(self._empty_in_row + 1, 10)
        if await self._parts.doorbell.wait(timeout_s=wait_s):
            self._empty_in_row = 0

    def _places(self) -> tuple[list[int], int]:
        settings, hold = self._parts.settings, self._parts.hold
        batch = settings.worker_batch
        caps = [0, 0, 0, 0]
        free = self._free_step_places()
        caps[ACTIVATIONS - 1] = min(max(0, 2 * batch - hold.count("activate")), self._activations_now(free))
        caps[ASYNC_STEPS - 1] = free[ASYNC_STEPS]
        caps[SYNC_STEPS - 1] = free[SYNC_STEPS]
        caps[POLLS - 1] = max(0, batch - hold.count("poll"))
        return [min(cap, batch) for cap in caps], min(batch, self._free_sends())

    def _free_sends(self) -> int:
        """Count the places for sends that are neither held nor promised to a claim or an admission under way."""
        held = self._parts.hold.count("send") + self._promised
        return max(0, self._parts.settings.worker_in_flight_max - held)

    def _free_step_places(self) -> dict[int, int]:
        settings, hold = self._parts.settings, self._parts.hold
        async_places = max(settings.worker_steps_max, 2 * settings.worker_batch)
        return {
            ASYNC_STEPS: max(0, async_places - hold.count("async")),
            SYNC_STEPS: max(0, self._parts.compute.size + 1 - hold.count("sync")),
        }

    def _activations_now(self, free: Mapping[int, int]) -> int:
        """Begin as many runs as there are places for their steps; while steps wait, only a few every 0.1 s.

        Finishing what is begun before beginning more keeps the queues short, and steps go to the worker that planned
        them without being queued. The few are for runs whose calls are not for this worker.
        """
        promised = self._parts.hold.count("activate") * self._steps_per_activation
        places = 0.0 if self._has_step_backlog else max(0.0, sum(free.values()) - promised)
        if self._parts.clock.monotonic_s() - self._activated_at_s >= _ACTIVATE_EVERY_S:
            places = max(places, self._parts.settings.worker_batch)
        return math.ceil(places / self._steps_per_activation)

    async def _claim(self, caps: list[int], want: int, started_s: float) -> list[store.Claimed]:
        parts, worker = self._parts, self._parts.worker
        rng = parts.clock.rng
        local_id, model_id = uuid.UUID(int=rng.getrandbits(128)), uuid.UUID(int=rng.getrandbits(128))
        made_here = {local_id, model_id}
        self._unknown |= made_here
        waiting: list[Awaitable[list[store.Claimed] | None]] = []
        is_expected, self._is_expecting = self._is_expecting, False
        if any(caps) and self._wishes.local and self._is_time_for_local(started_s):
            waiting.append(
                parts.store.claim_local(worker=worker, claim_id=local_id, lanes=self._wishes.local, caps=caps)
            )
        is_for_models = bool(want and self._wishes.models)
        if is_for_models:
            waiting.append(
                parts.store.claim_models(
                    worker=worker,
                    claim_id=model_id,
                    lanes=self._wishes.models,
                    want=want,
                    is_expected=is_expected,
                )
            )
        results = await asyncio.gather(*waiting, return_exceptions=True)
        claimed = [item for result in results if isinstance(result, list) for item in result]
        if is_for_models:
            self._do_calls_wait = results[-1] is not None
        lost = next((result for result in results if isinstance(result, BaseException)), None)
        if lost is None:
            self._unknown -= made_here
            self._note_claimed(claimed)
            return claimed
        # What one of the two did take is worked on; what the other may have taken is read back before the next claim.
        self._hand_over(claimed, started_s)
        raise lost

    def _is_time_for_local(self, now_s: float) -> bool:
        """Tell whether to ask for more than models: always, but for a worker of models only with nothing to look for.

        Somebody waits for its calls, and it would ask for polls with each of them.
        """
        has_only_polls = self._parts.is_models_only and all(wish.purpose == "poll" for wish in self._wishes.local)
        if has_only_polls and now_s - self._asked_for_polls_at_s < _POLLS_EVERY_S:
            return False
        self._asked_for_polls_at_s = now_s
        return True

    def _note_claimed(self, claimed: Sequence[store.Claimed]) -> None:
        """Remember whether steps are left waiting, and when a run was begun last."""
        purposes = collections.Counter(item.purpose for item in claimed)
        self._has_step_backlog = purposes["execute"] > 0
        if purposes["activate"]:
            self._activated_at_s = self._parts.clock.monotonic_s()

    async def _read_back(self) -> None:
        """Give back what claims of unknown outcome took, except what was handed over after all."""
        if self._is_doubt_new:
            await self.let_go_unsent()
        if not self._unknown:
            return
        parts, asked = self._parts, set(self._unknown)
        found = await parts.store.readback(worker=parts.worker, claim_ids=sorted(asked))
        strangers = [ref for ref in found if parts.hold.get((ref.run_id, ref.ordinal)) is None]
        await parts.store.give_back(leases=strangers)
        self._unknown -= asked
        recorder.event(events.COMMIT_AMBIGUOUS, stage="claim", count=len(asked))

    async def let_go_unsent(self) -> set[store.LeaseRef]:
        """Let go of calls that admissions of unknown outcome leased, and give them: their intents stand, and none was
        sent.

        A commit may come after the look before the next claim, so admissions are remembered: a lease that nobody here
        holds is looked for under them before it is given back, where it would be one that may have been sent.
        """
        if not self._unsent:
            return set()
        parts, self._is_doubt_new = self._parts, False
        try:
            found = await parts.store.readback(worker=parts.worker, claim_ids=sorted(self._unsent))
        except BaseException:
            self._is_doubt_new = True
            raise
        for ref in found:
            parts.settling.put(settle.never_sent(ref))
        return set(found)
