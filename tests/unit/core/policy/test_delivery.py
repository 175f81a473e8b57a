"""The law of webhooks' tries: what is success, when to come again, when to stop, and how long to leave a receiver."""

import random

import pytest

from heddle.core.policy import delivery
from heddle.core.policy.delivery import Again, Answer, Dead, Gone, Health, Taken

HOUR_S = 3_600.0


def verdict(answer: Answer, *, tries: int = 1) -> delivery.Verdict:
    return delivery.verdict(answer, tries=tries, rng=random.Random(1))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_verdict_when_2xx_then_taken(status: int) -> None:
    assert verdict(Answer(status=status)) == Taken()


@pytest.mark.parametrize("status", [None, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503, 101])
def test_verdict_when_anything_else_then_it_is_tried_again(status: int | None) -> None:
    assert isinstance(verdict(Answer(status=status)), Again)


def test_verdict_when_410_then_the_address_is_gone_at_once() -> None:
    assert verdict(Answer(status=410)) == Gone()


@pytest.mark.parametrize(("tries", "planned_s"), list(enumerate(delivery.OPTIONS.schedule_s, start=1)))
def test_verdict_when_it_fails_then_the_next_try_is_never_before_its_time(tries: int, planned_s: float) -> None:
    found = verdict(Answer(status=500), tries=tries)

    assert isinstance(found, Again)
    assert planned_s <= found.delay_s <= planned_s * 1.05


def test_verdict_when_the_tenth_try_fails_then_it_is_dead() -> None:
    assert delivery.OPTIONS.tries_max == 10
    assert verdict(Answer(status=500), tries=10) == Dead()


def test_schedule_when_every_try_fails_then_it_spans_72_hours_and_ends_within_80() -> None:
    spans_s = []
    for seed in range(200):
        rng = random.Random(seed)
        found = [delivery.verdict(Answer(status=None), tries=tries, rng=rng) for tries in range(1, 10)]
        spans_s.append(sum(each.delay_s for each in found if isinstance(each, Again)))

    assert min(spans_s) >= 72 * HOUR_S
    assert max(spans_s) <= 80 * HOUR_S


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_verdict_when_the_receiver_names_a_pause_then_it_is_kept(status: int) -> None:
    assert verdict(Answer(status=status, retry_after_s=1_000.0)) == Again(delay_s=1_000.0)


@pytest.mark.parametrize("pause_s", [1e9, 86_401.0])
def test_verdict_when_the_pause_is_beyond_a_day_then_it_is_a_day(pause_s: float) -> None:
    assert verdict(Answer(status=429, retry_after_s=pause_s)) == Again(delay_s=86_400.0)


@pytest.mark.parametrize("pause_s", [-5.0, 0.0, float("nan"), float("inf")])
def test_verdict_when_the_pause_is_none_then_the_schedule_counts(pause_s: float) -> None:
    found = verdict(Answer(status=429, retry_after_s=pause_s))

    assert isinstance(found, Again)
    assert 5.0 <= found.delay_s <= 5.25


def test_verdict_when_a_redirect_names_a_pause_then_it_is_not_listened_to() -> None:
    found = verdict(Answer(status=302, retry_after_s=1_000.0))

    assert isinstance(found, Again)
    assert found.delay_s < 6.0


def health(before: Health, answer: Answer) -> Health:
    return delivery.health(before, answer, rng=random.Random(1))


def test_health_when_four_fail_then_the_receiver_is_not_left_alone_and_from_the_fifth_on_it_is() -> None:
    holds, state = [], delivery.WELL
    for _ in range(12):
        state = health(state, Answer(status=500))
        holds.append(state.hold_s)

    assert holds[:4] == [0.0] * 4
    assert 2.0 <= holds[4] <= 2.1
    assert holds[4:9] == sorted(holds[4:9])
    assert max(holds) <= 31.5


@pytest.mark.parametrize("answer", [Answer(status=204), Answer(status=410)])
def test_health_when_the_receiver_answers_well_then_it_is_well(answer: Answer) -> None:
    assert health(Health(failures=9, hold_s=30.0), answer) == delivery.WELL


def test_health_when_one_answer_names_a_pause_then_all_its_events_wait_an_hour_at_most() -> None:
    assert health(delivery.WELL, Answer(status=429, retry_after_s=90.0)) == Health(failures=1, hold_s=90.0)
    assert health(delivery.WELL, Answer(status=429, retry_after_s=80_000.0)).hold_s == HOUR_S


def test_options_when_a_wait_is_no_time_then_they_are_refused() -> None:
    with pytest.raises(ValueError, match="schedule_s"):
        delivery.DeliveryOptions(schedule_s=(5.0, 0.0))
