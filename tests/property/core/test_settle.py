"""Whatever happened to an attempt, the verdict keeps the promises about money, attempts and time."""

import dataclasses
import math
import random

import hypothesis
from hypothesis import strategies as st

from heddle.core import attempt, faults, settle
from heddle.core.policy import backoff, retry

LAW = hypothesis.settings(max_examples=80, derandomize=True, deadline=None)
SECONDS = st.floats(0, 1e5)
RETRYABLE = [fault for fault, law in faults.FAULTS.items() if law.is_retryable]
FINAL = [fault for fault, law in faults.FAULTS.items() if not law.is_retryable]
UNKNOWN = st.builds(settle.Unknown, message=st.sampled_from(["", "no answer"]))
ABSENT = st.builds(settle.Absent)


def faulted(among: list[faults.Fault]) -> st.SearchStrategy[settle.Faulted]:
    return st.builds(
        settle.Faulted,
        fault=st.sampled_from(among).map(lambda fault: faults.StepFault(fault=fault, message="refused")),
        retry_after_s=st.none() | st.floats(0, 4_000),
        billed_nano_usd=st.integers(0, 10**12),
    )


FAULTED = faulted(list(faults.Fault))
OUTCOMES = st.one_of(
    st.builds(settle.Completed, output=st.none() | st.integers(), cost_nano_usd=st.none() | st.integers(0, 10**12)),
    st.builds(settle.Accepted, handle=st.just("job_1"), poll_after_s=SECONDS),
    st.builds(settle.StillRunning, poll_after_s=SECONDS, note=st.just("third in line")),
    FAULTED,
    UNKNOWN,
    ABSENT,
)
FACTS = st.builds(
    settle.AttemptFacts,
    number=st.integers(1, 25),
    retry=st.builds(retry.RetryOptions, max_attempts=st.integers(1, 20)),
    idempotency=st.sampled_from(attempt.IdempotencyClass),
    unknown_policy=st.sampled_from(attempt.UnknownPolicy),
    deadline_in_s=st.none() | st.floats(-100, 1e5),
    unknown_for_s=SECONDS,
    unknown_at_most_s=SECONDS,
    lookup_bound_s=st.just(0.0) | SECONDS,
    is_local=st.booleans(),
)
RNGS = st.integers(0, 2**32).map(random.Random)


@LAW
@hypothesis.given(outcome=OUTCOMES, facts=FACTS, rng=RNGS)
def test_every_outcome_has_a_verdict_and_every_wait_is_finite(
    outcome: settle.Outcome, facts: settle.AttemptFacts, rng: random.Random
) -> None:
    verdict = settle.decide(outcome, facts, rng=rng)

    delay_s = getattr(verdict, "delay_s", 0.0)
    assert 0 <= delay_s < math.inf


@LAW
@hypothesis.given(outcome=OUTCOMES, facts=FACTS, rng=RNGS)
def test_a_new_attempt_is_never_one_more_than_allowed(
    outcome: settle.Outcome, facts: settle.AttemptFacts, rng: random.Random
) -> None:
    verdict = settle.decide(outcome, facts, rng=rng)

    is_new_attempt = isinstance(verdict, settle.RetryAt) and not verdict.is_same_attempt
    assert not is_new_attempt or facts.number < facts.retry.max_attempts


@LAW
@hypothesis.given(outcome=faulted(FINAL), facts=FACTS, rng=RNGS)
def test_what_is_not_retryable_is_never_retried(
    outcome: settle.Faulted, facts: settle.AttemptFacts, rng: random.Random
) -> None:
    verdict = settle.decide(outcome, facts, rng=rng)

    assert verdict == settle.Fail(fault=outcome.fault, billed_nano_usd=outcome.billed_nano_usd)


