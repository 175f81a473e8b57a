"""Write the recording and alerting rules for Prometheus.

Recording rules follow Sloth's names, so that its dashboards and habits fit. The YAML is the little that rules need:
mappings, lists and quoted texts. Before it: ``catalog.slos`` and ``catalog.alerts``. After:
``ops/prometheus/rules.yml``, which promtool checks.
"""

import json
from collections.abc import Iterator
from typing import Final

from heddle.telemetry.catalog import alerts, slos
from heddle.telemetry.catalog.records import Alert, Slo

HEADER: Final = (
    "# Written by `python -m heddle.telemetry.generate` from heddle/telemetry/catalog. Changes here are lost.\n"
)
PERIOD: Final = "30d"
STATES_EVERY: Final = "15s"
"""How often states are looked at, whatever Prometheus' own interval (a minute, if not set)."""


def render(*, runbook_base: str) -> str:
    """Give the text of the rules file. ``runbook_base`` is put before ``<alert>.md`` in each alert's link."""
    lines: list[str] = ["groups:"]
    for slo in slos.ALL:
        lines += _group(f"heddle-slo-{slo.key.replace('_', '-')}", _recordings(slo))
    lines += _group("heddle-burns", (_alert(alert, runbook_base) for alert in alerts.BURNS))
    lines += _group("heddle-states", (_alert(alert, runbook_base) for alert in alerts.STATES), every=STATES_EVERY)
    return HEADER + "\n".join(lines) + "\n"


def _group(name: str, rules: Iterator[list[str]], *, every: str | None = None) -> list[str]:
    lines = [f"  - name: {name}", *([f"    interval: {every}"] if every else []), "    rules:"]
    for first, *rest in rules:
        lines.append(f"      - {first}")
        lines += [f"        {line}" for line in rest]
    return lines


def _recordings(slo: Slo) -> Iterator[list[str]]:
    labels = {"slo": slo.key}
    for window in slos.WINDOWS:
        # No valid thing in a window is no error: without the filter the ratio would be NaN and hide a later one.
        ratio = f"sum by (slo) (rate({slo.bad}[{window}])) / (sum by (slo) (rate({slo.valid}[{window}])) > 0)"
        yield _recording(f"slo:sli_error:ratio_rate{window}", ratio, labels)
    ratio_of = f'{{slo="{slo.key}"}}'
    budget = f"{1 - slo.objective:.5g}"
    yield _recording("slo:objective:ratio", f"vector({slo.objective:.7g})", labels)
    yield _recording("slo:error_budget:ratio", f"vector({budget})", labels)
    yield _recording("slo:time_period:days", f"vector({slo.window_days})", labels)
    yield _recording("slo:current_burn_rate:ratio", f"slo:sli_error:ratio_rate1h{ratio_of} / {budget}", labels)
    yield _recording("slo:period_burn_rate:ratio", f"slo:sli_error:ratio_rate{PERIOD}{ratio_of} / {budget}", labels)
    yield _recording(
        "slo:period_error_budget_remaining:ratio", f"1 - slo:sli_error:ratio_rate{PERIOD}{ratio_of} / {budget}", labels
    )


def _recording(name: str, expression: str, labels: dict[str, str]) -> list[str]:
    return [f"record: {name}", f"expr: {_text(expression)}", *_mapping("labels", labels)]


def _alert(alert: Alert, runbook_base: str) -> list[str]:
    annotations = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{runbook_base}/{alert.name}.md",
    }
    return [
        f"alert: {alert.name}",
        f"expr: {_text(alert.expression)}",
        f"for: {alert.for_s}s",
        *_mapping("labels", {"severity": alert.severity.value}),
        *_mapping("annotations", annotations),
    ]


def _mapping(name: str, values: dict[str, str]) -> list[str]:
    return [f"{name}:", *(f"  {key}: {_text(value)}" for key, value in values.items())]


def _text(text: str) -> str:
    # A JSON string is a double-quoted YAML scalar (YAML 1.2, 1.3: JSON is a subset).
    return json.dumps(text, ensure_ascii=False)
