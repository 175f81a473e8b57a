import math
import random

import pytest

from heddle.core.policy import backoff


@pytest.mark.parametrize(
    ("attempt_number", "is_throttled", "expected_s"),
    [
        (1, False, 0.05),
        (2, False, 0.1),
        (3, False, 0.2),
        (9, False, 12.8),
        (10, False, 20.0),
        (10_000, False, 20.0),
        (1, True, 1.0),
        (5, True, 16.0),
        (6, True, 20.0),
    ],
)
def test_ceiling_doubles_from_its_base_up_to_the_cap(
    attempt_number: int, is_throttled: bool, expected_s: float
) -> None:
    ceiling_s = backoff.ceiling_s(attempt_number=attempt_number, is_throttled=is_throttled)

    assert ceiling_s == pytest.approx(expected_s)


def test_delay_spreads_over_the_whole_ceiling() -> None:
    rng = random.Random(7)

    delays = [backoff.delay_s(attempt_number=1, is_throttled=True, retry_after_s=None, rng=rng) for _ in range(1000)]

    assert (min(delays) < 0.05, max(delays) > 0.95, 0.45 < sum(delays) / 1000 < 0.55) == (True, True, True)


def test_delay_when_asked_to_come_back_later_then_jitter_comes_on_top() -> None:
    delay_s = backoff.delay_s(attempt_number=1, is_throttled=True, retry_after_s=40.0, rng=random.Random(7))

    assert 40.0 < delay_s <= 41.0


def test_delay_when_time_is_short_then_jitter_is_squeezed() -> None:
    delay_s = backoff.delay_s(
        attempt_number=6, is_throttled=True, retry_after_s=2.0, rng=random.Random(7), at_most_s=2.5
    )

    assert 2.0 <= delay_s <= 2.5


@pytest.mark.parametrize("retry_after_s", [-1.0, math.inf, math.nan])
def test_delay_when_retry_after_is_no_time_then_refused(retry_after_s: float) -> None:
    with pytest.raises(ValueError, match="retry_after_s is"):
        backoff.delay_s(attempt_number=1, is_throttled=True, retry_after_s=retry_after_s, rng=random.Random(7))


def test_ceiling_when_nothing_was_tried_then_refused() -> None:
    with pytest.raises(ValueError, match="attempt_number is 0"):
        backoff.ceiling_s(attempt_number=0, is_throttled=False)


def test_options_when_the_cap_is_below_a_base_then_named() -> None:
    with pytest.raises(ValueError, match=r"cap_s is 0\.5; it must be from 1\.0 to 3600 \(seconds\)"):
        backoff.BackoffOptions(cap_s=0.5)