@LAW
@hypothesis.given(outcome=faulted(RETRYABLE), facts=FACTS, rng=RNGS)
def test_a_retry_keeps_the_endpoints_wish_its_ceiling_and_the_deadline(
    outcome: settle.Faulted, facts: settle.AttemptFacts, rng: random.Random
) -> None:
    verdict = settle.decide(outcome, facts, rng=rng)

    assert isinstance(verdict, settle.RetryAt | settle.Fail)
    is_retried = isinstance(verdict, settle.RetryAt)
    delay_s = getattr(verdict, "delay_s", 0.0)
    wish_s = outcome.retry_after_s or 0.0
    ceiling_s = backoff.ceiling_s(
        attempt_number=facts.number, is_throttled=outcome.fault.fault is faults.Fault.THROTTLED
    )
    assert not is_retried or wish_s <= delay_s <= wish_s + ceiling_s
    assert not is_retried or facts.deadline_in_s is None or delay_s < facts.deadline_in_s
    has_time = facts.deadline_in_s is None or wish_s < facts.deadline_in_s - 1.0
    assert is_retried == (facts.number < facts.retry.max_attempts and wish_s <= 3_600 and has_time)


@LAW
@hypothesis.given(outcome=FAULTED, facts=FACTS, rng=RNGS)
def test_money_that_was_billed_is_never_forgotten(
    outcome: settle.Faulted, facts: settle.AttemptFacts, rng: random.Random
) -> None:
    verdict = settle.decide(outcome, facts, rng=rng)

    assert isinstance(verdict, settle.RetryAt | settle.Fail)
    assert verdict.billed_nano_usd == outcome.billed_nano_usd
    assert verdict.fault == outcome.fault


@LAW
@hypothesis.given(outcome=UNKNOWN, facts=FACTS, rng=RNGS)
def test_an_unknown_outcome_is_paid_twice_only_where_the_owner_chose_so(
    outcome: settle.Unknown, facts: settle.AttemptFacts, rng: random.Random
) -> None:
    verdict = settle.decide(outcome, facts, rng=rng)

    is_chosen = (facts.idempotency, facts.unknown_policy) == (
        attempt.IdempotencyClass.C,
        attempt.UnknownPolicy.AT_LEAST_ONCE,
    )
    is_new_attempt = isinstance(verdict, settle.RetryAt) and not verdict.is_same_attempt
    assert is_chosen or not is_new_attempt
    is_same_attempt = isinstance(verdict, settle.RetryAt) and verdict.is_same_attempt
    assert not is_same_attempt or facts.idempotency is attempt.IdempotencyClass.A
    is_waited_for = facts.idempotency is attempt.IdempotencyClass.C and facts.unknown_for_s < facts.lookup_bound_s
    is_reconciled = isinstance(verdict, settle.Reconcile)
    assert not is_reconciled or facts.idempotency is attempt.IdempotencyClass.B or is_waited_for
    assert is_reconciled or not is_waited_for or isinstance(verdict, settle.Bury)


@LAW
@hypothesis.given(outcome=UNKNOWN, facts=FACTS, rng=RNGS)
def test_an_outcome_unknown_for_too_long_goes_to_a_person(
    outcome: settle.Unknown, facts: settle.AttemptFacts, rng: random.Random
) -> None:
    overdue = dataclasses.replace(facts, unknown_for_s=facts.unknown_at_most_s + 0.001)

    assert settle.decide(outcome, overdue, rng=rng) == settle.Bury(message=outcome.message)


@LAW
@hypothesis.given(outcome=ABSENT, facts=FACTS, rng=RNGS)
def test_a_job_that_was_not_found_is_not_sent_again_before_the_bound(
    outcome: settle.Absent, facts: settle.AttemptFacts, rng: random.Random
) -> None:
    verdict = settle.decide(outcome, facts, rng=rng)

    is_early = facts.unknown_for_s < facts.lookup_bound_s
    assert isinstance(verdict, settle.Reconcile) == is_early
    assert not isinstance(verdict, settle.Reconcile) or 0.2 <= verdict.delay_s <= 5.0


@LAW
@hypothesis.given(outcome=OUTCOMES, facts=FACTS, seed=st.integers(0, 2**32))
def test_the_same_facts_and_the_same_chance_give_the_same_verdict(
    outcome: settle.Outcome, facts: settle.AttemptFacts, seed: int
) -> None:
    verdicts = [settle.decide(outcome, facts, rng=random.Random(seed)) for _ in range(2)]

    assert verdicts[0] == verdicts[1]
