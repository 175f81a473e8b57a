"""Outcome in, verdict out: every outcome, at every class, attempt and deadline that makes a difference."""

import random
from typing import Any

import pytest

from heddle.core import attempt, faults, settle
from heddle.core.policy import retry

Fault = faults.Fault
IdempotencyClass = attempt.IdempotencyClass
CLASSES = list(IdempotencyClass)
RETRY = retry.RetryOptions(max_attempts=3)
UNKNOWN = settle.Unknown(message="no answer")


def facts(**changes: Any) -> settle.AttemptFacts:
    return settle.AttemptFacts(**{"number": 1, "retry": RETRY, **changes})


def decide(outcome: settle.Outcome, **changes: Any) -> settle.Verdict:
    return settle.decide(outcome, facts(**changes), rng=random.Random(7))


def faulted(fault: Fault, **changes: Any) -> settle.Faulted:
    return settle.Faulted(fault=faults.StepFault(fault=fault, message="m"), **changes)


# A result, a handle, a job under way: the same whatever the class, the attempt and the deadline are.


@pytest.mark.parametrize("idempotency", CLASSES)
@pytest.mark.parametrize("number", [1, 3, 9])
@pytest.mark.parametrize("deadline_in_s", [None, -5.0, 0.0, 100.0])
@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (settle.Completed(output={"a": 1}), settle.Complete(output={"a": 1}, cost_nano_usd=None)),
        (settle.Completed(output=None, cost_nano_usd=0), settle.Complete(output=None, cost_nano_usd=0)),
        (settle.Accepted(handle="job_1", poll_after_s=2.5), settle.PollAt(delay_s=2.5, handle="job_1")),
        (
            settle.StillRunning(poll_after_s=4.0, note="third in line"),
            settle.PollAt(delay_s=4.0, handle=None, note="third in line"),
        ),
    ],
)
def test_decide_when_the_endpoint_answered_then_nothing_else_matters(
    outcome: settle.Outcome,
    verdict: settle.Verdict,
    idempotency: IdempotencyClass,
    number: int,
    deadline_in_s: float | None,
) -> None:
    assert decide(outcome, idempotency=idempotency, number=number, deadline_in_s=deadline_in_s) == verdict


# Faults.


@pytest.mark.parametrize("idempotency", CLASSES)
@pytest.mark.parametrize("fault", Fault)
def test_decide_when_a_fault_is_the_first_then_it_is_retried_exactly_if_its_row_says_so(
    fault: Fault, idempotency: IdempotencyClass
) -> None:
    verdict = decide(faulted(fault), idempotency=idempotency)

    assert isinstance(verdict, settle.RetryAt) == faults.FAULTS[fault].is_retryable
    assert isinstance(verdict, settle.RetryAt | settle.Fail)
    assert verdict.fault.fault is fault


@pytest.mark.parametrize("fault", Fault)
def test_decide_when_the_last_attempt_failed_then_the_step_fails(fault: Fault) -> None:
    assert decide(faulted(fault), number=3) == settle.Fail(fault=faults.StepFault(fault=fault, message="m"))


@pytest.mark.parametrize(
    ("deadline_in_s", "verdict"),
    [(None, settle.RetryAt), (100.0, settle.RetryAt), (1.0, settle.Fail), (0.0, settle.Fail), (-3.0, settle.Fail)],
)
def test_decide_when_the_deadline_leaves_no_time_then_the_step_fails_with_its_own_fault(
    deadline_in_s: float | None, verdict: type
) -> None:
    made = decide(faulted(Fault.THROTTLED), deadline_in_s=deadline_in_s)

    assert isinstance(made, verdict)
    assert made.fault.fault is Fault.THROTTLED  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("number", "ceiling_s"),
    [(1, 0.05), (2, 0.1)],
)
def test_decide_when_refused_for_a_moment_then_the_next_try_comes_within_its_ceiling(
    number: int, ceiling_s: float
) -> None:
    verdict = decide(faulted(Fault.REJECTED_TRANSIENT), number=number)

    assert isinstance(verdict, settle.RetryAt)
    assert 0 <= verdict.delay_s <= ceiling_s


