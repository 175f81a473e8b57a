"""Decide at the door whether a run can be taken in, from how long it would wait.

Decides on predicted wait and not on depth (AWS Builders' Library, "Avoiding insurmountable queue backlogs";
RELIABILITY R14): a long queue that drains fast is fine. One rule sheds the lowest class first: each class gives way
one reserve (20 %) earlier than the class above it, before that class's own wait or the queue's bound is reached. So
whenever a class is refused for load, every lower one is too. Queues are fair between tenants, so what a tenant waits
is told by its own line and its share of the drain: one that floods a lane shuts itself out and nobody else. This file
refuses to judge money, quota and identity; those are ``budget``, ``quota`` and idempotency. Before it: ``lineup``
reads the lanes. After it in the walk: plan.
"""

import enum
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from heddle.core import run
from heddle.core.policy import bounds, fairness


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionOptions:
    """Hold how long each class may be made to wait and how a refusal is spread.

    interactive_wait_s, standard_wait_s, batch_wait_s: default 30, 600 and 21600, 0.1 to 604800 seconds; the predicted
        wait beyond which a class is refused. Ours: a person at a screen, a job somebody looks for, a night's work.
    queued_max: default 2_000_000, 1 to 100_000_000 steps ready and not claimed, all classes together; the bound when
        no drain has been measured yet. Ours: twice the million that the queue is measured with.
    reserve: default 0.2, 0 to 0.45; share of wait and queue kept for each class above (Stripe reserves 20 % of its
        fleet for critical requests, stripe.com/blog/rate-limiters; RELIABILITY 2.1, S19).
    jitter: default 0.2, 0 to 0.9; share by which a retry-after is drawn shorter or longer (RELIABILITY R14).
    retry_after_min_s, retry_after_max_s: default 1 and 300, 0.1 to 86400 seconds; the range of a retry-after before
        jitter. Ours: under a second is a loop, over five minutes the prediction is worth nothing.
    """

    interactive_wait_s: float = 30.0
    standard_wait_s: float = 600.0
    batch_wait_s: float = 21_600.0
    queued_max: int = 2_000_000
    reserve: float = 0.2
    jitter: float = 0.2
    retry_after_min_s: float = 1.0
    retry_after_max_s: float = 300.0

    def __post_init__(self) -> None:
        """Refuse waits and shares out of range."""
        for name in ("interactive_wait_s", "standard_wait_s", "batch_wait_s"):
            bounds.require(field=name, value=getattr(self, name), low=0.1, high=604_800, unit="seconds")
        bounds.require(field="queued_max", value=self.queued_max, low=1, high=100_000_000, unit="steps")
        bounds.require(field="reserve", value=self.reserve, low=0, high=0.45, unit="ratio")
        bounds.require(field="jitter", value=self.jitter, low=0, high=0.9, unit="ratio")
        bounds.require(field="retry_after_max_s", value=self.retry_after_max_s, low=0.1, high=86_400, unit="seconds")
        bounds.require(
            field="retry_after_min_s",
            value=self.retry_after_min_s,
            low=0.1,
            high=self.retry_after_max_s,
            unit="seconds",
        )

    def wait_s(self, priority: run.Priority) -> float:
        """Return the longest predicted wait of a class."""
        return {
            run.Priority.INTERACTIVE: self.interactive_wait_s,
            run.Priority.STANDARD: self.standard_wait_s,
            run.Priority.BATCH: self.batch_wait_s,
        }[priority]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassLoad:
    """Report what a run of one tenant stands behind in one class, and how fast that line moves.

    queued: steps ready and not claimed that are served before one more of the tenant's: its own, and what the others'
    shares put in between. oldest_age_s: age of the oldest of its own that could run if there were a place (one held
    back by an open breaker or a pause says nothing about the queue); 0 without any. drained_per_s: steps of the lane
    claimed a second over the last window; 0 before anything was measured.
    """

    queued: int = 0
    oldest_age_s: float = 0.0
    drained_per_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse negative figures."""
        bounds.require_not_below(field="queued", value=self.queued, low=0, unit="steps")
        bounds.require_not_below(field="oldest_age_s", value=self.oldest_age_s, low=0, unit="seconds")
        bounds.require_not_below(field="drained_per_s", value=self.drained_per_s, low=0, unit="steps/s")


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Report what stands in all lanes together, as the bound on the queue sees it.

    queued: steps of everybody. mine: those of the tenant that asks. share: what part of the queue is the tenant's by
    its weight among all who have something in line, above 0 to 1. drained_per_s: steps of everybody claimed a second.
    """

    queued: int = 0
    mine: int = 0
    share: float = 1.0
    drained_per_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse figures that cannot be."""
        bounds.require_not_below(field="queued", value=self.queued, low=0, unit="steps")
        bounds.require(field="mine", value=self.mine, low=0, high=self.queued, unit="steps")
        bounds.require(field="share", value=self.share, low=0, high=1, unit="ratio")
        bounds.require_not_below(field="drained_per_s", value=self.drained_per_s, low=0, unit="steps/s")


EMPTY = House()


class Policy(enum.StrEnum):
    """Name the policy that refused."""

    PREDICTED_WAIT = "predicted_wait"
    QUEUE_FULL = "queue_full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Say that the run may come in and how long it is likely to wait."""

    predicted_wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Say which policy refused, when to come back, and which class's load was the cause."""

    policy: Policy
    retry_after_s: float
    because_of: run.Priority
    predicted_wait_s: float


