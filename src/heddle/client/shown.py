"""Write a run, or a call of unknown outcome, as the JSON of the contract, for whoever shows one: HTTP, webhooks, shell.

Times are RFC 3339 in UTC, money is a decimal string. Reads nothing and decides nothing; the same record always gives
the same members. Before it: ``ports``. After it: ``heddle.api.render`` and ``letters``.
"""

import datetime
from typing import Any

from heddle.client import money
from heddle.ports import operators, records


def instant(at: datetime.datetime | None) -> str | None:
    """Write a time as RFC 3339 in UTC with microseconds."""
    return None if at is None else at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def run(view: records.RunView, *, root: str, has_values: bool = True) -> dict[str, Any]:
    """Write a run. root: the path of ``/v1/runs``.

    has_values: input and output too; lists and first answers leave them out.
    """
    path = f"{root}/{view.id}"
    body: dict[str, Any] = {
        "id": str(view.id),
        "workflow": view.workflow,
        "version": view.version,
        "state": view.state.value,
        "shown_state": view.shown_state,
        "priority": view.priority.value,
        "error": None if view.error is None else dict(view.error),
        "degraded": view.is_degraded,
        "price_difference": money.usd(view.price_difference_nano_usd),
        "cost": money.usd(view.cost_nano_usd),
        "steps": step_counts(view.steps),
        "labels": dict(view.labels),
        "created_at": instant(view.created_at),
        "started_at": instant(view.started_at),
        "finished_at": instant(view.finished_at),
        "deadline_at": instant(view.deadline_at),
        "cancel_requested_at": instant(view.cancel_requested_at),
        "parent_run": None if view.parent_run is None else str(view.parent_run),
        "continued_from": None if view.continued_from is None else str(view.continued_from),
        "continued_as": None if view.continued_as is None else str(view.continued_as),
        "continued_last": None if view.continued_last is None else str(view.continued_last),
        "links": {
            "self": path,
            "steps": f"{path}/steps",
            "events": f"{path}/events",
            "why": f"{path}/why",
            "cancel": f"{path}/cancel",
            "retry": f"{path}/retry",
        },
    }
    if has_values:
        body["input"] = view.input
        body["output"] = view.output
    return body


def step_counts(counts: records.StepCounts) -> dict[str, int]:
    """Write how many calls are where."""
    return {
        "total": counts.total,
        "done": counts.done,
        "running": counts.running,
        "waiting": counts.waiting,
        "failed": counts.failed,
        "attempts": counts.attempts,
        "retries": counts.retries,
    }


def unknown_calls(page: operators.UnknownPage) -> dict[str, Any]:
    """Write a page of calls whose outcome nobody knows."""
    return {
        "items": [unknown_call(view) for view in page.calls],
        "next_cursor": None if page.following is None else str(page.following),
    }


def unknown_call(view: operators.UnknownCall) -> dict[str, Any]:
    """Write one call whose outcome nobody knows: ``run`` and ``step`` are what it is settled by."""
    return {
        "run": str(view.attempt.run_id),
        "step": view.attempt.ordinal,
        "attempt": view.attempt.number,
        "tenant": view.tenant,
        "workflow": view.workflow,
        "model": view.model,
        "endpoint": view.endpoint,
        "handle": view.handle,
        "price": None if view.price_nano_usd is None else money.usd(view.price_nano_usd),
        "unknown_since": instant(view.since),
        "looked_up_now": view.is_looked_up,
        "next_look_at": instant(view.next_look_at),
    }