def test_decide_when_the_endpoint_names_a_time_then_the_next_try_is_not_before_it() -> None:
    verdict = decide(faulted(Fault.THROTTLED, retry_after_s=30.0))

    assert isinstance(verdict, settle.RetryAt)
    assert 30.0 <= verdict.delay_s <= 31.0


@pytest.mark.parametrize("retry_after_s", [3_601.0, float("inf")])
def test_decide_when_the_endpoint_names_too_long_a_time_then_the_step_fails(retry_after_s: float) -> None:
    assert isinstance(decide(faulted(Fault.THROTTLED, retry_after_s=retry_after_s)), settle.Fail)


@pytest.mark.parametrize("number", [1, 3])
def test_decide_when_a_failure_was_billed_then_the_verdict_carries_the_bill(number: int) -> None:
    verdict = decide(faulted(Fault.REJECTED_TRANSIENT, billed_nano_usd=4_000), number=number)

    assert isinstance(verdict, settle.RetryAt | settle.Fail)
    assert verdict.billed_nano_usd == 4_000


@pytest.mark.parametrize("fault", Fault)
def test_decide_when_a_fault_is_retried_then_it_is_a_new_attempt(fault: Fault) -> None:
    verdict = decide(faulted(fault), idempotency=IdempotencyClass.A)

    assert not getattr(verdict, "is_same_attempt", False)


# Unknown outcomes: never sent again blindly.


@pytest.mark.parametrize("number", [1, 3, 9])
@pytest.mark.parametrize("deadline_in_s", [None, -5.0])
def test_decide_when_unknown_at_class_a_then_the_same_attempt_is_sent_again(
    number: int, deadline_in_s: float | None
) -> None:
    verdict = decide(UNKNOWN, idempotency=IdempotencyClass.A, number=number, deadline_in_s=deadline_in_s)

    assert isinstance(verdict, settle.RetryAt)
    assert verdict.is_same_attempt
    assert verdict.fault == faults.StepFault(fault=Fault.SENT_UNKNOWN, message="no answer")


@pytest.mark.parametrize("number", [1, 3, 9])
def test_decide_when_unknown_at_class_b_then_it_is_looked_up(number: int) -> None:
    verdict = decide(UNKNOWN, idempotency=IdempotencyClass.B, number=number)

    assert isinstance(verdict, settle.Reconcile)
    assert verdict.delay_s >= 0.2
    assert verdict.message == "no answer"


@pytest.mark.parametrize("number", [1, 3, 9])
def test_decide_when_unknown_at_class_c_and_at_most_once_then_a_person_is_asked(number: int) -> None:
    verdict = decide(UNKNOWN, number=number, unknown_policy=attempt.UnknownPolicy.AT_MOST_ONCE)

    assert verdict == settle.Bury(message="no answer")


@pytest.mark.parametrize(
    ("number", "verdict"), [(1, settle.RetryAt), (2, settle.RetryAt), (3, settle.Fail), (9, settle.Fail)]
)
def test_decide_when_unknown_at_class_c_and_at_least_once_then_attempts_are_bounded(number: int, verdict: type) -> None:
    made = decide(UNKNOWN, number=number, unknown_policy=attempt.UnknownPolicy.AT_LEAST_ONCE)

    assert isinstance(made, verdict)
    assert made.fault.fault is Fault.SENT_UNKNOWN  # type: ignore[union-attr]
    assert not getattr(made, "is_same_attempt", False)


@pytest.mark.parametrize("number", [1, 9])
def test_decide_when_a_call_that_may_have_been_paid_is_left_behind_then_it_is_charged_as_reserved(number: int) -> None:
    made = decide(UNKNOWN, number=number, unknown_policy=attempt.UnknownPolicy.AT_LEAST_ONCE)

    assert isinstance(made, settle.RetryAt | settle.Fail)
    assert made.billed_nano_usd is None


