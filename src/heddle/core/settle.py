"""Outcome in, verdict out: what follows from what happened to an attempt.

Pure: the engine carries the verdict out (``engine.settle``), the store writes it (``store/sql/settle.sql``). Before
this in the walk: execute and poll. After: deliver.
"""

import dataclasses
import math
import random
from typing import assert_never

from heddle.core import attempt, faults, identity
from heddle.core.policy import backoff, deadline
from heddle.core.policy import retry as retry_policy
from heddle.core.policy import told as told_policy


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """Report a result. ``cost_nano_usd`` is what the provider charged, None when it did not say. ``told``, here and in
    the others: what the answer tells of usage and limits.
    """

    output: identity.JsonValue
    cost_nano_usd: int | None = None
    told: told_policy.Told = told_policy.NOTHING


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Report that the provider took the job and works on it under ``handle``."""

    handle: str
    poll_after_s: float
    told: told_policy.Told = told_policy.NOTHING


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StillRunning:
    """Report that an accepted job has not ended; ``note`` is the provider's own word, such as a queue position.
    ``is_queued``: whether it still stands in the provider's line, None when that is not told.
    """

    poll_after_s: float
    note: str = ""
    is_queued: bool | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Faulted:
    """Report a classified failure. ``retry_after_s`` is the endpoint's own wish; ``billed_nano_usd`` what it charged
    all the same, None when it did and it is not known how much. ``is_of_this_send``: it was not the request that was
    judged, but this very send of it, which says nothing of an earlier one under the same key.
    """

    fault: faults.StepFault
    retry_after_s: float | None = None
    billed_nano_usd: int | None = 0
    told: told_policy.Told = told_policy.NOTHING
    is_of_this_send: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Report that bytes left and nothing came back that tells whether the job was accepted."""

    message: str
    told: told_policy.Told = told_policy.NOTHING


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Report that the provider, asked by our reference, knows no such job: it was never accepted.

    ``is_certain``: no word of a provider that may still change, so that its bound is not waited for.
    """

    is_certain: bool = False


Outcome = Completed | Accepted | StillRunning | Faulted | Unknown | Absent


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """Hold what the law needs to know of the attempt that ended.

    ``number`` counts from 1. ``deadline_in_s``: what is left of the step's or run's time, None for no deadline.
    ``unknown_for_s``: how long the outcome has been unknown; ``unknown_at_most_s``: how long we look before a
    person is asked; ``lookup_bound_s``: until when an absent answer is not yet proof (class B), or until when a
    callback may tell what became of the send (class C). ``running_for_s``: how long ago the job was sent;
    ``running_at_most_s``: how long it is asked after before a person is. ``quality_tries_max``: tries in all after
    which a result that a quality gate refused is final.
    """

    number: int
    retry: retry_policy.RetryOptions
    idempotency: attempt.IdempotencyClass = attempt.IdempotencyClass.C
    unknown_policy: attempt.UnknownPolicy = attempt.UnknownPolicy.AT_MOST_ONCE
    deadline_in_s: float | None = None
    unknown_for_s: float = 0.0
    unknown_at_most_s: float = 3_600.0
    lookup_bound_s: float = 0.0
    running_for_s: float = 0.0
    running_at_most_s: float = math.inf
    is_local: bool = False
    quality_tries_max: int = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """Write the output; the step has succeeded."""

    output: identity.JsonValue
    cost_nano_usd: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetryAt:
    """Make another attempt after ``delay_s``; ``is_same_attempt``: re-send the stored body under the same number and
    key.
    """

    delay_s: float
    fault: faults.StepFault
    is_same_attempt: bool = False
    billed_nano_usd: int | None = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PollAt:
    """Ask the provider after ``delay_s``, or sooner when it calls back."""

    delay_s: float
    handle: str | None
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """Keep the step ``unknown`` and look the job up after ``delay_s``."""

    delay_s: float
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """End the step with a fault."""

    fault: faults.StepFault
    billed_nano_usd: int | None = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bury:
    """Leave the step ``unknown`` for a person: nothing more is tried and an alert is raised."""

    message: str


_DEADLINES = deadline.DeadlineOptions()
_UNKNOWN_WAIT_MAX_S = 30.0
_QUEUED = "queued"
_DAY_S = 86_400.0

Verdict = Complete | RetryAt | PollAt | Reconcile | Fail | Bury


def decide(outcome: Outcome, facts: AttemptFacts, *, rng: random.Random) -> Verdict:
    """Tell what follows from an outcome. Exhaustive; never raises on a well-formed outcome."""
    match outcome:
        case Completed():
            return Complete(output=outcome.output, cost_nano_usd=outcome.cost_nano_usd)
        case Accepted():
            return PollAt(delay_s=outcome.poll_after_s, handle=outcome.handle)
        case StillRunning() if facts.running_for_s > facts.running_at_most_s:
            days = facts.running_at_most_s / _DAY_S
            return Bury(message=f"the provider has not ended the job within {days:.3g} days; it is not asked any more")
        case StillRunning():
            return PollAt(delay_s=outcome.poll_after_s, handle=None, note=_noted(outcome))
        case Faulted():
            return _after_fault(outcome, facts, rng=rng)
        case Unknown():
            return _after_unknown(outcome.message, facts, rng=rng)
        case Absent():
            return _after_absent(outcome, facts, rng=rng)
        case _:
            assert_never(outcome)


def was_queued(note: str) -> bool:
    """Tell by a call's note whether its job stood in the provider's line when it was last asked after."""
    return note.startswith(_QUEUED)


def _noted(outcome: StillRunning) -> str:
    if not outcome.is_queued or was_queued(outcome.note):
        return outcome.note
    return f"{_QUEUED}: {outcome.note}" if outcome.note else _QUEUED


def _after_fault(outcome: Faulted, facts: AttemptFacts, *, rng: random.Random) -> Verdict:
    decision = retry_policy.decide(
        facts.retry,
        is_retryable=_is_retryable(outcome.fault, facts),
        is_throttled=outcome.fault.fault is faults.Fault.THROTTLED,
        attempt_number=facts.number,
        retry_after_s=outcome.retry_after_s,
        deadline_at_s=facts.deadline_in_s,
        deadlines=_DEADLINES,
        now_s=0.0,
        rng=rng,
    )
    match decision:
        case retry_policy.RetryAt():
            return RetryAt(delay_s=decision.at_s, fault=outcome.fault, billed_nano_usd=outcome.billed_nano_usd)
        case retry_policy.GiveUp():
            return Fail(fault=outcome.fault, billed_nano_usd=outcome.billed_nano_usd)
        case _:
            assert_never(decision)


def _is_retryable(fault: faults.StepFault, facts: AttemptFacts) -> bool:
    if fault.code == faults.QUALITY:
        return facts.number < facts.quality_tries_max
    return faults.FAULTS[fault.fault].is_retryable


def _after_unknown(message: str, facts: AttemptFacts, *, rng: random.Random) -> Verdict:
    """Never re-send blindly: class A repeats itself under its key, B asks, C does what the model's owner chose."""
    unknown = faults.StepFault(fault=faults.Fault.SENT_UNKNOWN, message=message)
    if facts.unknown_for_s > facts.unknown_at_most_s:
        return Bury(message=message)
    # By age, since the number does not grow while one attempt is looked up: an hour is some hundred questions.
    by_age_s = min(facts.unknown_for_s / 4, _UNKNOWN_WAIT_MAX_S)
    delay_s = by_age_s + backoff.delay_s(attempt_number=facts.number, is_throttled=False, retry_after_s=None, rng=rng)
    match facts.idempotency:
        case attempt.IdempotencyClass.A:
            return RetryAt(delay_s=delay_s, fault=unknown, is_same_attempt=True)
        case attempt.IdempotencyClass.B:
            return Reconcile(delay_s=max(delay_s, 0.2), message=message)
        case attempt.IdempotencyClass.C:
            if facts.unknown_for_s < facts.lookup_bound_s:
                remaining_s = facts.lookup_bound_s - facts.unknown_for_s
                return Reconcile(delay_s=max(0.2, remaining_s), message=f"{message}; its callback may still come")
            if facts.unknown_policy is attempt.UnknownPolicy.AT_MOST_ONCE:
                return Bury(message=message)
            # Nobody will ever know whether this one was billed: it is charged as reserved, so that a call paid twice
            # shows in the cost of its run and counts against its caps.
            if facts.number >= facts.retry.max_attempts:
                return Fail(fault=unknown, billed_nano_usd=None)
            return RetryAt(delay_s=delay_s, fault=unknown, billed_nano_usd=None)
        case _:
            assert_never(facts.idempotency)


def _after_absent(outcome: Absent, facts: AttemptFacts, *, rng: random.Random) -> Verdict:
    """Take an absent answer as proof only once the provider's stated bound has passed."""
    remaining_s = 0.0 if outcome.is_certain else facts.lookup_bound_s - facts.unknown_for_s
    if remaining_s > 0:
        return Reconcile(delay_s=max(0.2, min(remaining_s, 5.0)), message="not found yet; asking again until the bound")
    lost = faults.StepFault(
        fault=faults.Fault.NOT_SENT, message="the provider knows no such job: it was never accepted"
    )
    if facts.number >= facts.retry.max_attempts:
        return Fail(fault=lost)
    delay_s = backoff.delay_s(attempt_number=facts.number, is_throttled=False, retry_after_s=None, rng=rng)
    return RetryAt(delay_s=delay_s, fault=lost)
