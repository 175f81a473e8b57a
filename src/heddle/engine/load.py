"""Tell how long work waits: every worker posts what it took and ended, the leader measures what is in line.

Measuring reads the whole backlog by its key, so the leader spends at most a fiftieth of its time on it: behind a
million steps it looks every few seconds, behind a thousand every ``load_interval_s``. Neighbours: claim and settle
count here; the doors and ``why`` read what is measured.
"""

import collections

from heddle.core import lanes
from heddle.engine import hold, sweep
from heddle.engine import parts as parts_module
from heddle.ports import load, store

MEASURE_SHARE = 0.02
LANES_MAX = 10_000


class Tally:
    """Add up what this worker does, by lane. Used from the loop's thread only."""

    def __init__(self) -> None:
        self._work: collections.defaultdict[int, load.LaneWork] = collections.defaultdict(load.LaneWork)

    def took(self, claimed: store.Claimed) -> None:
        """Count a step just taken; polls spend no place in a line of their own."""
        lane = lane_of(claimed)
        if lane is not None and (lane in self._work or len(self._work) < LANES_MAX):
            self._work[lane].taken += 1

    def ended(self, held: hold.Held | None, *, now_s: float) -> None:
        """Count a step that ended well and how long it was held."""
        if held is None or held.lane is None:
            return
        work, held_s = self._work[held.lane], max(0.0, now_s - held.taken_at_s)
        work.ended += 1
        work.held_s += held_s
        work.held_s2 += held_s * held_s

    def take(self) -> dict[int, load.LaneWork]:
        """Give what was added up, and begin anew."""
        taken, self._work = dict(self._work), collections.defaultdict(load.LaneWork)
        return taken


def lane_of(claimed: store.Claimed) -> int | None:
    """Give the lane a step was taken from; None for a poll, which waits for a provider and not for us."""
    if claimed.purpose == "activate":
        return lanes.of_activation(claimed.workflow, claimed.workflow_version, claimed.priority)
    if claimed.purpose == "poll" or claimed.kind is None or claimed.name is None or claimed.version is None:
        return None
    return lanes.number(claimed.kind, claimed.name, claimed.version, claimed.priority)


class LoadKeeper:
    """Post for one worker, and measure while it leads."""

    def __init__(self, parts: parts_module.Parts, sweeper: sweep.Sweeper) -> None:
        self._parts = parts
        self._sweeper = sweeper
        self._measure_from_s = 0.0

    async def one_pass(self) -> None:
        """Post what was done, measure when it is time, and wait for the next turn."""
        parts = self._parts
        await parts.is_alive.wait()
        # Lost with the store, it would be counted twice or not at all; not at all is what a rate forgives.
        await parts.store.post_load(work=parts.tally.take())
        if self._sweeper.is_leader and parts.clock.monotonic_s() >= self._measure_from_s:
            started_s = parts.clock.monotonic_s()
            await parts.store.measure_load()
            now_s = parts.clock.monotonic_s()
            self._measure_from_s = now_s + (now_s - started_s) / MEASURE_SHARE
        await parts.clock.sleep(parts.settings.load_interval_s)
