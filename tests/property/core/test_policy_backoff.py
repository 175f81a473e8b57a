import random

import hypothesis
from hypothesis import strategies as st

from heddle.core.policy import backoff

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)
SEEDS = st.integers(0, 2**32)


@LAW
@hypothesis.given(
    attempt_number=st.integers(1, 10_000),
    is_throttled=st.booleans(),
    retry_after_s=st.none() | st.floats(0, 1e6),
    at_most_s=st.floats(0, 1e6),
    seed=SEEDS,
)
def test_delay_keeps_every_bound(
    attempt_number: int, is_throttled: bool, retry_after_s: float | None, at_most_s: float, seed: int
) -> None:
    delay_s = backoff.delay_s(
        attempt_number=attempt_number,
        is_throttled=is_throttled,
        retry_after_s=retry_after_s,
        at_most_s=at_most_s,
        rng=random.Random(seed),
    )

    lower_s = retry_after_s or 0.0
    assert lower_s <= delay_s <= lower_s + backoff.DEFAULTS.cap_s
    assert delay_s <= max(lower_s, at_most_s) + 1e-9


@LAW
@hypothesis.given(attempt_number=st.integers(1, 10_000), is_throttled=st.booleans())
def test_ceiling_never_shrinks_with_more_failures(attempt_number: int, is_throttled: bool) -> None:
    earlier_s = backoff.ceiling_s(attempt_number=attempt_number, is_throttled=is_throttled)
    later_s = backoff.ceiling_s(attempt_number=attempt_number + 1, is_throttled=is_throttled)

    assert 0 < earlier_s <= later_s <= backoff.DEFAULTS.cap_s
