"""A card adds up, fades by half in its half-life, and tells rates and quantiles that are near the truth."""

import random

import pytest

from heddle.core.policy import scorecard
from heddle.core.policy.scorecard import Card, Count


def test_score_when_nothing_was_counted_then_nothing_is_known() -> None:
    found = scorecard.score(Card())

    assert (found.tried, found.success_rate, found.latency_p95_s, found.cost_per_accepted_nano_usd) == (
        0,
        None,
        None,
        None,
    )


def test_score_when_calls_came_to_this_and_that_then_each_rate_has_its_own_whole() -> None:
    card = Card()
    for count, amount in (
        (Count.TRIED, 20),
        (Count.OK, 12),
        (Count.FAILED, 2),
        (Count.REJECTED, 2),
        (Count.THROTTLED, 4),
        (Count.AMBIGUOUS, 1),
        (Count.PROMISED, 8),
        (Count.MISSED, 2),
        (Count.COST, 600),
    ):
        card.add(count, amount)

    found = scorecard.score(card)

    assert (found.success_rate, found.throttled_rate, found.missed_callback_rate) == (0.75, 0.2, 0.25)
    assert (found.ambiguous_rate, found.rejected_rate) == (1 / 16, 2 / 14)
    assert found.cost_per_accepted_nano_usd == 50


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_quantile_when_many_times_were_noted_then_it_is_at_most_a_fifth_off(share: float) -> None:
    rng, card = random.Random(3), Card()
    times = sorted(rng.lognormvariate(1.0, 1.0) for _ in range(5_000))
    for time_s in times:
        card.add_latency(time_s)

    found = scorecard.quantile_s(card.latency, share)

    assert found == pytest.approx(times[int(share * len(times))], rel=0.2)


def test_quantile_when_a_call_took_longer_than_the_last_bound_then_the_last_bound_is_told() -> None:
    card = Card()
    card.add_latency(1e9)

    assert scorecard.quantile_s(card.latency, 0.5) == scorecard.BUCKETS[-1]


def test_faded_when_its_half_life_has_passed_then_everything_counts_half() -> None:
    card = Card()
    card.add(Count.OK, 8)
    card.add_queue(2.0)

    found = scorecard.faded(card, by_s=3_600, half_life_s=3_600)

    assert found.counts[Count.OK] == pytest.approx(4)
    assert sum(found.queue) == pytest.approx(0.5)


def test_card_when_an_older_release_wrote_fewer_counts_then_the_others_are_nothing() -> None:
    assert scorecard.card([3.0], [], []).counts == [3.0] + [0.0] * (len(Count) - 1)
