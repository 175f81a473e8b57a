"""Decide whether a failed attempt is tried again, when, and whether the endpoint can bear it.

Two laws, asked at two moments. ``decide`` is asked by settle: attempts, deadline and the fault say "retry at" or
"give up, because". ``left`` is asked by the leader's govern twice a second, and its number is what the claim grants at
the instant retries would be sent; the others are put off, so that a sick provider sees at most a fifth more calls than
it would have seen anyway. ``spend`` is the same law for one retry at a time.
This file refuses to know faults (it is told whether one is retryable) and never sleeps. It is the only retry layer:
adapters switch off every other (RELIABILITY R10). Before it: ``settle``; after it: a timer, then ``claim``.
"""

import enum
import math
import random
from dataclasses import dataclass, field

from heddle.core.policy import backoff, bounds, deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """Hold what an author may say about trying a step again.

    max_attempts: default 3, 1 to 20; counts every try of the step, the first one included, at whatever endpoint
        (AWS standard mode: 3 in total; Google SRE book ch. 21: 3 per request; RELIABILITY 2.1, S10, S11).
    retry_after_max_s: default 3600, 0 to 604800 seconds; a Retry-After longer than this ends the step instead of
        parking it. Ours: an hour outlasts per-minute and per-hour quotas; a day-long quota wants a person.
    waits: how long to wait between tries.
    """

    max_attempts: int = 3
    retry_after_max_s: float = 3600.0
    waits: backoff.BackoffOptions = field(default_factory=backoff.BackoffOptions)

    def __post_init__(self) -> None:
        """Refuse counts and waits out of range."""
        bounds.require(field="max_attempts", value=self.max_attempts, low=1, high=20, unit="attempts")
        bounds.require(field="retry_after_max_s", value=self.retry_after_max_s, low=0, high=604_800, unit="seconds")


