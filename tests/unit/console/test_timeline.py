"""The layout of the timeline: queue, tries and waits stand where they were, in percent of the run."""

import datetime

import pytest

from heddle.console import timeline

START = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.UTC)


def at(seconds: float) -> datetime.datetime:
    return START + datetime.timedelta(seconds=seconds)


def one_try(begin: float, end: float | None, *, number: int = 1, outcome: str = "done") -> timeline.Try:
    finished_at = None if end is None else at(end)
    return timeline.Try(number=number, started_at=at(begin), finished_at=finished_at, outcome=outcome)


def span(key: int = 1, **changes: object) -> timeline.Span:
    given: dict[str, object] = {"parents": (), "created_at": START, "finished_at": None, "tries": (), **changes}
    return timeline.Span(key=key, **given)  # type: ignore[arg-type]


def bars_of(*spans: timeline.Span, end: float = 10) -> list[list[tuple[str, float, float]]]:
    drawn = timeline.lay_out(spans, started_at=START, finished_at=at(end), now=at(end))
    return [[(bar.kind.value, bar.left, bar.width) for bar in row.bars] for row in drawn.rows]


def test_lay_out_when_tried_twice_then_queue_try_backoff_try() -> None:
    tries = (one_try(1, 3, outcome="rejected"), one_try(5, 10, number=2))

    (bars,) = bars_of(span(tries=tries, finished_at=at(10)))

    assert bars == [("queue", 0, 10), ("try", 10, 20), ("backoff", 30, 20), ("try", 50, 50)]


def test_lay_out_when_it_waited_for_a_parent_then_that_is_blank_and_not_a_queue() -> None:
    parent = span(1, tries=(one_try(0, 4),), finished_at=at(4))
    child = span(2, parents=(1,), tries=(one_try(4, 6),), finished_at=at(6))

    assert bars_of(parent, child)[1] == [("try", 40, 20)]


def test_lay_out_when_a_parent_is_not_over_then_nothing_is_drawn() -> None:
    assert bars_of(span(1, tries=(one_try(0, None),)), span(2, parents=(1,)))[1] == []


@pytest.mark.parametrize(
    ("changes", "bars"),
    [
        ({"is_waiting": True}, [("wait", 0, 100)]),
        ({}, [("queue", 0, 100)]),
        ({"has_begun": False}, []),
        ({"finished_at": START}, []),
    ],
)
def test_lay_out_when_never_tried_then_by_what_it_waits_for(
    changes: dict[str, object], bars: list[tuple[str, float, float]]
) -> None:
    assert bars_of(span(**changes)) == [bars]


def test_lay_out_when_a_try_lasts_then_to_the_end_and_when_tiny_then_still_seen() -> None:
    (lasting,), (tiny,) = bars_of(
        span(1, tries=(one_try(0, None),)), span(2, tries=(one_try(0, 0.000001),), finished_at=at(0.000001))
    )

    assert lasting == ("try", 0, 100)
    assert tiny == ("try", 0, timeline.WIDTH_LEAST)


@pytest.mark.parametrize("end", [0.0, 0.004, 1, 59, 7_000, 10_000_000])
def test_lay_out_when_a_run_lasts_any_time_then_few_round_ticks_within_it(end: float) -> None:
    drawn = timeline.lay_out([], started_at=START, finished_at=at(end), now=at(end))

    assert 2 <= len(drawn.ticks) <= timeline.TICKS + 1
    assert all(0 <= tick.left <= 100 for tick in drawn.ticks)
    assert drawn.ticks[0].at_s == 0
