"""`heddle endpoints`: show every route with what its calls came to, through the HTTP API."""

import argparse
import json
from typing import Any

from heddle.cli import complaints, remote, table

_HEADS = (
    "ENDPOINT",
    "MODEL",
    "TIER",
    "WEIGHT",
    "CANARY",
    "BREAKER",
    "CALLS",
    "OK",
    "UNKNOWN",
    "THROTTLED",
    "REFUSED",
    "NO CALLBACK",
    "P50",
    "P95",
    "P99",
    "QUEUE P95",
    "USD/OK",
)


def index(given: argparse.Namespace) -> int:
    """List routes with their scorecards."""
    page = remote.here().get("/v1/endpoints")
    if given.json:
        print(json.dumps(page, indent=2))
        return complaints.Exit.DONE
    rows = [_row(endpoint, route) for endpoint in page["items"] for route in endpoint["routes"]]
    print(table.columns(rows, heads=_HEADS))
    return complaints.Exit.DONE


def _row(endpoint: dict[str, Any], route: dict[str, Any]) -> tuple[str, ...]:
    score, canary = route["score"], route["canary"]
    return (
        endpoint["name"],
        route["model"],
        str(route["tier"]),
        f"{route['weight_now']:.3g}",
        "" if canary is None else canary["state"],
        "paused" if endpoint["paused"] else endpoint["breaker"],
        f"{score['calls']:.0f}",
        _share(score["success_rate"]),
        _share(score["ambiguous_rate"]),
        _share(score["throttled_rate"]),
        _share(score["quality_refused_rate"]),
        _share(score["missed_callback_rate"]),
        _time(score["latency_p50_s"]),
        _time(score["latency_p95_s"]),
        _time(score["latency_p99_s"]),
        _time(score["queue_p95_s"]),
        "-" if score["cost_per_accepted_usd"] is None else score["cost_per_accepted_usd"],
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _time(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} s"
