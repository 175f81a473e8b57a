"""Whatever a stranger's headers hold, reading them never raises and what is learned stays within its bounds."""

import math

from hypothesis import given
from hypothesis import strategies as st

from heddle.core.policy import told
from heddle.providers import limits

NAMES = st.sampled_from(
    [
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        *(f"x-ratelimit-{kind}-{unit}" for kind in ("limit", "remaining", "reset") for unit in ("requests", "tokens")),
        *(
            f"anthropic-ratelimit-{unit}-{kind}"
            for kind in ("limit", "remaining", "reset")
            for unit in ("requests", "tokens")
        ),
    ]
)
LIES = st.sampled_from(
    [
        "-1",
        "NaN",
        "inf",
        "0",
        "1e400",
        "9" * 300,
        "9999-12-31T23:59:59Z",
        "0000-00-00",
        "1h1h1h",
        "999999999d",
        "",
        '"',
        ";;;q=",
    ]
)
VALUES = LIES | st.text(max_size=40) | st.integers().map(str) | st.floats().map(str) | st.datetimes().map(str)


@given(headers=st.dictionaries(NAMES, VALUES, max_size=12), now_s=st.floats(min_value=0, max_value=4e9))
def test_read_when_headers_are_anything_then_every_lesson_is_bounded(headers: dict[str, str], now_s: float) -> None:
    options = told.ToldOptions()

    read = limits.read(headers, now_s=now_s)

    assert read.retry_after_s is None or 0 <= read.retry_after_s <= 86_400
    assert 0 <= read.refused <= 64
    for lesson in filter(None, (told.learn(options, report) for report in read.reports)):
        assert lesson.limit_per_min is None or 1 <= lesson.limit_per_min <= told.UNITS_MAX
        assert lesson.remaining is None or 0 <= lesson.remaining <= told.UNITS_MAX
        assert 1 <= lesson.until_s <= options.believed_max_s
        assert lesson.empty_s is None or 0 <= lesson.empty_s <= options.believed_max_s


@given(
    limit=st.integers() | st.none(),
    remaining=st.integers() | st.none(),
    reset_s=st.floats() | st.none(),
)
def test_learn_when_a_report_is_anything_then_it_is_dropped_or_bounded(
    limit: int | None, remaining: int | None, reset_s: float | None
) -> None:
    report = told.Report(dimension=told.Dimension.TOKENS, limit_per_min=limit, remaining=remaining, reset_s=reset_s)

    lesson = told.learn(told.ToldOptions(), report)

    assert lesson is None or (math.isfinite(lesson.until_s) and lesson.until_s <= 3_600)