class GiveUpReason(enum.StrEnum):
    """Name why there is no next try."""

    NOT_RETRYABLE = "not_retryable"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    RETRY_AFTER_TOO_LONG = "retry_after_too_long"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAt:
    """Say when the step becomes ready again, on the clock that was handed in."""

    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Say that the step has had its last try, and why."""

    reason: GiveUpReason


def decide(
    options: RetryOptions,
    *,
    is_retryable: bool,
    is_throttled: bool,
    attempt_number: int,
    retry_after_s: float | None,
    deadline_at_s: float | None,
    deadlines: deadline.DeadlineOptions,
    now_s: float,
    rng: random.Random,
) -> RetryAt | GiveUp:
    """Decide what follows a failed attempt.

    attempt_number: of the try that failed, from 1. is_throttled: it failed because it was told to slow down.
    A RetryAt lies at or after now plus Retry-After and before the last instant at which a call may start.
    Raises ValueError for an attempt_number below 1 or a Retry-After that is negative.
    """
    bounds.require_not_below(field="attempt_number", value=attempt_number, low=1, unit="count")
    lower_s = 0.0 if retry_after_s is None else retry_after_s
    bounds.require_not_below(field="retry_after_s", value=lower_s, low=0, unit="seconds")
    if not is_retryable:
        return GiveUp(reason=GiveUpReason.NOT_RETRYABLE)
    if attempt_number >= options.max_attempts:
        return GiveUp(reason=GiveUpReason.ATTEMPTS_EXHAUSTED)
    if lower_s > options.retry_after_max_s:
        return GiveUp(reason=GiveUpReason.RETRY_AFTER_TOO_LONG)
    last_start_s = deadline.last_start_s(deadlines, deadline_at_s=deadline_at_s)
    if now_s + lower_s >= last_start_s:
        return GiveUp(reason=GiveUpReason.DEADLINE)
    delay_s = backoff.delay_s(
        options=options.waits,
        is_throttled=is_throttled,
        attempt_number=attempt_number,
        retry_after_s=retry_after_s,
        at_most_s=last_start_s - now_s,
        rng=rng,
    )
    # The sum can round up onto the last start itself; one step down keeps it a time at which a call may start.
    return RetryAt(at_s=min(now_s + delay_s, math.nextafter(last_start_s, -math.inf)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudgetOptions:
    """Hold the share of an endpoint's calls that may be retries.

    ratio: default 0.2, 0 to 1; retries for each first try (Finagle RetryBudget: 20 %; RELIABILITY 2.1, S13, R12).
    window_s: default 10, 1 to 60 whole seconds; how long a first try counts (Finagle: 10 s).
    floor_per_s: default 1.0, 0.1 to 1000 retries per second; what is granted when there are few first tries (R12).
        The budget is the larger of share and floor, not their sum: only then does a busy endpoint keep the bar of
        1.2 times its first tries (BARS B13). It cannot be 0, or the last steps of a backlog would never be retried.
    """

    ratio: float = 0.2
    window_s: int = 10
    floor_per_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse shares and windows out of range."""
        bounds.require(field="ratio", value=self.ratio, low=0, high=1, unit="retries per first try")
        bounds.require(field="window_s", value=self.window_s, low=1, high=60, unit="whole seconds")
        bounds.require(field="floor_per_s", value=self.floor_per_s, low=0.1, high=1000, unit="retries per second")
        # A window that never holds one whole retry would be a budget of none.
        bounds.require_not_below(
            field="floor_per_s * window_s", value=self.floor_per_s * self.window_s, low=1, unit="retries per window"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """Count what was sent in one whole second."""

    second: int
    first_tries: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """Remember the seconds of one window, oldest first, at most window_s + 1 of them."""

    seconds: tuple[Second, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Say that the retry may be sent now; it has been counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delayed:
    """Say that the budget is spent and when to ask again; nothing has been counted."""

    until_s: float


def count_first_tries(
    options: RetryBudgetOptions, budget: RetryBudget, *, first_tries: int, now_s: float
) -> RetryBudget:
    """Count first tries that were sent; they earn retries for one window. A second call counts them again."""
    bounds.require_not_below(field="first_tries", value=first_tries, low=0, unit="count")
    return _add(options, budget, first_tries=first_tries, retries=0, now_s=now_s)


def count_sent(
    options: RetryBudgetOptions, budget: RetryBudget, *, first_tries: int, retries: int, now_s: float
) -> RetryBudget:
    """Count first tries and retries that were sent, whoever granted them. A second call counts them again."""
    bounds.require_not_below(field="first_tries", value=first_tries, low=0, unit="count")
    bounds.require_not_below(field="retries", value=retries, low=0, unit="count")
    return _add(options, budget, first_tries=first_tries, retries=retries, now_s=now_s)


def left(options: RetryBudgetOptions, budget: RetryBudget, *, now_s: float) -> int:
    """Return how many retries ``spend`` would grant one after the other at this instant."""
    current = _add(options, budget, first_tries=0, retries=0, now_s=now_s)
    allowed, retries = _allowed(options, current)
    return max(0, math.floor(allowed - retries + 1e-9))


def spend(
    options: RetryBudgetOptions, budget: RetryBudget, *, now_s: float, rng: random.Random
) -> tuple[RetryBudget, Granted | Delayed]:
    """Take one retry from the endpoint's budget, or say when to ask again.

    A delay is half a window to a whole one, drawn evenly: an exhausted budget makes a later step, never a fast loop
    (RELIABILITY R12). Retries are counted over one second more than first tries are, because the oldest second lies
    partly inside the window; so the share holds for every true window that ends with a retry.
    """
    current = _add(options, budget, first_tries=0, retries=0, now_s=now_s)
    allowed, retries = _allowed(options, current)
    if retries + 1 <= allowed:
        return _add(options, current, first_tries=0, retries=1, now_s=now_s), Granted()
    return current, Delayed(until_s=now_s + options.window_s * (0.5 + 0.5 * rng.random()))


def _allowed(options: RetryBudgetOptions, current: RetryBudget) -> tuple[float, int]:
    """Return how many retries the window allows, and how many it has had."""
    newest = current.seconds[-1].second
    first_tries = sum(entry.first_tries for entry in current.seconds if entry.second > newest - options.window_s)
    retries = sum(entry.retries for entry in current.seconds)
    return max(options.ratio * first_tries, options.floor_per_s * options.window_s), retries


def _add(
    options: RetryBudgetOptions, budget: RetryBudget, *, first_tries: int, retries: int, now_s: float
) -> RetryBudget:
    """Add to the second of now and forget what has left the window.

    A clock that steps back adds to the newest second known, so that a failover cannot open a second budget.
    """
    seconds = budget.seconds
    newest = max(math.floor(now_s), seconds[-1].second) if seconds else math.floor(now_s)
    kept = tuple(entry for entry in seconds if newest - options.window_s <= entry.second < newest)
    last = seconds[-1] if seconds and seconds[-1].second == newest else Second(second=newest)
    added = Second(second=newest, first_tries=last.first_tries + first_tries, retries=last.retries + retries)
    return RetryBudget(seconds=(*kept, added))
