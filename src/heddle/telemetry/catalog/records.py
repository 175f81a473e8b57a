"""Define the shapes that catalogue entries have.

This module says what a metric, an event, a span, an objective, an alert, a runbook and a panel must state about
themselves. It holds no entry and renders nothing. After it: the modules of entries beside it, the recorder that emits
them, ``generate`` that writes them out.
"""

import enum
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """Name how a metric accumulates."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(enum.StrEnum):
    """Name how one gauge is made of the values that several processes set.

    The ``live`` forms forget a process once it is marked dead. The values are those of prometheus_client's
    ``multiprocess_mode``.
    """

    SUM_OF_LIVING = "livesum"
    LARGEST_OF_LIVING = "livemax"
    SMALLEST_OF_LIVING = "livemin"
    LATEST_OF_LIVING = "livemostrecent"


class Level(enum.StrEnum):
    """Name how much an event matters."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Severity(enum.StrEnum):
    """Name what an alert asks for: wake somebody, or work within days."""

    PAGE = "page"
    TICKET = "ticket"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Describe one label and why it cannot grow without bound.

    ``values`` is the closed set of values; when it is empty the values come from configuration or code, and
    ``values_max`` is how many distinct ones one process keeps before the recorder writes ``other``.
    """

    name: str
    meaning: str
    values: tuple[str, ...] = ()
    values_max: int

    @property
    def is_closed(self) -> bool:
        """Tell whether every value is known beforehand."""
        return bool(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Describe one metric.

    ``unit`` is a base unit (``seconds``, ``bytes``, ``usd``, ``ratio``) or the plural noun that is counted. ``buckets``
    are upper bounds in that unit and ``buckets_source`` says where they come from; both belong to histograms alone, as
    ``merge`` belongs to gauges.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    buckets_source: str = ""
    merge: Merge | None = None

    @property
    def series_max(self) -> int:
        """Count the series one process can come to hold: label values times the series of one histogram."""
        count = 1
        for label in self.labels:
            # One more than the bound, for the value `other`.
            count *= len(label.values) or label.values_max + 1
        # A histogram has a series for each bucket, for +Inf, for the sum and for the count.
        return count * (len(self.buckets) + 3) if self.kind is Kind.HISTOGRAM else count


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Describe one field of an event beyond the ids that the context adds."""

    name: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Describe one thing that happened, named in the past tense: ``step.settled``."""

    name: str
    level: Level
    meaning: str
    fields: tuple[Field, ...] = ()


class Requirement(enum.StrEnum):
    """Name when a span carries an attribute."""

    ALWAYS = "always"
    WHEN_KNOWN = "when known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """Describe one attribute of a span."""

    name: str
    meaning: str
    requirement: Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Describe one span: ``name`` is a format over its attributes, ``kind`` is OpenTelemetry's, ``links`` says which
    contexts it links to."""

    key: str
    name: str
    kind: str
    meaning: str
    attributes: tuple[Attribute, ...]
    links: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """Describe one objective as the share of valid things that were good over a rolling window.

    ``objective`` is a ratio in (0, 1). ``bad`` and ``valid`` are PromQL selectors of two counters that our own code
    emits, never averages.
    """

    key: str
    title: str
    good: str
    valid_meaning: str
    objective: float
    window_days: int
    bad: str
    valid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Describe one alert: what makes it true, for how long (``for_s``), and what a person is asked to do.

    The runbook with the same name is the one it links to.
    """

    name: str
    expression: str
    for_s: int
    severity: Severity
    summary: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Hold one line to paste: what it does to the system, and what to look for in its answer."""

    line: str
    expect: str
    is_read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Hold one thing to do, with the commands that do it."""

    text: str
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """Hold what to do about one alert, in the order in which a tired person needs it.

    The four opening sentences answer: what does the user feel, how is it seen, how is it stopped, how is it mended.
    Diagnosis changes nothing; mitigation may.
    """

    alert: str
    user_feels: str
    see_it: str
    stop_it: str
    mend_it: str
    meaning: str
    impact: str
    diagnosis: tuple[Action, ...]
    mitigation: tuple[Action, ...]
    verification: tuple[Action, ...]
    escalation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Hold one PromQL expression and the legend of its series."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Describe one chart. ``unit`` is Grafana's id for the unit; ``danger_above`` draws the line that an alert or a bar
    sets."""

    title: str
    meaning: str
    unit: str
    queries: tuple[Query, ...]
    danger_above: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Hold the panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Describe one dashboard. ``uid`` stays the same for ever, since links use it."""

    uid: str
    title: str
    meaning: str
    rows: tuple[Row, ...]