@pytest.mark.parametrize("idempotency", CLASSES)
@pytest.mark.parametrize("policy", attempt.UnknownPolicy)
def test_decide_when_unknown_for_too_long_then_a_person_is_asked(
    idempotency: IdempotencyClass, policy: attempt.UnknownPolicy
) -> None:
    verdict = decide(
        UNKNOWN, idempotency=idempotency, unknown_policy=policy, unknown_for_s=60.5, unknown_at_most_s=60.0
    )

    assert verdict == settle.Bury(message="no answer")


# Absent: proof only once the provider's bound has passed.


@pytest.mark.parametrize(("unknown_for_s", "delay_s"), [(0.0, 5.0), (25.0, 5.0), (27.0, 3.0), (29.9, 0.2)])
def test_decide_when_absent_before_the_bound_then_it_is_asked_again_and_never_sent(
    unknown_for_s: float, delay_s: float
) -> None:
    verdict = decide(settle.Absent(), idempotency=IdempotencyClass.B, lookup_bound_s=30.0, unknown_for_s=unknown_for_s)

    assert isinstance(verdict, settle.Reconcile)
    assert verdict.delay_s == pytest.approx(delay_s)


def test_decide_when_absence_is_certain_then_no_bound_is_waited_for() -> None:
    # An attempt that was closed by its own worker's word has no time since when its outcome is not known.
    made = decide(
        settle.Absent(is_certain=True), idempotency=IdempotencyClass.B, lookup_bound_s=30.0, unknown_for_s=0.0
    )

    assert isinstance(made, settle.RetryAt)
    assert made.fault.fault is Fault.NOT_SENT


@pytest.mark.parametrize(("number", "verdict"), [(1, settle.RetryAt), (2, settle.RetryAt), (3, settle.Fail)])
def test_decide_when_absent_past_the_bound_then_it_counts_as_never_sent(number: int, verdict: type) -> None:
    made = decide(
        settle.Absent(), idempotency=IdempotencyClass.B, lookup_bound_s=30.0, unknown_for_s=30.0, number=number
    )

    assert isinstance(made, verdict)
    assert made.fault.fault is Fault.NOT_SENT  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("number", "tries_max", "verdict"),
    [(1, 1, settle.Fail), (1, 2, settle.RetryAt), (2, 2, settle.Fail), (3, 10, settle.Fail)],
)
def test_decide_when_a_gate_refused_a_result_then_tries_are_bounded_twice_and_each_carries_its_bill(
    number: int, tries_max: int, verdict: type
) -> None:
    fault = faults.StepFault(fault=Fault.BAD_OUTPUT, message="is blank", code=faults.QUALITY)

    found = decide(settle.Faulted(fault=fault, billed_nano_usd=7), number=number, quality_tries_max=tries_max)

    assert isinstance(found, verdict)
    assert found.billed_nano_usd == 7  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("is_queued", "note", "noted"),
    [
        (True, "", "queued"),
        (True, "place 3", "queued: place 3"),
        (True, "queued", "queued"),
        (False, "", ""),
        (None, "x", "x"),
    ],
)
def test_decide_when_a_job_stands_in_its_providers_line_then_its_note_says_so(
    is_queued: bool | None, note: str, noted: str
) -> None:
    found = decide(settle.StillRunning(poll_after_s=1.0, note=note, is_queued=is_queued))

    assert isinstance(found, settle.PollAt)
    assert found.note == noted
    assert settle.was_queued(found.note) is bool(is_queued)


def test_still_running_when_the_job_is_older_than_it_may_be_then_a_person_is_asked() -> None:
    outcome = settle.StillRunning(poll_after_s=4.0)

    found = [decide(outcome, running_for_s=age_s, running_at_most_s=604_800.0) for age_s in (604_799.0, 604_801.0)]

    assert [type(each) for each in found] == [settle.PollAt, settle.Bury]
    assert "within 7 days" in found[1].message  # type: ignore[union-attr]
