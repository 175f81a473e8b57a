"""What headers tell of limits is read in every dialect, and lies are counted, bounded or dropped."""

import math

import pytest

from heddle.core.policy import told
from heddle.providers import limits

NOW_S = 1_790_000_000.0  # 2026-09-21T14:13:20Z
REQUESTS, TOKENS = told.Dimension.REQUESTS, told.Dimension.TOKENS


def reports(headers: dict[str, str]) -> tuple[tuple[int, int | None, int | None, float | None], ...]:
    read = limits.read(headers, now_s=NOW_S)
    assert read.refused == 0
    return tuple((each.dimension, each.limit_per_min, each.remaining, each.reset_s) for each in read.reports)


def test_read_when_it_is_openais_then_durations_in_gos_form_are_understood() -> None:
    headers = {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "599",
        "x-ratelimit-reset-requests": "100ms",
        "x-ratelimit-limit-tokens": "100000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0.5s",
    }

    assert reports(headers) == ((REQUESTS, 600, 599, pytest.approx(0.1)), (TOKENS, 100_000, 0, 360.5))


def test_read_when_it_is_anthropics_then_instants_are_seconds_from_now() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-09-21T14:13:25Z",
        "anthropic-ratelimit-input-tokens-limit": "40000",
        "anthropic-ratelimit-input-tokens-remaining": "39000",
        "anthropic-ratelimit-input-tokens-reset": "2026-09-21T14:13:20+00:00",
    }

    assert reports(headers) == ((REQUESTS, 50, 49, 5.0), (TOKENS, 40_000, 39_000, 0.0))


def test_read_when_it_is_the_draft_then_quotas_are_brought_to_a_minute() -> None:
    headers = {
        "ratelimit-policy": '"burst";q=100;w=30, "bytes";q=1000000;qu="content-bytes";w=60',
        "ratelimit": '"burst";r=50;t=12',
    }

    assert reports(headers) == ((REQUESTS, 200, 50, 12.0),)


def test_read_when_it_is_the_older_draft_then_the_first_limit_counts() -> None:
    headers = {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "7", "ratelimit-reset": "31"}

    assert reports(headers) == ((REQUESTS, 100, 7, 31.0),)


def test_read_when_nothing_is_told_then_nothing_is_read() -> None:
    assert limits.read({"content-type": "application/json"}, now_s=NOW_S) == told.NOTHING


@pytest.mark.parametrize("text", ["12", "Mon, 21 Sep 2026 14:13:32 GMT"])
def test_read_when_retry_after_is_seconds_or_a_date_then_it_is_seconds_from_now(text: str) -> None:
    assert limits.read({"retry-after": text}, now_s=NOW_S).retry_after_s == pytest.approx(12.0)


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"x-ratelimit-limit-requests": "NaN"}, 1),
        ({"x-ratelimit-limit-requests": "9" * 400}, 1),
        ({"x-ratelimit-limit-requests": "1e9"}, 1),
        ({"x-ratelimit-limit-requests": "60", "x-ratelimit-reset-requests": "soon"}, 1),
        ({"ratelimit": "????"}, 1),
        ({"ratelimit": '"a"'}, 1),
        ({"anthropic-ratelimit-tokens-limit": "5", "anthropic-ratelimit-tokens-reset": "99999-01-01"}, 1),
    ],
)
def test_read_when_a_header_is_no_number_then_it_is_counted(headers: dict[str, str], refused: int) -> None:
    assert limits.read(headers, now_s=NOW_S).refused == refused


@pytest.mark.parametrize(
    "report",
    [
        told.Report(dimension=REQUESTS, limit_per_min=0),
        told.Report(dimension=REQUESTS, limit_per_min=-5),
        told.Report(dimension=REQUESTS, remaining=-1),
        told.Report(dimension=REQUESTS, reset_s=4.0),
    ],
)
def test_learn_when_a_report_cannot_be_true_then_there_is_no_lesson(report: told.Report) -> None:
    assert told.learn(told.ToldOptions(), report) is None


@pytest.mark.parametrize("reset_s", [math.nan, math.inf, -3.0, 2.5e11])
def test_learn_when_the_reset_is_a_lie_then_it_counts_for_a_bounded_time(reset_s: float) -> None:
    lesson = told.learn(
        told.ToldOptions(), told.Report(dimension=REQUESTS, limit_per_min=9, remaining=0, reset_s=reset_s)
    )

    assert lesson is not None
    assert 1.0 <= lesson.until_s <= 3_600.0
    assert lesson.empty_s is None or lesson.empty_s <= 3_600.0


def test_learn_when_a_filling_bucket_is_empty_then_it_is_not_closed_until_it_is_full() -> None:
    report = told.Report(dimension=REQUESTS, limit_per_min=600, remaining=0, reset_s=60.0)

    assert told.learn(told.ToldOptions(), report) == told.Lesson(
        dimension=REQUESTS, limit_per_min=600, remaining=0, until_s=60.0, empty_s=None
    )


def test_learn_when_a_window_is_used_up_then_it_is_closed_until_the_next() -> None:
    report = told.Report(dimension=REQUESTS, limit_per_min=600, remaining=0, reset_s=1_800.0)

    lesson = told.learn(told.ToldOptions(), report)

    assert lesson is not None
    assert lesson.empty_s == 1_800.0


def test_frozen_when_retry_after_is_a_day_then_it_stops_the_endpoint_for_an_hour() -> None:
    options = told.ToldOptions()

    assert told.frozen_s(options, retry_after_s=86_400.0) == 3_600.0
    assert told.frozen_s(options, retry_after_s=0.0) is None
    assert told.frozen_s(options, retry_after_s=None) is None
