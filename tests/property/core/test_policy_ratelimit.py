import hypothesis
from hypothesis import strategies as st

from heddle.core.policy import ratelimit

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)


EVENTS = st.lists(st.tuples(st.integers(0, 20_000_000), st.integers(1, 40)), min_size=1, max_size=120)
LIMITS = st.integers(1, 6_000)


def sent(limit: ratelimit.RateLimit, events: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Play demands of (pause, units), each sent as soon as allowed, and return the sends as (instant, units)."""
    bucket, now_us = ratelimit.Bucket(), 1_000
    sends: list[tuple[int, int]] = []
    for pause_us, units in events:
        now_us += pause_us
        bucket, answer = ratelimit.take(limit, bucket, units=units, now_us=now_us)
        if isinstance(answer, ratelimit.NotYet):
            now_us = answer.retry_at_us
            bucket, answer = ratelimit.take(limit, bucket, units=units, now_us=now_us)
        assert answer == ratelimit.Taken(), "what was promised for an instant must go at that instant"
        sends.append((now_us, units))
    return sends


def most_in_any_minute(sends: list[tuple[int, int]]) -> int:
    return max(
        sum(units for at_us, units in sends if start_us <= at_us < start_us + ratelimit.MINUTE_US)
        for start_us, _ in sends
    )


@LAW
@hypothesis.given(limit_per_min=LIMITS, events=EVENTS)
def test_any_minute_holds_at_most_the_limit_and_one_seconds_rate(
    limit_per_min: int, events: list[tuple[int, int]]
) -> None:
    limit = ratelimit.RateLimit(limit_per_min=limit_per_min)
    small = [(pause_us // 1000, min(units, limit.burst_units)) for pause_us, units in events]

    assert most_in_any_minute(sent(limit, small)) <= limit_per_min + limit_per_min / 60


@LAW
@hypothesis.given(limit_per_min=LIMITS, burst=st.integers(1, 200), events=EVENTS)
def test_any_minute_with_large_calls_holds_at_most_one_call_more_than_the_limit(
    limit_per_min: int, burst: int, events: list[tuple[int, int]]
) -> None:
    limit = ratelimit.RateLimit(limit_per_min=limit_per_min, burst=min(burst, limit_per_min + 1))
    largest = max(units for _, units in events)

    assert most_in_any_minute(sent(limit, events)) <= limit_per_min + max(limit.burst_units, largest) - 1


@LAW
@hypothesis.given(limit_per_min=st.integers(1, 10**9), full_in_us=st.integers(-(10**8), 10**8))
def test_available_is_exactly_what_take_grants(limit_per_min: int, full_in_us: int) -> None:
    limit = ratelimit.RateLimit(limit_per_min=limit_per_min)
    now_us = 10**15
    bucket = ratelimit.Bucket(full_at_us=now_us + full_in_us)

    count = ratelimit.available(limit, bucket, now_us=now_us)

    grants = [
        isinstance(ratelimit.take(limit, bucket, units=units, now_us=now_us)[1], ratelimit.Taken)
        for units in {max(1, count), min(count + 1, limit.burst_units)}
    ]
    assert grants.count(True) == (count > 0)


@LAW
@hypothesis.given(
    limit_per_min=LIMITS, estimated=st.integers(1, 1000), actual=st.integers(0, 1000), now_us=st.integers(1, 10**15)
)
def test_correcting_an_estimate_never_leaves_less_charged_than_was_used(
    limit_per_min: int, estimated: int, actual: int, now_us: int
) -> None:
    limit = ratelimit.RateLimit(limit_per_min=limit_per_min)
    charged, _ = ratelimit.take(limit, ratelimit.Bucket(), units=estimated, now_us=now_us)

    settled = ratelimit.correct(limit, charged, estimated_units=estimated, actual_units=actual)

    assert settled.full_at_us - now_us >= actual * ratelimit.MINUTE_US / limit_per_min - 1e-3
