"""Record what happens, in catalogue entries only: counts, measurements, states and events.

``recorder.count(metrics.COMMITS, 1, stage="settle")`` is all a stage has to write. The recorder refuses a metric or an
event that the catalogue lacks, a label or field that its entry lacks, and a value outside a closed set; it holds open
labels to their bound by writing ``other``. It decides nothing and never waits for anything outside the process. Before
it: every stage of the walk. After: ``/metrics``, and ``logs``.

Several processes: with ``PROMETHEUS_MULTIPROC_DIR`` set before this module is imported (``multiprocess.prepare``), any
process renders the sum of all. Exemplars are dropped in that mode, since prometheus_client does not store them there
(its ``set_exemplar`` returns at once); a single process serves them to scrapers that accept OpenMetrics.
"""

import importlib.metadata
import itertools
import logging
import math
import os
import platform
import threading
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias, TypeVar, assert_never

import prometheus_client
from prometheus_client import exposition, values
from prometheus_client import multiprocess as prometheus_multiprocess
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from heddle.telemetry import context, multiprocess
from heddle.telemetry.catalog import events, metrics
from heddle.telemetry.catalog.records import Event, Kind, Label, Level, Metric

LOGGER_NAME: Final = "heddle"
FIELDS_ATTRIBUTE: Final = "heddle_fields"
"""The attribute of a log record that holds an event's fields; a host's own formatter may read it."""
OTHER: Final = "other"

_LEVELS: Final[Mapping[Level, int]] = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
}
# A key holds a metric's name and the labels as written at the call, in the caller's order: another order costs one more
# entry.
_Key: TypeAlias = tuple[str | tuple[str, str], ...]
_Parent: TypeAlias = prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram
_Child = TypeVar("_Child", prometheus_client.Counter, prometheus_client.Gauge, prometheus_client.Histogram)


class CatalogueError(ValueError):
    """Say that code tried to record something the catalogue does not have. It is a bug in the caller."""


