"""State everything that Heddle tells about itself: the one source for code, rules, dashboards and documentation.

Pure data on the standard library. ``metrics``, ``events`` and ``spans`` are what is emitted; ``slos``, ``alerts``,
``runbooks`` and ``dashboards`` are what is made of it. Nothing here records or writes. Before it: the vocabulary of
``core``. After: the recorder, which refuses what is not here, and ``generate``, which writes the rest.
"""

from typing import Final

from heddle.telemetry.catalog import alerts, dashboards, events, metrics, runbooks, slos, spans
from heddle.telemetry.catalog.checks import check
from heddle.telemetry.catalog.records import Alert, Dashboard, Event, Metric, Runbook, Slo, Span

METRICS: Final[tuple[Metric, ...]] = metrics.ALL
EVENTS: Final[tuple[Event, ...]] = events.ALL
SPANS: Final[tuple[Span, ...]] = spans.ALL
SLOS: Final[tuple[Slo, ...]] = slos.ALL
ALERTS: Final[tuple[Alert, ...]] = alerts.ALL
RUNBOOKS: Final[tuple[Runbook, ...]] = runbooks.ALL
DASHBOARDS: Final[tuple[Dashboard, ...]] = dashboards.ALL

__all__ = ["METRICS", "EVENTS", "SPANS", "SLOS", "ALERTS", "RUNBOOKS", "DASHBOARDS", "check"]
