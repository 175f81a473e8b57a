"""Lay out a run along time: for each call when it could start, when it ran, when it waited for its next try.

Pure: spans in, percentages out. What a call waited for before it could start (the calls it takes values from) is left
blank, so that a bar that begins with waiting shows a queue and not a dependency.
"""

import dataclasses
import datetime
import enum
from collections.abc import Mapping, Sequence

WIDTH_LEAST = 0.35
"""Least width of a bar in percent, so that a call of a millisecond can be seen."""
TICKS = 5
_STEPS_S = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    1800,
    3600,
    7200,
    21600,
    86400,
)


class BarKind(enum.StrEnum):
    """Name what a stretch of time was."""

    QUEUE = "queue"  # could start, nobody had taken it
    TRY = "try"  # one attempt
    BACKOFF = "backoff"  # between two attempts
    WAIT = "wait"  # a timer, a signal or a child run


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """Hold one attempt: ``finished_at`` is None while it lasts; ``outcome`` is a word for its end."""

    number: int
    started_at: datetime.datetime
    finished_at: datetime.datetime | None
    outcome: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Hold one call as the timeline needs it. ``has_begun`` is False for what was or is kept from starting."""

    key: int
    parents: tuple[int, ...]
    created_at: datetime.datetime
    finished_at: datetime.datetime | None
    tries: tuple[Try, ...]
    is_waiting: bool = False
    has_begun: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Draw one stretch: ``left`` and ``width`` in percent of the whole, and how long it was."""

    kind: BarKind
    left: float
    width: float
    duration_s: float
    outcome: str = ""
    number: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Draw one call."""

    key: int
    bars: tuple[Bar, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Mark one moment: ``left`` in percent, seconds since the start."""

    left: float
    at_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Hold a whole drawing."""

    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    duration_s: float


def lay_out(
    spans: Sequence[Span],
    *,
    started_at: datetime.datetime,
    finished_at: datetime.datetime | None,
    now: datetime.datetime,
) -> Timeline:
    """Lay out calls between the start of the run and its end, or now while it lasts."""
    ends = [finished_at or now, *(span.finished_at for span in spans if span.finished_at is not None)]
    duration_s = max((max(ends) - started_at).total_seconds(), 0.001)
    scale = _Scale(started_at=started_at, duration_s=duration_s, end_at=finished_at or now)
    by_key = {span.key: span for span in spans}
    rows = tuple(Row(key=span.key, bars=tuple(_bars(span, by_key, scale))) for span in spans)
    return Timeline(rows=rows, ticks=_ticks(duration_s), duration_s=duration_s)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    started_at: datetime.datetime
    duration_s: float
    end_at: datetime.datetime

    def bar(
        self,
        kind: BarKind,
        begin: datetime.datetime,
        end: datetime.datetime | None,
        *,
        outcome: str = "",
        number: int = 0,
    ) -> Bar:
        until = max(end or self.end_at, begin)
        left = _percent((begin - self.started_at).total_seconds(), self.duration_s)
        right = _percent((until - self.started_at).total_seconds(), self.duration_s)
        left = min(left, 100 - WIDTH_LEAST)
        return Bar(
            kind=kind,
            left=round(left, 3),
            width=round(max(right - left, WIDTH_LEAST), 3),
            duration_s=(until - begin).total_seconds(),
            outcome=outcome,
            number=number,
        )


def _bars(span: Span, by_key: Mapping[int, Span], scale: _Scale) -> list[Bar]:
    parents = [by_key[parent] for parent in span.parents if parent in by_key]
    if not span.has_begun or (not span.tries and any(parent.finished_at is None for parent in parents)):
        return []
    ready_at = max([span.created_at, *(parent.finished_at for parent in parents if parent.finished_at is not None)])
    if not span.tries:
        kind = BarKind.WAIT if span.is_waiting else BarKind.QUEUE
        is_over_at_once = span.finished_at is not None and span.finished_at <= ready_at
        return [] if is_over_at_once else [scale.bar(kind, ready_at, span.finished_at)]
    bars: list[Bar] = []
    since, kind = ready_at, BarKind.QUEUE
    for each in sorted(span.tries, key=lambda one: (one.started_at, one.number)):
        if each.started_at > since:
            bars.append(scale.bar(kind, since, each.started_at))
        ended_at = each.finished_at or span.finished_at
        bars.append(scale.bar(BarKind.TRY, each.started_at, ended_at, outcome=each.outcome, number=each.number))
        since, kind = max(since, ended_at or scale.end_at), BarKind.BACKOFF
    if span.finished_at is None and since < scale.end_at:
        bars.append(scale.bar(kind, since, None))
    return bars


def _ticks(duration_s: float) -> tuple[Tick, ...]:
    """Choose a round distance that gives at most ``TICKS`` marks."""
    distance_s = next((each for each in _STEPS_S if duration_s / each <= TICKS), duration_s / TICKS)
    count = int(duration_s / distance_s)
    return tuple(
        Tick(left=round(_percent(index * distance_s, duration_s), 3), at_s=index * distance_s)
        for index in range(count + 1)
    )


def _percent(part_s: float, whole_s: float) -> float:
    return max(0.0, min(100.0, 100.0 * part_s / whole_s))
