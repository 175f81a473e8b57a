import dataclasses
import random

import pytest

from heddle.core import run
from heddle.core.policy import admission

OPTIONS = admission.AdmissionOptions(
    interactive_wait_s=10, standard_wait_s=100, batch_wait_s=1000, queued_max=10_000, reserve=0.2
)
INTERACTIVE, STANDARD, BATCH = run.Priority.INTERACTIVE, run.Priority.STANDARD, run.Priority.BATCH


def load(*, wait_s: float, queued: int = 10) -> admission.ClassLoad:
    return admission.ClassLoad(queued=queued, oldest_age_s=wait_s, drained_per_s=1000.0)


@pytest.mark.parametrize(
    ("queued", "oldest_age_s", "drained_per_s", "expected_s"),
    [(0, 0.0, 0.0, 0.0), (100, 2.0, 10.0, 10.0), (100, 30.0, 10.0, 30.0), (100, 3.0, 0.0, 3.0)],
)
def test_predicted_wait_is_the_longer_of_age_and_time_to_drain(
    queued: int, oldest_age_s: float, drained_per_s: float, expected_s: float
) -> None:
    load = admission.ClassLoad(queued=queued, oldest_age_s=oldest_age_s, drained_per_s=drained_per_s)

    assert admission.predicted_wait_s(load) == expected_s


@pytest.mark.parametrize("priority", list(run.Priority))
def test_idle_system_accepts_every_class(priority: run.Priority) -> None:
    answer = admission.admit(OPTIONS, priority=priority, loads={}, rng=random.Random(7))

    assert answer == admission.Accepted(predicted_wait_s=0.0)


@pytest.mark.parametrize(
    ("interactive_wait_s", "accepted"),
    [
        (6.0, {INTERACTIVE, STANDARD, BATCH}),
        (6.1, {INTERACTIVE, STANDARD}),
        (8.1, {INTERACTIVE}),
        (10.1, set()),
    ],
)
def test_as_people_wait_longer_the_lowest_class_is_shed_first(
    interactive_wait_s: float, accepted: set[run.Priority]
) -> None:
    loads = {INTERACTIVE: load(wait_s=interactive_wait_s)}

    answers = {
        priority: admission.admit(OPTIONS, priority=priority, loads=loads, rng=random.Random(7))
        for priority in run.Priority
    }

    assert {priority for priority, answer in answers.items() if isinstance(answer, admission.Accepted)} == accepted


@pytest.mark.parametrize(
    ("queued", "accepted"),
    [
        (5_999, {INTERACTIVE, STANDARD, BATCH}),
        (6_000, {INTERACTIVE, STANDARD}),
        (8_000, {INTERACTIVE}),
        (10_000, set()),
    ],
)
def test_last_fifth_of_the_queue_is_reserved_for_the_top_class(queued: int, accepted: set[run.Priority]) -> None:
    house = admission.House(queued=queued, mine=queued, drained_per_s=1000.0)

    answers = {
        priority: admission.admit(OPTIONS, priority=priority, loads={}, rng=random.Random(7), house=house)
        for priority in run.Priority
    }

    assert {priority for priority, answer in answers.items() if isinstance(answer, admission.Accepted)} == accepted


def test_long_batch_queue_does_not_shut_people_out() -> None:
    answer = admission.admit(OPTIONS, priority=INTERACTIVE, loads={BATCH: load(wait_s=5000.0)}, rng=random.Random(7))

    assert isinstance(answer, admission.Accepted)


def test_class_may_use_all_of_its_own_wait() -> None:
    answer = admission.admit(OPTIONS, priority=BATCH, loads={BATCH: load(wait_s=999.0)}, rng=random.Random(7))

    assert answer == admission.Accepted(predicted_wait_s=999.0)


def test_refusal_names_its_policy_its_cause_and_the_own_wait() -> None:
    loads = {INTERACTIVE: load(wait_s=20.0), BATCH: load(wait_s=3.0)}

    answer = admission.admit(dataclasses.replace(OPTIONS, jitter=0), priority=BATCH, loads=loads, rng=random.Random(7))

    assert answer == admission.Refused(
        policy=admission.Policy.PREDICTED_WAIT, retry_after_s=14.0, because_of=INTERACTIVE, predicted_wait_s=3.0
    )


def test_refusal_when_nothing_drains_then_comes_back_after_the_longest_time() -> None:
    stuck = admission.House(queued=10_000, mine=10_000)

    answer = admission.admit(
        dataclasses.replace(OPTIONS, jitter=0), priority=INTERACTIVE, loads={}, rng=random.Random(7), house=stuck
    )

    assert answer == admission.Refused(
        policy=admission.Policy.QUEUE_FULL, retry_after_s=300.0, because_of=INTERACTIVE, predicted_wait_s=0.0
    )


def test_options_when_the_reserve_would_leave_the_lowest_class_nothing_then_named() -> None:
    with pytest.raises(ValueError, match=r"reserve is 0\.5; it must be from 0 to 0\.45 \(ratio\)"):
        admission.AdmissionOptions(reserve=0.5)


@pytest.mark.parametrize(("mine", "is_accepted"), [(4_999, True), (5_000, False)])
def test_full_queue_still_takes_from_whoever_has_less_than_its_share_in_line(mine: int, is_accepted: bool) -> None:
    house = admission.House(queued=10_000, mine=mine, share=0.5, drained_per_s=100.0)

    answer = admission.admit(OPTIONS, priority=INTERACTIVE, loads={}, rng=random.Random(7), house=house)

    assert isinstance(answer, admission.Accepted) == is_accepted


def test_queue_beyond_its_bound_and_a_reserve_takes_from_nobody() -> None:
    house = admission.House(queued=12_001, mine=1, share=0.5, drained_per_s=100.0)

    answer = admission.admit(OPTIONS, priority=INTERACTIVE, loads={}, rng=random.Random(7), house=house)

    assert isinstance(answer, admission.Refused)
