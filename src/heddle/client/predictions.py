"""Show a run of one call as Replicate shows a prediction: in the answers of the gateway, and in its webhooks.

A run is a prediction when it calls one model and came in by the gateway's door for them, which says so in a label. The
object is that of Replicate's HTTP reference and its client 1.0.7 (WIRE.md 8.2). Nothing is read here. Before it:
``ports.records``. After it: ``gateway.replicate_door`` and ``letters``.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from heddle.client import links as links_module
from heddle.config import settings
from heddle.core import plan, run
from heddle.ports import records

LABEL, DOOR = "gateway", "replicate"
EVENTS = frozenset({"start", "output", "logs", "completed"})
TOLD = "completed"
"""The one event of a prediction that is delivered; the others tell of progress, which is not kept."""
_STATUSES = {
    run.RunState.QUEUED: "starting",
    run.RunState.RUNNING: "processing",
    run.RunState.SUCCEEDED: "succeeded",
    run.RunState.FAILED: "failed",
    run.RunState.EXPIRED: "failed",
    run.RunState.CANCELLED: "canceled",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Say where customers reach the gateway (``links.root_url``) and people the console."""

    links: links_module.Links
    console_url: str


def places(limits: settings.Settings, *, public_url: str, now_s: Callable[[], float]) -> Places:
    """Give the places that settings name. public_url: where the API is reached, without a slash at the end."""
    links = links_module.Links(
        root_url=(limits.gateway_url or f"http://{limits.gateway_host}:{limits.gateway_port}").rstrip("/"),
        secret_key=limits.secret_key,
        lasts_s=limits.gateway_link_s,
        now_s=now_s,
    )
    return Places(links=links, console_url=f"{public_url}/console")


def is_prediction(view: records.RunView) -> bool:
    """Tell whether whoever made a run knows it as a prediction."""
    return view.labels.get(LABEL) == DOOR and run.called_model(view.workflow) is not None


def shown(view: records.RunView, *, places: Places) -> dict[str, Any]:
    """Show a run as a prediction; its files become links of ``view.tenant``."""
    root = f"{places.links.root_url}/v1/predictions/{view.id}"
    status = _STATUSES[view.state]
    if view.state is run.RunState.RUNNING and view.steps.attempts == 0 and view.shown_state == "waiting":
        status = "starting"
    metrics: dict[str, float] = {}
    if view.finished_at is not None:
        metrics["total_time"] = (view.finished_at - view.created_at).total_seconds()
        metrics["predict_time"] = (view.finished_at - (view.started_at or view.created_at)).total_seconds()
    return {
        "id": str(view.id),
        "model": run.called_model(view.workflow) or view.workflow,
        "version": "hidden",
        "input": _public(view.input, view.tenant, places),
        "output": _public(view.output, view.tenant, places),
        "error": None if view.error is None else str(view.error.get("message", "")),
        "logs": "",
        "status": status,
        "metrics": metrics,
        "data_removed": False,
        "created_at": view.created_at.isoformat().replace("+00:00", "Z"),
        "started_at": None if view.started_at is None else view.started_at.isoformat().replace("+00:00", "Z"),
        "completed_at": None if view.finished_at is None else view.finished_at.isoformat().replace("+00:00", "Z"),
        "urls": {"get": root, "cancel": f"{root}/cancel", "web": f"{places.console_url}/runs/{view.id}"},
    }


def _public(value: Any, tenant: str, places: Places) -> Any:
    """Give a run's value with its files, which it shows as records, as links."""
    return places.links.linked(tenant, links_module.marked(plan.sendable(value)))
