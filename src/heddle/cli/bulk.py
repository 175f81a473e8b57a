"""`heddle runs cancel|retry|reprioritise` with a filter: start a bulk operation over HTTP and watch it to its end; show
and stop one.

The workers carry it out; ending this command does not end it, `heddle operations stop` does. Before it: a person or a
script. After it: the contract under /v1/operations.
"""

import argparse
import json
import sys
import time
import urllib.parse
from typing import Any

from heddle.cli import complaints, progress, remote, table

POLL_S = 0.5
OUTAGE_MAX_S = 120.0
_FILTERS = ("workflow", "state", "fault", "created_after", "created_before")


def is_asked(given: argparse.Namespace) -> bool:
    """Tell whether the runs are a bulk operation's: many, or one of which more is asked than to be steered at once.

    Raises CommandRefused when one and many are named, or none.
    """
    narrows = [name for name in (*_FILTERS, "label") if getattr(given, name) is not None]
    if given.run_id is not None and narrows:
        raise complaints.CommandRefused(f"name one run or filters, not both: {given.run_id}, --{narrows[0]}")
    if given.run_id is None and not narrows:
        raise complaints.CommandRefused("name a run, or say which runs are meant: --workflow, --state, --label, …")
    return given.run_id is None or given.dry_run or given.tenant is not None


def carry_out(api: remote.Api, given: argparse.Namespace, *, action: str, priority: str | None = None) -> int:
    """Start the operation, or tell what it would do."""
    where = {name: getattr(given, name) for name in _FILTERS if getattr(given, name) is not None}
    if given.run_id is not None:
        where["run_ids"] = [given.run_id]
    if given.label is not None:
        name, equals, value = given.label.partition("=")
        if not (name and equals):
            raise complaints.CommandRefused(f"--label is {given.label!r}; it must be of the form NAME=VALUE")
        where["label"] = f"{name}:{value}"
    body: dict[str, Any] = {"action": action, "filter": where, "dry_run": given.dry_run}
    body |= {key: value for key, value in (("priority", priority), ("tenant", given.tenant)) if value is not None}
    answer = api.post("/v1/operations", body).json()
    if given.dry_run:
        return _show_preview(answer, action=action, is_json=given.json)
    if given.no_wait:
        print(json.dumps(answer, indent=2) if given.json else answer["id"])
        return complaints.Exit.DONE
    query = {} if given.tenant is None else {"tenant": given.tenant}
    return _watch(api, answer, query, run_id=given.run_id, is_json=given.json)


def show(given: argparse.Namespace) -> int:
    """Show how far an operation is."""
    return _tell(remote.here().get(_path(given.id), tenant=given.tenant), is_json=given.json)


def stop(given: argparse.Namespace) -> int:
    """End an operation after its present chunk; what it did stays."""
    api = remote.here()
    query = "" if given.tenant is None else f"?{urllib.parse.urlencode({'tenant': given.tenant})}"
    api.send("POST", f"{_path(given.id)}/stop{query}")
    return _tell(api.get(_path(given.id), tenant=given.tenant), is_json=given.json)


def _tell(operation: dict[str, Any], *, is_json: bool) -> int:
    if is_json:
        print(json.dumps(operation, indent=2))
    else:
        print(
            f"{operation['action']}: {operation['state']}, {operation['changed']} runs changed, "
            f"{operation['unchanged']} were over already, {operation['looked_at']} looked at, "
            f"{operation['progress']:.0%} of the way"
        )
        _tell_reason(operation)
    return complaints.Exit.DONE


def _tell_reason(operation: dict[str, Any]) -> None:
    if operation.get("reason"):
        print(f"heddle: {operation['id']} was stopped: {table.line(operation['reason'])}", file=sys.stderr)


def _path(operation_id: str) -> str:
    return f"/v1/operations/{remote.segment(operation_id)}"


def _show_preview(answer: dict[str, Any], *, action: str, is_json: bool) -> int:
    if is_json:
        print(json.dumps(answer, indent=2))
        return complaints.Exit.DONE
    bound = "" if answer["is_whole"] else "at least "
    print(f"{action}: {bound}{answer['matched']} runs of {answer['looked_at']} looked at; nothing was done")
    for run_id in answer["sample"]:
        print(f"  {run_id}")
    return complaints.Exit.DONE


def _watch(
    api: remote.Api, operation: dict[str, Any], query: dict[str, str], *, run_id: str | None, is_json: bool
) -> int:
    """Ask until it is over; a service that is away for less than two minutes is waited for."""
    try:
        operation = _to_the_end(api, operation, query, is_json=is_json)
    except KeyboardInterrupt:
        print(
            f"the operation goes on without this command; `heddle operations stop {operation['id']}` ends it",
            file=sys.stderr,
        )
        raise
    if is_json:
        print(json.dumps(operation, indent=2))
    else:
        print(
            f"{operation['action']}: {operation['changed']} runs changed, {operation['unchanged']} were over already, "
            f"{operation['looked_at']} looked at"
        )
        _tell_reason(operation)
    if run_id is not None and operation["matched"] == 0:
        print(f"heddle: there is no run {run_id} that this could be done to; it may be over", file=sys.stderr)
        return complaints.Exit.UNWELL
    return complaints.Exit.DONE if operation["state"] == "done" else complaints.Exit.UNWELL


def _to_the_end(api: remote.Api, operation: dict[str, Any], query: dict[str, str], *, is_json: bool) -> dict[str, Any]:
    lost_since_s: float | None = None
    with progress.Progress(sys.stderr, is_quiet=is_json) as bar:
        while True:
            is_over = operation["state"] in ("done", "stopped")
            bar.show(_standing(operation), is_last=is_over)
            if is_over:
                return operation
            time.sleep(POLL_S)
            try:
                found: dict[str, Any] = api.get(_path(operation["id"]), **query)
                operation, lost_since_s = found, None
            except remote.Unreachable:
                now_s = time.monotonic()
                lost_since_s = now_s if lost_since_s is None else lost_since_s
                if now_s - lost_since_s > OUTAGE_MAX_S:
                    raise


def _standing(operation: dict[str, Any]) -> progress.Standing:
    """Show how far it is in thousandths of its time span: how many runs there are is not known before the end."""
    done = int(operation["progress"] * 1_000)
    return progress.Standing(
        title=operation["action"],
        done=done,
        running=0,
        waiting=1_000 - done,
        failed=0,
        total=1_000,
        note=f"{operation['changed']} changed of {operation['matched']} matched",
    )
