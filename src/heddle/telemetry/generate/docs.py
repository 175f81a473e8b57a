"""Write the reference of metrics, events, spans, objectives and alerts, and one page for each runbook, as Markdown.

The words are the catalogue's. Before it: ``catalog``. After: ``docs/reference/telemetry.md`` and ``docs/runbooks/``.
"""

from collections.abc import Iterable
from typing import Final

from heddle.telemetry.catalog import alerts, events, metrics, runbooks, slos, spans
from heddle.telemetry.catalog.records import Action, Alert, Event, Label, Metric, Runbook, Slo, Span
from heddle.telemetry.catalog.runbooks import commands

NOTE: Final = "<!-- Written by `python -m heddle.telemetry.generate`. Change the catalogue, not this file. -->"


def reference() -> str:
    """Give the text of the reference page."""
    parts = [
        NOTE,
        "# Telemetry",
        (
            "Everything Heddle tells about itself, from `heddle/telemetry/catalog`. The recorder refuses all else. "
            "Metrics are at `/metrics`; several processes are added up. Ids of runs, steps and tenants are in logs and "
            "spans, never in labels."
        ),
        "## Metrics",
        _table(("Name", "Kind", "Unit", "Labels", "Meaning"), map(_metric, metrics.ALL)),
        "### Labels",
        _table(("Label", "Values", "Meaning"), map(_label, _labels())),
        "### Buckets",
        _table(("Histogram", "Upper bounds", "Source"), (_buckets(each) for each in metrics.ALL if each.buckets)),
        "## Events",
        (
            "One line each, as JSON or readable text, with `ts`, `level`, `event`, and `run_id`, `step`, `attempt`, "
            "`tenant`, `trace_id`, `span_id` where they are known. Secrets are redacted."
        ),
        _table(("Event", "Level", "Fields", "Meaning"), map(_event, events.ALL)),
        "## Spans",
        (
            "Not written yet: the names that traces will have. A trace is followed by its id until then: a caller's "
            "`traceparent` is kept with the run, and log lines of the door and of its steps carry it."
        ),
        _table(("Name", "Kind", "Attributes", "Links", "Meaning"), map(_span, spans.ALL)),
        "## Objectives",
        _table(("Objective", "Share", "Window", "Good", "Valid"), map(_slo, slos.ALL)),
        "## Alerts",
        _table(("Alert", "Severity", "After", "What it says"), map(_alert, alerts.ALL)),
    ]
    return "\n\n".join(parts) + "\n"


def runbook_pages() -> dict[str, str]:
    """Give the text of each runbook page, and of their index, by file name."""
    by_name = {alert.name: alert for alert in alerts.ALL}
    pages = {f"{runbook.alert}.md": _runbook(runbook, by_name[runbook.alert]) for runbook in runbooks.ALL}
    rows = ((f"[{alert.name}]({alert.name}.md)", alert.severity.value, _cell(alert.summary)) for alert in alerts.ALL)
    variables = ", ".join(f"`{name}`" for name in commands.VARIABLES)
    pages["README.md"] = (
        "\n\n".join(
            (
                NOTE,
                "# Runbooks",
                f"One page for each alert. Commands take {variables} from the shell; what changes something says so.",
                (
                    "A run is shown to a key of its own tenant alone; "
                    "`heddle keys create --tenant NAME --name runbooks` makes one."
                ),
                (
                    "Where workers run apart from the web server, what only workers know is at each worker's own "
                    "`/metrics` ([operations](../operations.md#what-to-look-at)), not at that of `HEDDLE_API_URL`."
                ),
                _table(("Alert", "Severity", "What it says"), rows),
            )
        )
        + "\n"
    )
    return pages


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _metric(metric: Metric) -> tuple[str, ...]:
    carried = ", ".join(f"`{label.name}`" for label in metric.labels) or "none"
    return f"`{metric.name}`", metric.kind.value, metric.unit, carried, _cell(metric.help)


def _labels() -> tuple[Label, ...]:
    found = {(label.name, label.values): label for metric in metrics.ALL for label in metric.labels}
    return tuple(found[key] for key in sorted(found))


def _label(label: Label) -> tuple[str, ...]:
    values = ", ".join(f"`{value}`" for value in label.values)
    return f"`{label.name}`", values or f"at most {label.values_max}, then `other`", _cell(label.meaning)


def _buckets(metric: Metric) -> tuple[str, ...]:
    return f"`{metric.name}`", ", ".join(f"{bound:g}" for bound in metric.buckets), _cell(metric.buckets_source)


def _event(event: Event) -> tuple[str, ...]:
    fields = ", ".join(f"`{field.name}` ({field.meaning})" for field in event.fields)
    return f"`{event.name}`", event.level.value, _cell(fields) or "none", _cell(event.meaning)


def _span(span: Span) -> tuple[str, ...]:
    attributes = ", ".join(f"`{attribute.name}` ({attribute.requirement.value})" for attribute in span.attributes)
    return f"`{span.name}`", span.kind, attributes, _cell(span.links), _cell(span.meaning)


def _slo(slo: Slo) -> tuple[str, ...]:
    return slo.title, f"{slo.objective:.5%}", f"{slo.window_days} days", _cell(slo.good), _cell(slo.valid_meaning)


def _alert(alert: Alert) -> tuple[str, ...]:
    return (
        f"[{alert.name}](../runbooks/{alert.name}.md)",
        alert.severity.value,
        f"{alert.for_s} s",
        _cell(alert.summary),
    )


def _runbook(runbook: Runbook, alert: Alert) -> str:
    opening = (
        f"- **What the user feels:** {runbook.user_feels}",
        f"- **How to see it:** {runbook.see_it}",
        f"- **How to stop it:** {runbook.stop_it}",
        f"- **How to mend it:** {runbook.mend_it}",
    )
    parts = [
        NOTE,
        f"# {runbook.alert}",
        f"Severity **{alert.severity.value}**. {alert.description}",
        "\n".join(opening),
        f"## Meaning\n\n{runbook.meaning}",
        f"```promql\n{alert.expression}\n```",
        f"## Impact\n\n{runbook.impact}",
        "## Diagnosis\n\nThese commands change nothing.",
        *_actions(runbook.diagnosis),
        "## Mitigation",
        *_actions(runbook.mitigation),
        "## Verification",
        *_actions(runbook.verification),
        f"## Escalation\n\n{runbook.escalation}",
    ]
    return "\n\n".join(parts) + "\n"


def _actions(actions: tuple[Action, ...]) -> Iterable[str]:
    for number, action in enumerate(actions, start=1):
        lines = [f"{number}. {action.text}"]
        for command in action.commands:
            effect = "" if command.is_read_only else "Changes something. "
            lines += ["", "   ```sh", f"   {command.line}", "   ```", "", f"   {effect}Expect: {command.expect}"]
        yield "\n".join(lines)
