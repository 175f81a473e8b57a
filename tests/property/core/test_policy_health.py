import hypothesis
from hypothesis import strategies as st

from heddle.core.policy import health

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)


OUTCOMES = st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=60)


def remembered(outcomes: list[tuple[float, bool]]) -> tuple[health.Recent, float]:
    recent, at_s = health.Recent(), 0.0
    for pause_s, is_ok in outcomes:
        at_s += pause_s
        outcome = health.Outcome(at_s=at_s, is_ok=is_ok, duration_s=0.1)
        recent = health.observe(health.HealthOptions(), recent, outcome=outcome)
    return recent, at_s


@LAW
@hypothesis.given(outcomes=OUTCOMES)
def test_only_a_dependency_that_failed_is_unwell(outcomes: list[tuple[float, bool]]) -> None:
    recent, now_s = remembered([(pause_s, True) for pause_s, _ in outcomes])

    assert health.judge(health.HealthOptions(), recent, now_s=now_s).condition is health.Condition.HEALTHY


@LAW
@hypothesis.given(outcomes=OUTCOMES, silence_s=st.floats(0, 1000))
def test_silence_after_a_row_of_failures_is_never_health(outcomes: list[tuple[float, bool]], silence_s: float) -> None:
    recent, now_s = remembered([*outcomes, (1.0, False), (1.0, False), (1.0, False)])

    verdict = health.judge(health.HealthOptions(), recent, now_s=now_s + 70 + silence_s)

    assert verdict.condition is health.Condition.DOWN