def predicted_wait_s(load: ClassLoad) -> float:
    """Predict how long a step that arrives now would wait.

    The longer of what the oldest has already waited and what the queue takes to drain (Little's law). With no drain
    measured only the age is evidence.
    """
    if load.queued == 0:
        return 0.0
    if load.drained_per_s == 0:
        return load.oldest_age_s
    return max(load.oldest_age_s, load.queued / load.drained_per_s)


def admit(
    options: AdmissionOptions,
    *,
    priority: run.Priority,
    loads: Mapping[run.Priority, ClassLoad],
    rng: random.Random,
    house: House = EMPTY,
) -> Accepted | Refused:
    """Decide whether a run of a class may come in.

    loads: what waits in each class; an absent class is empty. house: what all lanes hold together; when that is over
    the bound, whoever has less than its share in line may still come in, up to one reserve beyond it. Nothing is
    reserved: a second call decides anew.
    """
    rank = fairness.CLASSES.index(priority)
    own_wait_s = predicted_wait_s(loads.get(priority, ClassLoad()))
    allowed = math.ceil(options.queued_max * (1.0 - options.reserve * rank))
    excess = _excess(house, allowed=allowed, reserve=options.reserve)
    if excess > 0:
        excess_s = excess / house.drained_per_s if house.drained_per_s > 0 else math.inf
        return Refused(
            policy=Policy.QUEUE_FULL,
            retry_after_s=_retry_after_s(options, excess_s=excess_s, rng=rng),
            because_of=priority,
            predicted_wait_s=own_wait_s,
        )
    for above, other in enumerate(fairness.CLASSES[: rank + 1]):
        wait_s = predicted_wait_s(loads.get(other, ClassLoad()))
        allowed_s = options.wait_s(other) * (1.0 - options.reserve * (rank - above))
        if wait_s > allowed_s:
            # With nothing new coming in, a predicted wait shrinks by one second a second.
            return Refused(
                policy=Policy.PREDICTED_WAIT,
                retry_after_s=_retry_after_s(options, excess_s=wait_s - allowed_s, rng=rng),
                because_of=other,
                predicted_wait_s=own_wait_s,
            )
    return Accepted(predicted_wait_s=own_wait_s)


def _excess(house: House, *, allowed: int, reserve: float) -> int:
    """Return how many steps are too many for one more of this tenant; 0 when there is room."""
    if house.queued < allowed:
        return 0
    is_within_share = house.mine < allowed * house.share and house.share < 1.0
    return max(0, house.queued - (math.floor(allowed * (1.0 + reserve)) if is_within_share else allowed - 1))


def _retry_after_s(options: AdmissionOptions, *, excess_s: float, rng: random.Random) -> float:
    bounded_s = min(options.retry_after_max_s, max(options.retry_after_min_s, excess_s))
    return bounded_s * (1.0 - options.jitter + 2.0 * options.jitter * rng.random())
