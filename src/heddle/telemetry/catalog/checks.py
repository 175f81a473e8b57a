"""Find what is wrong with the catalogue: a name nobody emits, an alert without a runbook, a label without a bound.

Pure functions over the entries; each problem is one sentence that names the entry. It changes nothing. Before it: the
entries beside it. After: the check in the tests and in ``generate``, which writes nothing while there is a problem.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from heddle.telemetry.catalog import alerts, dashboards, events, expressions, labels, metrics, runbooks, slos, spans
from heddle.telemetry.catalog.records import Alert, Event, Kind, Label, Metric, Panel, Runbook

NAME: Final = re.compile(r"^heddle_[a-z][a-z0-9]*(_[a-z0-9]+)*$")
ALERT_NAME: Final = re.compile(r"^Heddle([A-Z][a-z]+)+$")
BASE_UNITS: Final = frozenset({"seconds", "bytes", "usd", "ratio", "info"})
OTHER_UNITS: Final = re.compile(r"_(ms|milliseconds|minutes|hours|days|percent|kilobytes|megabytes|cents)(_|$)")
RESERVED_SUFFIXES: Final = ("_count", "_sum", "_bucket", "_created")
SERIES_MAX: Final = 10_000
"""Most series one process may come to hold (BARS B24)."""
LABEL_VALUES_MAX: Final = 120
RECORDED: Final = re.compile(r"^slo:(sli_error:ratio_rate(5m|30m|1h|2h|6h|1d|3d|30d)|[a-z_]+:(ratio|days))$")


def problems_of_metric(metric: Metric) -> Iterator[str]:
    """Say what breaks the rules of Prometheus' naming page or has no bound."""
    name = metric.name
    stem = name.removesuffix("_total")
    is_histogram = metric.kind is Kind.HISTOGRAM
    rules = (
        (NAME.match(name), "the name is not heddle_ and lowercase words"),
        ((metric.kind is Kind.COUNTER) == name.endswith("_total"), "counters, and only they, end in _total"),
        (not name.endswith(RESERVED_SUFFIXES), "the suffix is one that Prometheus adds itself"),
        (not OTHER_UNITS.search(name), "units are base units"),
        (metric.unit not in BASE_UNITS or stem.endswith(f"_{metric.unit}"), "the name does not end in its unit"),
        (metric.help.endswith("."), "the help is not a sentence"),
        (is_histogram == bool(metric.buckets), "histograms, and only they, have buckets"),
        (is_histogram == bool(metric.buckets_source), "buckets, and only they, have a source"),
        (list(metric.buckets) == sorted(set(metric.buckets)), "the buckets do not rise"),
        ((metric.kind is Kind.GAUGE) == (metric.merge is not None), "gauges, and only they, say how they are merged"),
    )
    yield from (f"metric {name}: {problem}" for holds, problem in rules if not holds)
    for label in metric.labels:
        yield from problems_of_label(f"metric {name}", label)
    yield from _repeated(f"metric {name}: label", (label.name for label in metric.labels))


def problems_of_label(where: str, label: Label) -> Iterator[str]:
    """Say why a label could grow without bound."""
    if label.name in labels.FORBIDDEN or not labels.LABEL_NAME.match(label.name):
        yield f"{where}: label {label.name} has no bound, or is not a word"
    if not 0 < label.values_max <= LABEL_VALUES_MAX:
        yield f"{where}: label {label.name} may have {label.values_max} values; {LABEL_VALUES_MAX} is the most"
    if label.is_closed and label.values_max != len(label.values):
        yield f"{where}: label {label.name} is closed and its bound is another"


def problems_of_expression(where: str, expression: str) -> Iterator[str]:
    """Say which names in an expression nobody emits."""
    known = {metric.name: metric for metric in metrics.ALL}
    used: set[str] = {"slo", "le"}
    for selector in expressions.selectors(expression):
        if selector.name.startswith("slo:"):
            if not RECORDED.match(selector.name):
                yield f"{where}: no rule records {selector.name}"
            continue
        metric = known.get(selector.name) or _histogram_of(selector.name, known)
        if metric is None:
            yield f"{where}: no metric {selector.name}"
            continue
        by_name = {label.name: label for label in metric.labels}
        used |= by_name.keys()
        for name, operator, value in selector.matchers:
            label = by_name.get(name)
            if label is None:
                yield f"{where}: {metric.name} has no label {name}"
            elif label.is_closed:
                wanted = value.split("|") if operator in {"=~", "!~"} else [value]
                yield from (f"{where}: {name} is never {text!r}" for text in wanted if text not in label.values)
    yield from (
        f"{where}: grouped by {name}, which no metric in it has"
        for name in sorted(expressions.grouping_labels(expression) - used)
    )


