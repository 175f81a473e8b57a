"""A canary goes when it is worse than the others beyond doubt and margin, and hardly ever when it is not."""

import random

import pytest

from heddle.core.policy import canary, proportion
from heddle.core.policy.canary import Trial

OPTIONS = canary.CanaryOptions()


def trial(
    tried: int, bad: int, baseline_tried: int, baseline_bad: int, *, share: float = 0.05, margin: float = 0.05
) -> Trial:
    return Trial(
        share=share,
        margin=margin,
        tried=tried,
        bad=bad,
        baseline_tried=baseline_tried,
        baseline_bad=baseline_bad,
    )


def test_worse_when_every_call_is_bad_then_twenty_are_enough_and_the_reason_has_the_counts() -> None:
    reason = canary.worse(OPTIONS, trial(20, 20, 400, 4))

    assert reason is not None
    assert reason.startswith("20 of its 20 calls were bad and 4 of the others' 400: at least ")


@pytest.mark.parametrize(
    ("tried", "bad", "baseline_tried", "baseline_bad"),
    [(19, 19, 400, 0), (100, 6, 2_000, 20), (100, 30, 2_000, 600), (30, 12, 0, 0)],
    ids=["too few", "within the margin", "all are bad", "nothing to compare with"],
)
def test_worse_when_it_is_not_shown_then_it_stays(tried: int, bad: int, baseline_tried: int, baseline_bad: int) -> None:
    assert canary.worse(OPTIONS, trial(tried, bad, baseline_tried, baseline_bad)) is None


def test_worse_when_most_are_bad_and_nothing_is_there_to_compare_with_then_it_goes() -> None:
    reason = canary.worse(OPTIONS, trial(40, 38, 3, 0))

    assert reason == "38 of its 40 calls were bad, and no other route to compare it with"


def test_worse_when_both_are_alike_and_it_is_asked_at_each_call_then_hardly_one_of_a_thousand_goes() -> None:
    rng, gone = random.Random(7), 0
    for _ in range(1_000):
        counts = [0, 0, 0, 0]
        for _ in range(2_000):
            is_canary, is_bad = rng.random() < 0.1, rng.random() < 0.05
            place = 0 if is_canary else 2
            counts[place] += 1
            counts[place + 1] += is_bad
            if is_canary and canary.worse(OPTIONS, trial(*counts, margin=0.02)) is not None:
                gone += 1
                break

    assert gone <= 5


@pytest.mark.parametrize(("tried", "others", "weight"), [(0, 0, 0.05), (20, 0, 0.05), (60, 940, 0.05), (70, 930, 0.0)])
def test_weight_when_it_has_had_more_than_its_share_then_it_pauses(tried: int, others: int, weight: float) -> None:
    assert canary.weight(OPTIONS, trial(tried, 0, others, 0)) == weight


def test_wilson_when_nothing_was_tried_then_any_share_is_plausible() -> None:
    assert proportion.wilson(bad=0, tried=0, z=1.96) == (0.0, 1.0)
    assert proportion.least_difference(bad=1, tried=1, other_bad=0, other_tried=0, z=1.96) == -1.0


def test_least_difference_when_compared_with_the_published_example_then_it_is_the_same() -> None:
    # Newcombe 1998, table II, example (a), method 10: 56/70 against 48/80 has the interval 0.0524 to 0.3339.
    found = proportion.least_difference(bad=56, tried=70, other_bad=48, other_tried=80, z=1.959964)

    assert found == pytest.approx(0.0524, abs=5e-5)


@pytest.mark.parametrize("field", ["samples", "z", "alone_share", "overshoot"])
def test_options_when_one_is_out_of_range_then_it_is_named(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is 0"):
        canary.CanaryOptions(**{field: 0})
