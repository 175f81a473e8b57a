import random

import pytest

from heddle.core.policy import deadline, retry

DEADLINES = deadline.DeadlineOptions(settle_margin_s=1.0)
BUDGET = retry.RetryBudgetOptions(ratio=0.2, window_s=10, floor_per_s=1.0)


def decide(
    *,
    is_retryable: bool = True,
    attempt_number: int = 1,
    retry_after_s: float | None = None,
    deadline_at_s: float | None = None,
) -> retry.RetryAt | retry.GiveUp:
    return retry.decide(
        retry.RetryOptions(max_attempts=3, retry_after_max_s=3600),
        is_retryable=is_retryable,
        is_throttled=False,
        attempt_number=attempt_number,
        retry_after_s=retry_after_s,
        deadline_at_s=deadline_at_s,
        deadlines=DEADLINES,
        now_s=100.0,
        rng=random.Random(7),
    )


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (decide(is_retryable=False), retry.GiveUpReason.NOT_RETRYABLE),
        (decide(attempt_number=3), retry.GiveUpReason.ATTEMPTS_EXHAUSTED),
        (decide(retry_after_s=3601), retry.GiveUpReason.RETRY_AFTER_TOO_LONG),
        (decide(deadline_at_s=100.5), retry.GiveUpReason.DEADLINE),
        (decide(retry_after_s=9.5, deadline_at_s=110), retry.GiveUpReason.DEADLINE),
    ],
)
def test_decide_when_another_try_is_useless_then_gives_up_with_the_reason(
    verdict: retry.RetryAt | retry.GiveUp, reason: retry.GiveUpReason
) -> None:
    assert verdict == retry.GiveUp(reason=reason)


def test_decide_when_second_of_three_failed_then_retries_within_its_ceiling() -> None:
    verdict = decide(attempt_number=2)

    assert isinstance(verdict, retry.RetryAt)
    assert 100.0 <= verdict.at_s <= 100.1


def test_decide_when_retry_after_just_fits_before_the_deadline_then_retries() -> None:
    verdict = decide(retry_after_s=8.99, deadline_at_s=110)

    assert isinstance(verdict, retry.RetryAt)
    assert 108.99 <= verdict.at_s < 109.0


@pytest.mark.parametrize(("first_tries", "granted"), [(0, 10), (20, 10), (50, 10), (100, 20), (1000, 200)])
def test_budget_grants_a_fifth_of_first_tries_or_the_floor(first_tries: int, granted: int) -> None:
    budget = retry.count_first_tries(BUDGET, retry.RetryBudget(), first_tries=first_tries, now_s=50.0)

    answers = []
    for _ in range(granted + 5):
        budget, answer = retry.spend(BUDGET, budget, now_s=50.5, rng=random.Random(7))
        answers.append(answer)

    assert sum(isinstance(answer, retry.Granted) for answer in answers) == granted


def test_budget_when_spent_then_delays_by_half_a_window_to_a_whole_one() -> None:
    options = retry.RetryBudgetOptions(ratio=0, window_s=10, floor_per_s=0.1)
    spent, _ = retry.spend(options, retry.RetryBudget(), now_s=50.0, rng=random.Random(7))

    unchanged, answer = retry.spend(options, spent, now_s=50.0, rng=random.Random(7))

    assert isinstance(answer, retry.Delayed)
    assert 55.0 <= answer.until_s <= 60.0
    assert unchanged == spent


def test_budget_when_the_window_has_passed_then_first_tries_earn_nothing_more() -> None:
    earned = retry.count_first_tries(BUDGET, retry.RetryBudget(), first_tries=1000, now_s=50.0)

    later = retry.count_first_tries(BUDGET, earned, first_tries=1, now_s=61.0)

    assert [entry.first_tries for entry in later.seconds] == [1]


def test_budget_when_the_clock_steps_back_then_counts_in_the_newest_second() -> None:
    earned = retry.count_first_tries(BUDGET, retry.RetryBudget(), first_tries=5, now_s=50.0)

    again = retry.count_first_tries(BUDGET, earned, first_tries=5, now_s=20.0)

    assert again.seconds == (retry.Second(second=50, first_tries=10),)


@pytest.mark.parametrize("max_attempts", [0, 21])
def test_options_when_attempts_are_out_of_range_then_named(max_attempts: int) -> None:
    with pytest.raises(ValueError, match=rf"max_attempts is {max_attempts}; it must be from 1 to 20 \(attempts\)"):
        retry.RetryOptions(max_attempts=max_attempts)


def test_budget_options_when_a_window_never_holds_a_retry_then_refused() -> None:
    with pytest.raises(ValueError, match=r"floor_per_s \* window_s is 0\.5; it must be at least 1"):
        retry.RetryBudgetOptions(window_s=1, floor_per_s=0.5)