def _histogram_of(name: str, known: dict[str, Metric]) -> Metric | None:
    for suffix in ("_bucket", "_count", "_sum"):
        metric = known.get(name.removesuffix(suffix))
        if metric is not None and metric.name != name and metric.kind is Kind.HISTOGRAM:
            return metric
    return None


def problems_of_event(event: Event) -> Iterator[str]:
    """Say what breaks the rules for events."""
    if not events.EVENT_NAME.match(event.name):
        yield f"event {event.name}: the name is not noun.past_tense"
    if not event.meaning.endswith("."):
        yield f"event {event.name}: the meaning is not a sentence"
    for field in event.fields:
        if field.name in events.RESERVED_FIELDS:
            yield f"event {event.name}: field {field.name} is one that every line has"
    yield from _repeated(f"event {event.name}: field", (field.name for field in event.fields))


def problems_of_alert(alert: Alert, runbook_names: frozenset[str]) -> Iterator[str]:
    """Say what an alert lacks for a person to act on it."""
    if not ALERT_NAME.match(alert.name):
        yield f"alert {alert.name}: the name is not Heddle and words"
    if alert.name not in runbook_names:
        yield f"alert {alert.name}: no runbook"
    if alert.for_s < 0:
        yield f"alert {alert.name}: for_s is below 0"
    if not (alert.summary.endswith(".") and alert.description.endswith(".")):
        yield f"alert {alert.name}: summary and description are not sentences"
    yield from problems_of_expression(f"alert {alert.name}", alert.expression)


def problems_of_runbook(runbook: Runbook, alert_names: frozenset[str]) -> Iterator[str]:
    """Say which section is empty, and which diagnosis would change something."""
    name = runbook.alert
    if name not in alert_names:
        yield f"runbook {name}: no alert"
    texts = ("user_feels", "see_it", "stop_it", "mend_it", "meaning", "impact", "escalation")
    yield from (f"runbook {name}: {text} is empty" for text in texts if not getattr(runbook, text).strip())
    for section in ("diagnosis", "mitigation", "verification"):
        if not getattr(runbook, section):
            yield f"runbook {name}: {section} is empty"
    for action in (*runbook.diagnosis, *runbook.verification):
        yield from (
            f"runbook {name}: `{command.line}` changes something; that belongs to mitigation"
            for command in action.commands
            if not command.is_read_only
        )


def problems_of_panel(panel: Panel) -> Iterator[str]:
    """Say what a panel lacks."""
    if panel.unit not in dashboards.UNITS:
        yield f"panel {panel.title}: unit {panel.unit} is not known"
    if not panel.queries:
        yield f"panel {panel.title}: no query"
    for query in panel.queries:
        if not expressions.selectors(query.expression):
            yield f"panel {panel.title}: reads nothing of ours"
        yield from problems_of_expression(f"panel {panel.title}", query.expression)


def check() -> tuple[str, ...]:
    """Give every problem of the whole catalogue, as sentences; none means that it may be used."""
    return tuple(_problems())


def _problems() -> Iterator[str]:
    runbook_names = frozenset(runbook.alert for runbook in runbooks.ALL)
    alert_names = frozenset(alert.name for alert in alerts.ALL)
    panels = [panel for board in dashboards.ALL for row in board.rows for panel in row.panels]
    for metric in metrics.ALL:
        yield from problems_of_metric(metric)
    for event in events.ALL:
        yield from problems_of_event(event)
    for alert in alerts.ALL:
        yield from problems_of_alert(alert, runbook_names)
    for runbook in runbooks.ALL:
        yield from problems_of_runbook(runbook, alert_names)
    for slo in slos.ALL:
        if not 0 < slo.objective < 1:
            yield f"objective {slo.key}: {slo.objective} is not a ratio between 0 and 1"
        yield from problems_of_expression(f"objective {slo.key}", f"{slo.bad} / {slo.valid}")
    for panel in panels:
        yield from problems_of_panel(panel)
    yield from _repeated("metric", (metric.name for metric in metrics.ALL))
    yield from _repeated("event", (event.name for event in events.ALL))
    yield from _repeated("alert", (alert.name for alert in alerts.ALL))
    yield from _repeated("runbook", (runbook.alert for runbook in runbooks.ALL))
    yield from _repeated("objective", (slo.key for slo in slos.ALL))
    yield from _repeated("span", (span.key for span in spans.ALL))
    yield from _repeated("panel", (panel.title for panel in panels))
    series = sum(metric.series_max for metric in metrics.ALL)
    if series > SERIES_MAX:
        yield f"one process may come to {series} series; {SERIES_MAX} is the most"


def _repeated(what: str, names: Iterable[str]) -> Iterator[str]:
    return (f"{what} {name}: stands twice" for name, count in Counter(names).items() if count > 1)
