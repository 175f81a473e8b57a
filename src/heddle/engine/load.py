"""Tell how long work waits: every worker posts what it took and ended, the leader measures what is in line.

Measuring reads the whole backlog by its key. A look that takes longer than ``MEASURE_FREE_S`` is paid for by a pause,
so that the leader spends at most a twentieth of its time beyond that: behind a million steps it looks every few
seconds, behind a thousand every ``load_interval_s``. Neighbours: claim and settle count here; the doors and ``why``
read what is measured.
"""

import collections

from heddle.core import lanes, plan, step
from heddle.core.policy import lineup
from heddle.engine import hold, scores, supervise, sweep
from heddle.engine import parts as parts_module
from heddle.ports import load, store

MEASURE_SHARE = 0.05
MEASURE_FREE_S = 0.1
LANES_MAX = 10_000
PROMISES_BATCH = 1_000
PRUNE_EVERY = 10
PRUNE_LIMIT = 10_000


Lane = tuple[str, str, int, str]
"""Kind, name, version and class."""


class Tally:
    """Add up what this worker does, by lane. Used from the loop's thread only."""

    def __init__(self) -> None:
        self._work: dict[Lane, load.LaneWork] = {}

    def took(self, lane: Lane | None) -> None:
        """Count a step just taken from a lane."""
        work = None if lane is None else self._of(lane)
        if work is not None:
            work.taken += 1

    def ended(self, held: hold.Held | None, *, now_s: float) -> None:
        """Count a step that ended well and how long it was held."""
        work = None if held is None or held.lane is None else self._of(held.lane)
        if held is None or work is None:
            return
        held_s = max(0.0, now_s - held.taken_at_s)
        work.ended += 1
        work.held_s += held_s
        work.held_s2 += held_s * held_s

    def take(self) -> dict[int, load.LaneWork]:
        """Give what was added up, by number of the lane, and begin anew."""
        taken, self._work = {lanes.number(*lane): work for lane, work in self._work.items()}, {}
        return taken

    def _of(self, lane: Lane) -> load.LaneWork | None:
        work = self._work.get(lane)
        if work is None and len(self._work) < LANES_MAX:
            kind, name, version, priority = lane
            work = self._work[lane] = load.LaneWork(kind=kind, name=name, version=version, priority=priority)
        return work


def lane_of(claimed: store.Claimed) -> Lane | None:
    """Give the lane a step was taken from; None for a poll, which waits for a provider and not for us."""
    if claimed.purpose == "activate":
        return (lineup.ACTIVATION, claimed.workflow, claimed.workflow_version, claimed.priority)
    if claimed.purpose == "poll" or claimed.kind is None or claimed.name is None or claimed.version is None:
        return None
    kind = plan.LOOK if claimed.purpose == "execute" and claimed.kind == step.StepKind.MODEL else claimed.kind
    return (kind, claimed.name, claimed.version, claimed.priority)


class LoadKeeper:
    """Post for one worker, and measure while it leads."""

    def __init__(self, parts: parts_module.Parts, sweeper: sweep.Sweeper) -> None:
        self._parts = parts
        self._sweeper = sweeper
        self._measure_from_s = 0.0
        self._measures = 0
        self._promises: collections.deque[tuple[float, scores.Promise]] = collections.deque(maxlen=scores.PROMISES_MAX)

    async def one_pass(self) -> None:
        """Post what was done, measure when it is time, and wait for the next turn."""
        parts = self._parts
        await parts.is_alive.wait()
        # Lost with the store, it would be counted twice or not at all; not at all is what a rate forgives.
        await parts.store.post_load(work=parts.tally.take())
        await self._count_promises()
        await parts.store.post_scores(cards=parts.scores.take())
        if self._sweeper.is_leader and parts.clock.monotonic_s() >= self._measure_from_s:
            started_s = parts.clock.monotonic_s()
            await parts.store.measure_load()
            self._measures += 1
            if self._measures % PRUNE_EVERY == 0:
                await parts.store.prune_quotas(limit=PRUNE_LIMIT)
            now_s = parts.clock.monotonic_s()
            self._measure_from_s = now_s + max(0.0, now_s - started_s - MEASURE_FREE_S) / MEASURE_SHARE
        await supervise.rest(parts, parts.settings.load_interval_s)

    async def _count_promises(self) -> None:
        """Count callbacks that were to come, once the grace of their jobs is over: a poll often finds an end first."""
        parts = self._parts
        now_s = parts.clock.monotonic_s()
        self._promises.extend((now_s + scores.GRACE_S, each) for each in parts.scores.take_promises())
        due: list[scores.Promise] = []
        while self._promises and self._promises[0][0] <= now_s and len(due) < PROMISES_BATCH:
            due.append(self._promises.popleft()[1])
        heard = await parts.store.called_back(attempts=[each.attempt for each in due if not each.is_kept])
        for each in due:
            parts.scores.note_promise(each, is_kept=each.is_kept or each.attempt in heard)
