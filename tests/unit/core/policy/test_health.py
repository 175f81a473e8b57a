import pytest

from heddle.core.policy import health

OPTIONS = health.HealthOptions(slow_s=2.0)


def recent(pattern: str, *, duration_s: float = 0.1) -> health.Recent:
    """Turn "+-" into outcomes one second apart, the first at second 100; plus is a success."""
    remembered = health.Recent()
    for second, mark in enumerate(pattern):
        outcome = health.Outcome(at_s=100.0 + second, is_ok=mark == "+", duration_s=duration_s)
        remembered = health.observe(OPTIONS, remembered, outcome=outcome)
    return remembered


@pytest.mark.parametrize(
    ("pattern", "condition", "reason"),
    [
        ("", health.Condition.HEALTHY, "not used yet"),
        ("++++++++++", health.Condition.HEALTHY, "0 of the last 10 calls failed"),
        ("-+++", health.Condition.HEALTHY, "1 of the last 4 calls failed"),
        ("-++++++++++", health.Condition.HEALTHY, "1 of the last 11 calls failed"),
        ("-+++++++++", health.Condition.DEGRADED, "1 of the last 10 calls failed"),
        ("-+-+-+-+", health.Condition.DOWN, "4 of the last 8 calls failed"),
        ("+++---", health.Condition.DOWN, "the last 3 of 6 calls failed"),
        ("---", health.Condition.DOWN, "the last 3 of 3 calls failed"),
    ],
)
def test_condition_follows_from_recent_outcomes(pattern: str, condition: health.Condition, reason: str) -> None:
    verdict = health.judge(OPTIONS, recent(pattern), now_s=112.0)

    assert verdict == health.Health(condition=condition, reason=reason)


def test_condition_when_calls_are_slow_then_degraded() -> None:
    verdict = health.judge(OPTIONS, recent("+++++", duration_s=3.0), now_s=112.0)

    assert verdict == health.Health(
        condition=health.Condition.DEGRADED, reason="the median of the last 5 calls is 3 s; 2 s is slow"
    )


@pytest.mark.parametrize(
    ("pattern", "condition", "reason"),
    [
        ("--+", health.Condition.HEALTHY, "last used 198 s ago, and well"),
        ("++-", health.Condition.DOWN, "the last call failed 198 s ago and none was made since"),
    ],
)
def test_silence_keeps_the_last_word(pattern: str, condition: health.Condition, reason: str) -> None:
    verdict = health.judge(OPTIONS, recent(pattern), now_s=300.0)

    assert verdict == health.Health(condition=condition, reason=reason)


def test_memory_is_bounded() -> None:
    options = health.HealthOptions(outcomes_max=3, down_consecutive=3, samples=3)
    remembered = health.Recent()

    for _ in range(10):
        outcome = health.Outcome(at_s=100.0, is_ok=True, duration_s=0.1)
        remembered = health.observe(options, remembered, outcome=outcome)

    assert len(remembered.outcomes) == 3


def test_options_when_down_would_be_below_degraded_then_named() -> None:
    with pytest.raises(ValueError, match=r"down_ratio is 0\.05; it must be from 0\.1 to 1 \(ratio\)"):
        health.HealthOptions(down_ratio=0.05)