class Recorder:
    """Hold one set of metrics and the logger of the events.

    The process has one, whose methods are the functions of this module; tests make their own. Methods may be called
    from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._registry: prometheus_client.CollectorRegistry | None = None
        self._directory: str | None = None
        self._parents: dict[str, _Parent] = {}
        self._seen: dict[tuple[str, str], dict[str, None]] = {}
        self._overflowed: dict[tuple[str, str], None] = {}
        self._counters: dict[_Key, prometheus_client.Counter] = {}
        self._gauges: dict[_Key, prometheus_client.Gauge] = {}
        self._histograms: dict[_Key, prometheus_client.Histogram] = {}
        self._fields: dict[str, frozenset[str]] = {}
        self._logger = logging.getLogger(LOGGER_NAME)

    def count(self, metric: Metric, amount: float = 1, /, **labels: str) -> None:
        """Add ``amount`` (>= 0, in the metric's unit) to a counter.

        Raises CatalogueError for what the catalogue does not have.
        """
        counter = self._counters.get((metric.name, *labels.items()))
        if counter is None:
            counter = self._find(metric, labels, Kind.COUNTER, self._counters, prometheus_client.Counter)
        counter.inc(amount)

    def observe(self, metric: Metric, value: float, /, **labels: str) -> None:
        """Put one measurement (in the metric's unit) into a histogram, with the bound trace as its exemplar.

        Raises CatalogueError for what the catalogue does not have.
        """
        histogram = self._histograms.get((metric.name, *labels.items()))
        if histogram is None:
            histogram = self._find(metric, labels, Kind.HISTOGRAM, self._histograms, prometheus_client.Histogram)
        trace_id = context.current().trace_id
        histogram.observe(value, None if trace_id is None else {"trace_id": trace_id})

    def set(self, metric: Metric, value: float, /, **labels: str) -> None:
        """Set a gauge, in the metric's unit. How several processes' values become one is the metric's ``merge``.

        Raises CatalogueError for what the catalogue does not have.
        """
        gauge = self._gauges.get((metric.name, *labels.items()))
        if gauge is None:
            gauge = self._find(metric, labels, Kind.GAUGE, self._gauges, prometheus_client.Gauge)
        gauge.set(value)

    def retract(self, metric: Metric, /) -> None:
        """Take back what a gauge says: each of its values is unknown (NaN) until it is set again.

        For who no longer knows: what a leader has shown would stand in its process for as long as that lives.
        """
        with self._lock:
            gauges = [gauge for key, gauge in self._gauges.items() if key[0] == metric.name]
        for gauge in gauges:
            gauge.set(math.nan)

    def event(self, event: Event, /, **fields: object) -> None:
        """Count an event and write its line, at the catalogue's level, with the ids bound in the context.

        An exception given as ``error`` is written with its traceback. Fields that are None are left out. Raises
        CatalogueError for an event or a field that the catalogue does not have. Nothing is written when the level is
        off; it is counted all the same.
        """
        known = self._fields.get(event.name)
        if known is None or not known.issuperset(fields):
            self._refuse_event(event, fields)
        self.count(metrics.EVENTS, event=event.name)
        level = _LEVELS[event.level]
        if not self._logger.isEnabledFor(level):
            return
        error = fields.get("error")
        raised = error if isinstance(error, BaseException) else None
        if raised is not None:
            fields["error"] = f"{type(raised).__name__}: {raised}"
        self._logger.log(level, event.name, exc_info=raised, extra={FIELDS_ATTRIBUTE: fields})

    def render(self, *, accept: str = "") -> tuple[str, bytes]:
        """Give the content type and body of ``/metrics``, of all processes when they share a directory.

        ``accept`` is the request's Accept header: OpenMetrics when it asks for that, else the Prometheus text format.
        """
        with self._lock:
            registry = self._open_locked()
        if self._directory is not None:
            registry = prometheus_client.CollectorRegistry()
            prometheus_multiprocess.MultiProcessCollector(registry, path=self._directory)  # type: ignore[no-untyped-call]
        encode, content_type = exposition.choose_encoder(accept)
        return content_type, encode(_WithoutCreationTimes(registry))

    def _find(
        self, metric: Metric, labels: Mapping[str, str], kind: Kind, children: dict[_Key, _Child], of: type[_Child]
    ) -> _Child:
        """Check a combination of labels that was not seen before, and remember its child."""
        _refuse_metric(metric, labels, kind)
        overflowed: list[Label] = []
        is_as_written = True
        is_first = False
        with self._lock:
            registry = self._open_locked()
            kept: dict[str, str] = {}
            for label in metric.labels:
                written = labels[label.name]
                kept[label.name] = self._bounded_locked(metric, label, written)
                if kept[label.name] == written:
                    continue
                is_as_written = False
                if not label.is_closed:
                    overflowed.append(label)
                    is_first = is_first or self._note_overflow_locked(metric, label)
            parent = self._parents.get(metric.name)
            if parent is None:
                parent = self._parents[metric.name] = _make(metric, registry)
            child = parent.labels(**kept) if metric.labels else parent
            assert isinstance(child, of), f"{metric.name} is a {kind}"
            if is_as_written:
                # Values written as `other` are not remembered: there is no bound on how many there are.
                children[(metric.name, *labels.items())] = child
        for label in overflowed:
            self.count(metrics.LABELS_OVERFLOWED, metric=metric.name)
            if is_first:
                self.event(events.LABEL_OVERFLOWED, metric=metric.name, name=label.name, bound=label.values_max)
        return child

    def _bounded_locked(self, metric: Metric, label: Label, written: str) -> str:
        """Give the value to record: the one written, or ``other``. ``_find`` holds the lock."""
        if label.is_closed:
            if written in label.values:
                return str(written)
            if OTHER in label.values:
                return OTHER
            raise CatalogueError(f"{metric.name}: {label.name} is {written!r}, not one of {label.values}")
        seen = self._seen.setdefault((metric.name, label.name), {})
        if written in seen:
            return str(written)
        if written == OTHER or len(seen) >= label.values_max:
            return OTHER
        seen[str(written)] = None
        return str(written)

    def _note_overflow_locked(self, metric: Metric, label: Label) -> bool:
        """Tell whether a label came to its bound for the first time: it is told once. ``_find`` holds the lock."""
        is_first = (metric.name, label.name) not in self._overflowed
        self._overflowed[metric.name, label.name] = None
        return is_first

    def _open_locked(self) -> prometheus_client.CollectorRegistry:
        """Make the registry at first use, with every counter whose labels are known at zero. The caller holds the lock.

        A counter that is born at 1 loses its first increase to ``rate()``; one that is there at 0 does not. Gauges are
        made when they are first set: a gauge at zero would say that the database is down.
        """
        if self._registry is not None:
            return self._registry
        directory = os.environ.get(multiprocess.ENVIRONMENT)
        if directory is not None and values.ValueClass is values.MutexValue:
            raise RuntimeError(
                f"{multiprocess.ENVIRONMENT} was set after prometheus_client was imported, too late for it; "
                "call multiprocess.prepare before importing heddle.telemetry.recorder"
            )
        self._directory = directory
        self._registry = prometheus_client.CollectorRegistry()
        for metric in metrics.ALL:
            if metric.kind is Kind.COUNTER and all(label.is_closed for label in metric.labels):
                parent = self._parents[metric.name] = _make(metric, self._registry)
                for combination in itertools.product(*(label.values for label in metric.labels)):
                    if combination:
                        parent.labels(*combination)
        return self._registry

    def _refuse_event(self, event: Event, fields: Mapping[str, object]) -> None:
        """Raise for an event or field that the catalogue lacks; remember the fields of one that it has."""
        if _EVENTS.get(event.name) is not event:
            raise CatalogueError(f"event {event.name!r} is not in the catalogue; add it to telemetry/catalog/events.py")
        known = self._fields[event.name] = frozenset(field.name for field in event.fields)
        if unknown := sorted(fields.keys() - known):
            raise CatalogueError(
                f"event {event.name} has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}"
            )


class _WithoutCreationTimes(Collector):
    """Leave out the ``_created`` series: they double the counters and nothing reads them.

    prometheus_client's own switch is for the whole process, which may be a host's.
    """

    def __init__(self, inner: Collector) -> None:
        self._inner = inner

    def collect(self) -> Iterable[Family]:
        """Give the families of the inner collector, each without its creation times."""
        for family in self._inner.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


_METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in metrics.ALL}
_EVENTS: Final[Mapping[str, Event]] = {event.name: event for event in events.ALL}


def _refuse_metric(metric: Metric, labels: Mapping[str, str], kind: Kind) -> None:
    if _METRICS.get(metric.name) is not metric:
        raise CatalogueError(f"metric {metric.name!r} is not in the catalogue; add it to telemetry/catalog/metrics.py")
    if metric.kind is not kind:
        raise CatalogueError(f"{metric.name} is a {metric.kind.value}, not a {kind.value}")
    expected = frozenset(label.name for label in metric.labels)
    if expected != labels.keys():
        raise CatalogueError(f"{metric.name} takes the labels {sorted(expected)}, not {sorted(labels)}")
    for name, value in labels.items():
        if not isinstance(value, str):
            raise CatalogueError(f"{metric.name}: label {name} is text, not {type(value).__name__}")


def _make(metric: Metric, registry: prometheus_client.CollectorRegistry) -> _Parent:
    label_names = [label.name for label in metric.labels]
    match metric.kind:
        case Kind.COUNTER:
            return prometheus_client.Counter(metric.name, metric.help, label_names, registry=registry)
        case Kind.HISTOGRAM:
            return prometheus_client.Histogram(
                metric.name, metric.help, label_names, buckets=metric.buckets, registry=registry
            )
        case Kind.GAUGE:
            assert metric.merge is not None, f"{metric.name} says how processes are merged"
            return prometheus_client.Gauge(
                metric.name, metric.help, label_names, multiprocess_mode=metric.merge.value, registry=registry
            )
        case _:
            assert_never(metric.kind)


_process: Final = Recorder()
count = _process.count
observe = _process.observe
set = _process.set  # noqa: A001 - read as recorder.set
retract = _process.retract
event = _process.event
render = _process.render


def introduce() -> None:
    """Say what is running, once per process, at its start."""
    try:
        version = importlib.metadata.version("heddle")
    except importlib.metadata.PackageNotFoundError:
        version = "source"
    set(metrics.BUILD_INFO, 1, version=version, python=platform.python_version())
