"""Add up what calls of a model at an endpoint came to, let it fade, and read rates and quantiles from it.

Counts fade by half in ``half_life_s``, so that a provider is judged by what it does now and one bad hour is forgotten.
Times are kept in fixed buckets whose bounds grow by the square root of two: a quantile is at most a fifth off, and a
card is a row of a small table. This file refuses to judge; ``objective`` and ``canary`` do, after it. Workers add up,
the leader folds (``engine.scores``), doors show.
"""

import bisect
import dataclasses
import enum
import itertools
from collections.abc import Sequence

from heddle.core.policy import bounds

BUCKETS = tuple(round(0.01 * 2 ** (step / 2), 4) for step in range(48))
"""Upper bounds in seconds, from 10 ms to a day and a third; one bucket more holds what took longer."""


class Count(enum.IntEnum):
    """Name what is counted, by its place in a card.

    TRIED: attempts that came to an end. OK: gave a result that was accepted. FAILED: did not, by the endpoint's or the
    request's fault. AMBIGUOUS: it was not known for a while, or for good, whether the endpoint took them. THROTTLED:
    were told to come back later. REJECTED: gave a result that its model's quality gate refused. PROMISED: jobs that
    ended and whose provider was to call back. MISSED: those of them for which it
    had not called when their grace was over, whoever found the end first. COST: billed, in nano-USD.
    """

    TRIED = 0
    OK = 1
    FAILED = 2
    AMBIGUOUS = 3
    THROTTLED = 4
    REJECTED = 5
    PROMISED = 6
    MISSED = 7
    COST = 8


def _nothing() -> list[float]:
    return [0.0] * len(Count)


def _no_times() -> list[float]:
    return [0.0] * (len(BUCKETS) + 1)


@dataclasses.dataclass(slots=True, kw_only=True)
class Card:
    """Hold what was counted. latency, queue: how many calls took so long, by bucket; queue is a provider's own."""

    counts: list[float] = dataclasses.field(default_factory=_nothing)
    latency: list[float] = dataclasses.field(default_factory=_no_times)
    queue: list[float] = dataclasses.field(default_factory=_no_times)

    def add(self, count: Count, amount: float = 1.0) -> None:
        """Count something."""
        self.counts[count] += amount

    def add_latency(self, seconds: float) -> None:
        """Note how long a call that gave a result took."""
        self.latency[bucket_of(seconds)] += 1

    def add_queue(self, seconds: float) -> None:
        """Note how long a job stood in its provider's own line."""
        self.queue[bucket_of(seconds)] += 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Say what a card tells. Rates are from 0 to 1, times in seconds; None: nothing is known of it."""

    tried: float
    success_rate: float | None
    ambiguous_rate: float | None
    throttled_rate: float | None
    rejected_rate: float | None
    missed_callback_rate: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    latency_p99_s: float | None
    queue_p95_s: float | None
    cost_per_accepted_nano_usd: float | None


def bucket_of(seconds: float) -> int:
    """Give the number of the bucket for a time."""
    return bisect.bisect_left(BUCKETS, seconds)


def card(counts: Sequence[float], latency: Sequence[float], queue: Sequence[float]) -> Card:
    """Read a stored card; one of an older release may be shorter and is filled up."""
    read = Card()
    for target, stored in ((read.counts, counts), (read.latency, latency), (read.queue, queue)):
        for place, value in enumerate(stored[: len(target)]):
            target[place] = float(value)
    return read


def faded(known: Card, *, by_s: float, half_life_s: float) -> Card:
    """Let a card fade. half_life_s: 60 to 2_592_000 seconds, after which everything counts half."""
    bounds.require(field="half_life_s", value=half_life_s, low=60, high=2_592_000, unit="seconds")
    factor = 0.5 ** (max(0.0, by_s) / half_life_s)
    return Card(
        counts=[value * factor for value in known.counts],
        latency=[value * factor for value in known.latency],
        queue=[value * factor for value in known.queue],
    )


def plus(first: Card, second: Card) -> Card:
    """Add two cards up."""
    return Card(
        counts=_sums(first.counts, second.counts),
        latency=_sums(first.latency, second.latency),
        queue=_sums(first.queue, second.queue),
    )


def _sums(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [one + other for one, other in zip(first, second, strict=True)]


def quantile_s(buckets: Sequence[float], share: float) -> float | None:
    """Give the time below which this share of calls lies, drawn straight through its bucket; None without any."""
    total = sum(buckets)
    if total <= 0:
        return None
    wanted = share * total
    for place, (before, upto) in enumerate(itertools.pairwise(itertools.accumulate(buckets, initial=0.0))):
        if upto >= wanted and upto > before:
            if place == len(BUCKETS):
                return BUCKETS[-1]
            low = BUCKETS[place - 1] if place else 0.0
            return low + (BUCKETS[place] - low) * (wanted - before) / (upto - before)
    return BUCKETS[-1]


def score(known: Card) -> Score:
    """Read a card. What was throttled was not done and tells nothing of success."""
    counts = known.counts
    tried, judged = counts[Count.TRIED], counts[Count.TRIED] - counts[Count.THROTTLED]
    accepted = counts[Count.OK]
    return Score(
        tried=tried,
        success_rate=_rate(accepted, judged),
        ambiguous_rate=_rate(counts[Count.AMBIGUOUS], max(judged, counts[Count.AMBIGUOUS])),
        throttled_rate=_rate(counts[Count.THROTTLED], tried),
        rejected_rate=_rate(counts[Count.REJECTED], accepted + counts[Count.REJECTED]),
        missed_callback_rate=_rate(counts[Count.MISSED], counts[Count.PROMISED]),
        latency_p50_s=quantile_s(known.latency, 0.5),
        latency_p95_s=quantile_s(known.latency, 0.95),
        latency_p99_s=quantile_s(known.latency, 0.99),
        queue_p95_s=quantile_s(known.queue, 0.95),
        cost_per_accepted_nano_usd=counts[Count.COST] / accepted if accepted > 0 else None,
    )


def _rate(part: float, whole: float) -> float | None:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else None
