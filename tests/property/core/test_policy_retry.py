import random

import hypothesis
from hypothesis import strategies as st

from heddle.core.policy import deadline, retry

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)
SEEDS = st.integers(0, 2**32)


EVENTS = st.lists(st.tuples(st.floats(0, 3), st.integers(0, 30), st.integers(0, 30)), max_size=40)


@LAW
@hypothesis.given(
    attempt_number=st.integers(1, 30),
    retry_after_s=st.none() | st.floats(0, 1e4),
    deadline_in_s=st.none() | st.floats(-10, 1e4),
    seed=SEEDS,
)
def test_a_retry_comes_neither_too_early_nor_too_late_to_be_made(
    attempt_number: int, retry_after_s: float | None, deadline_in_s: float | None, seed: int
) -> None:
    now_s = 1.8e9
    deadline_at_s = None if deadline_in_s is None else now_s + deadline_in_s
    options = retry.RetryOptions(max_attempts=10)
    deadlines = deadline.DeadlineOptions()

    verdict = retry.decide(
        options,
        is_retryable=True,
        is_throttled=True,
        attempt_number=attempt_number,
        retry_after_s=retry_after_s,
        deadline_at_s=deadline_at_s,
        deadlines=deadlines,
        now_s=now_s,
        rng=random.Random(seed),
    )

    hypothesis.assume(isinstance(verdict, retry.RetryAt))
    assert isinstance(verdict, retry.RetryAt)
    assert attempt_number < options.max_attempts
    assert verdict.at_s >= now_s + (retry_after_s or 0.0) - 1e-6
    assert verdict.at_s < deadline.last_start_s(deadlines, deadline_at_s=deadline_at_s)


@LAW
@hypothesis.given(events=EVENTS, seed=SEEDS)
def test_no_true_window_that_ends_with_a_retry_holds_more_than_its_share(
    events: list[tuple[float, int, int]], seed: int
) -> None:
    options = retry.RetryBudgetOptions(ratio=0.2, window_s=10, floor_per_s=0.5)
    rng = random.Random(seed)
    budget = retry.RetryBudget()
    now_s = 1000.0
    first_tries: list[float] = []
    granted: list[float] = []

    for pause_s, tries, wishes in events:
        now_s += pause_s
        budget = retry.count_first_tries(options, budget, first_tries=tries, now_s=now_s)
        first_tries += [now_s] * tries
        for _ in range(wishes):
            budget, answer = retry.spend(options, budget, now_s=now_s, rng=rng)
            granted += [now_s] * isinstance(answer, retry.Granted)

    for end_s in granted:
        retries = sum(end_s - 10 < at_s <= end_s for at_s in granted)
        tries = sum(end_s - 10 < at_s <= end_s for at_s in first_tries)
        assert retries <= max(0.2 * tries, 5.0)
    assert len(budget.seconds) <= options.window_s + 1
