"""Decide what follows from one try to deliver a webhook: taken, again at a time, given up, or the address is gone.

Only 2xx is success; a redirect is a failure like any other. The schedule is that of the Standard Webhooks
specification (WIRE.md 8.13): now, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, about 76 hours in all; jitter
only adds, so that no try comes early. A receiver that fails again and again is left alone for a while, one probe at a
time, without its events losing tries; one that says how long is left alone for as long as it says. Before it:
``ports.courier`` with an answer. After it: ``engine.deliver``, which writes the verdict.
"""

import dataclasses
import math
import random
from typing import Final

from heddle.core.policy import bounds

GONE: Final = 410
THROTTLED: Final = 429


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """Hold the schedule and the patience with receivers.

    ``schedule_s``: waits between tries, so one more try than waits. ``jitter``: most of a wait that chance adds to it,
    0 to 1. ``retry_after_max_s``: longest wait a receiver may ask for an event; ``hold_asked_max_s``: for all its
    events. ``failures``: failures in a row after which a receiver is held, for ``hold_base_s`` doubling to
    ``hold_max_s``. ``overdue_max_s``: how long an event may be due without a try, since its receiver is held, before it
    is given up: a receiver that never comes back has some 3,000 probes a day, and its line must end. Ours.
    """

    schedule_s: tuple[float, ...] = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
    jitter: float = 0.05
    retry_after_max_s: float = 86_400.0
    hold_asked_max_s: float = 3_600.0
    failures: int = 5
    hold_base_s: float = 2.0
    hold_max_s: float = 30.0
    overdue_max_s: float = 259_200.0

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        bounds.require_not_below(field="failures", value=self.failures, low=1, unit="failures")
        for wait_s in self.schedule_s:
            bounds.require_not_below(field="schedule_s", value=wait_s, low=0.1, unit="s")

    @property
    def tries_max(self) -> int:
        """Count the tries of the schedule."""
        return len(self.schedule_s) + 1


OPTIONS: Final = DeliveryOptions()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Hold what a try came to: the status of the answer, or None when there was none, and the pause it asks for."""

    status: int | None
    retry_after_s: float | None = None

    @property
    def is_taken(self) -> bool:
        """Tell whether the receiver has the event."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def pause_s(self) -> float:
        """Give the pause asked for by 429 or 5xx, 0 when none is; what others ask for is not listened to."""
        is_heard = self.status is not None and (self.status == THROTTLED or self.status >= 500)
        asked = self.retry_after_s if is_heard and self.retry_after_s is not None else 0.0
        return asked if math.isfinite(asked) and asked > 0 else 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Say that the receiver has the event."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Say when it is tried again."""

    delay_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """Say that the last try is over; the event is kept and can be redelivered by hand."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Say that nothing more is sent to this address."""


Verdict = Taken | Again | Dead | Gone


def verdict(answer: Answer, *, tries: int, rng: random.Random, options: DeliveryOptions = OPTIONS) -> Verdict:
    """Decide about an event after its try number ``tries``, counted from 1."""
    assert tries >= 1
    if answer.is_taken:
        return Taken()
    if answer.status == GONE:
        return Gone()
    if tries >= options.tries_max:
        return Dead()
    planned_s = options.schedule_s[tries - 1] * (1.0 + options.jitter * rng.random())
    return Again(delay_s=max(planned_s, min(answer.pause_s, options.retry_after_max_s)))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Hold how a receiver is: failures in a row, and for how long it is left alone from now (0: not at all)."""

    failures: int = 0
    hold_s: float = 0.0


WELL: Final = Health()


def health(before: Health, answer: Answer, *, rng: random.Random, options: DeliveryOptions = OPTIONS) -> Health:
    """Tell how a receiver is after one more answer. A 410 speaks of one address and proves that the receiver is up."""
    if answer.is_taken or answer.status == GONE:
        return WELL
    failures = before.failures + 1
    hold_s = min(answer.pause_s, options.hold_asked_max_s)
    if failures >= options.failures:
        doubled_s = options.hold_base_s * 2.0 ** min(failures - options.failures, 30)
        hold_s = max(hold_s, min(options.hold_max_s, doubled_s) * (1.0 + options.jitter * rng.random()))
    return Health(failures=failures, hold_s=hold_s)
