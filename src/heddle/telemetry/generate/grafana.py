"""Write the dashboards in Grafana's form.

Every panel has a unit, a meaning and a job matcher; the data source, the job and nothing else are variables. Before it:
``catalog.dashboards``. After: ``ops/grafana/heddle.json``, to be imported or provisioned.
"""

import json
from typing import Final

from heddle.telemetry.catalog import expressions
from heddle.telemetry.catalog.records import Dashboard, Panel

SCHEMA_VERSION: Final = 39
"""The dashboard schema of Grafana 10.4 and later, which migrate older ones themselves."""
COLUMNS: Final = 24
PANEL_WIDTH: Final = 8
PANEL_HEIGHT: Final = 7
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
JOB: Final = 'job=~"$job"'


def render(dashboard: Dashboard) -> str:
    """Give the JSON of one dashboard."""
    panels: list[dict[str, object]] = []
    top = 0
    for row in dashboard.rows:
        panels.append(
            {
                "type": "row",
                "id": len(panels) + 1,
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
                "panels": [],
            }
        )
        top += 1
        per_line = COLUMNS // PANEL_WIDTH
        for place, panel in enumerate(row.panels):
            line, column = divmod(place, per_line)
            panels.append(_panel(panel, number=len(panels) + 1, x=column * PANEL_WIDTH, y=top + line * PANEL_HEIGHT))
        top += -(-len(row.panels) // per_line) * PANEL_HEIGHT
    board = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.meaning,
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "tags": ["heddle"],
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": _variables()},
        "panels": panels,
    }
    return json.dumps(board, indent=2, ensure_ascii=False) + "\n"


def _variables() -> list[dict[str, object]]:
    return [
        {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "job",
            "label": "Job",
            "type": "query",
            "datasource": SOURCE,
            "query": "label_values(heddle_build_info, job)",
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _panel(panel: Panel, *, number: int, x: int, y: int) -> dict[str, object]:
    steps: list[dict[str, object]] = [{"color": "green", "value": None}]
    if panel.danger_above is not None:
        steps.append({"color": "red", "value": panel.danger_above})
    custom = {"thresholdsStyle": {"mode": "off" if panel.danger_above is None else "line"}, "fillOpacity": 8}
    return {
        "type": "timeseries",
        "id": number,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": PANEL_WIDTH, "h": PANEL_HEIGHT},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": _with_job(query.expression),
                "legendFormat": query.legend,
            }
            for place, query in enumerate(panel.queries)
        ],
    }


def _with_job(expression: str) -> str:
    # Recorded objectives are summed over jobs and carry none.
    return expression if expression.startswith("slo:") else expressions.with_matcher(expression, JOB)
