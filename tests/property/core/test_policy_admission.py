import random

import hypothesis
from hypothesis import strategies as st

from heddle.core import run
from heddle.core.policy import admission, fairness

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)
SEEDS = st.integers(0, 2**32)


LOADS = st.dictionaries(
    st.sampled_from(run.Priority),
    st.builds(
        admission.ClassLoad,
        queued=st.integers(0, 120_000),
        oldest_age_s=st.floats(0, 30_000),
        drained_per_s=st.floats(0, 10_000),
    ),
)


HOUSES = st.builds(
    lambda queued, part, share, drained_per_s: admission.House(
        queued=queued, mine=int(queued * part), share=share, drained_per_s=drained_per_s
    ),
    st.integers(0, 4_000_000),
    st.floats(0, 1),
    st.floats(0.01, 1),
    st.floats(0, 10_000),
)


@LAW
@hypothesis.given(loads=LOADS, house=HOUSES, seed=SEEDS)
def test_whenever_a_class_is_refused_every_lower_one_is_too(
    loads: dict[run.Priority, admission.ClassLoad], house: admission.House, seed: int
) -> None:
    options = admission.AdmissionOptions()

    answers = [
        admission.admit(options, priority=priority, loads=loads, rng=random.Random(seed), house=house)
        for priority in fairness.CLASSES
    ]
    refused = [isinstance(answer, admission.Refused) for answer in answers]

    assert refused == sorted(refused)


@LAW
@hypothesis.given(loads=LOADS, priority=st.sampled_from(run.Priority), seed=SEEDS)
def test_every_refusal_says_when_to_come_back_within_its_range(
    loads: dict[run.Priority, admission.ClassLoad], priority: run.Priority, seed: int
) -> None:
    options = admission.AdmissionOptions()

    answer = admission.admit(options, priority=priority, loads=loads, rng=random.Random(seed))

    retry_after_s = answer.retry_after_s if isinstance(answer, admission.Refused) else options.retry_after_min_s
    assert 0.8 * options.retry_after_min_s <= retry_after_s <= 1.2 * options.retry_after_max_s
