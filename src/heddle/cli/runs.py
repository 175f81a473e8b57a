"""`heddle runs …`: start, list, show, watch, cancel and signal runs through the HTTP API, as any customer does."""

import argparse
import json
import mimetypes
import pathlib
import sys
import time
import urllib.parse
import uuid
from typing import Any

from heddle.cli import bulk, complaints, given_json, progress, remote, table

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})
POLL_S = 0.5
OUTAGE_MAX_S = 120.0
UPLOAD_BYTES_MAX = 2 * 1024**3
_MARKS = {"succeeded": "✓", "failed": "✗", "cancelled": "✗", "expired": "✗", "skipped": "·"}


def submit(given: argparse.Namespace) -> int:
    """Start a run, its artifacts uploaded first; with --watch, see it to its end."""
    api = remote.here()
    arguments = given_json.read(given.input, option="--input")
    if not isinstance(arguments, dict):
        raise complaints.CommandRefused("--input must be a JSON object: the workflow's arguments by name")
    for text in given.artifact:
        name, path = _pair(text, option="--artifact")
        arguments[name] = {"id": _upload(api, pathlib.Path(path))["id"]}
    body: dict[str, Any] = {"workflow": given.workflow, "input": arguments}
    body["labels"] = dict(_pair(text, option="--label") for text in given.label)
    chosen = {"priority": given.priority, "deadline_s": given.deadline_s, "max_cost_usd": given.max_cost_usd}
    body |= {name: value for name, value in chosen.items() if value is not None}
    key = given.idempotency_key or f"cli-{uuid.uuid4()}"
    run = _once(api, "/v1/runs", body, key)
    if given.watch:
        return _watch(api, run["id"], is_json=given.json)
    if given.json:
        _print_json(run)
    else:
        print(run["id"])
        print(f"{run['workflow']} is {run['shown_state']}; heddle runs watch {run['id']}", file=sys.stderr)
    return complaints.Exit.DONE


def index(given: argparse.Namespace) -> int:
    """List runs."""
    label = None
    if given.label is not None:
        label = ":".join(_pair(given.label, option="--label"))
    query = {"workflow": given.workflow, "state": given.state, "label": label, "limit": given.limit}
    page = remote.here().get("/v1/runs", cursor=given.cursor, **query)
    if given.json:
        _print_json(page)
        return complaints.Exit.DONE
    rows = [
        (
            run["id"],
            run["workflow"],
            run["shown_state"],
            _steps(run["steps"]),
            f"${run['cost']}",
            run["created_at"][:19],
        )
        for run in page["items"]
    ]
    print(table.columns(rows, heads=("ID", "WORKFLOW", "STATE", "STEPS", "COST", "CREATED (UTC)")))
    if page["next_cursor"]:
        print(f"more: --cursor {page['next_cursor']}", file=sys.stderr)
    return complaints.Exit.DONE


def show(given: argparse.Namespace) -> int:
    """Show one run with its steps, and what it waits for."""
    api = remote.here()
    path = _path(given.run_id)
    run = api.get(path)
    page = api.get(f"{path}/steps", limit=given.limit, cursor=given.cursor)
    steps = page["items"]
    if given.json:
        _print_json({**run, "calls": steps, "next_cursor": page["next_cursor"]})
        return complaints.Exit.DONE
    _print_run(run)
    if run["state"] not in TERMINAL:
        print(f"waits:    {api.get(f'{path}/why')['why']}")
    rows = [
        (
            f"{_MARKS.get(step['state'], '…')} {step['ordinal']}",
            step["kind"],
            step["name"],
            step["state"],
            str(len(step["attempts"])),
            f"${step['cost']}",
            "" if step["fault"] is None else f"{step['fault']['fault']}: {step['fault']['message']}"[:100],
        )
        for step in steps
    ]
    if rows:
        print()
        print(table.columns(rows, heads=("  #", "KIND", "NAME", "STATE", "TRIES", "COST", "FAULT")))
    if page["next_cursor"]:
        print(f"{len(steps)} of {run['steps']['total']} calls; more: --cursor {page['next_cursor']}", file=sys.stderr)
    return complaints.Exit.DONE


def watch(given: argparse.Namespace) -> int:
    """Show the progress of a run until it is over."""
    return _watch(remote.here(), given.run_id, is_json=given.json)


def cancel(given: argparse.Namespace) -> int:
    """Ask a run to stop, or every run of a filter; what is over stays as it is."""
    if bulk.is_asked(given):
        return bulk.carry_out(remote.here(), given, action="cancel")
    answer = remote.here().send("POST", f"{_path(given.run_id)}/cancel")
    run = answer.json()
    if given.json:
        _print_json(run)
    elif answer.status == 202:
        print(f"{run['id']}: asked to stop; it is {run['shown_state']}")
    else:
        print(f"{run['id']}: it is over already, {run['state']}")
    return complaints.Exit.DONE


def retry(given: argparse.Namespace) -> int:
    """Try the failed steps of a run again, or of every failed or expired run of a filter."""
    if bulk.is_asked(given):
        return bulk.carry_out(remote.here(), given, action="retry")
    run = remote.here().send("POST", f"{_path(given.run_id)}/retry").json()
    if given.json:
        _print_json(run)
    else:
        print(f"{run['id']}: tried again; it is {run['shown_state']}")
    return complaints.Exit.DONE


def signal(given: argparse.Namespace) -> int:
    """Send a run a signal."""
    value = given_json.read(given.value, option="--value")
    key = given.idempotency_key or f"cli-{uuid.uuid4()}"
    path = f"{_path(given.run_id)}/signals/{urllib.parse.quote(given.name, safe='')}"
    answer = _once(remote.here(), path, value, key)
    if given.json:
        _print_json(answer)
    else:
        print(f"{given.run_id}: signal {given.name} is kept for it; heddle why {given.run_id}")
    return complaints.Exit.DONE


def reprioritise(given: argparse.Namespace) -> int:
    """Give a run another class, or every run of a filter."""
    bulk.is_asked(given)
    return bulk.carry_out(remote.here(), given, action="reprioritise", priority=given.to)


def _watch(api: remote.Api, run_id: str, *, is_json: bool) -> int:
    """Poll until the run is over, the last of its chain when it went on as another; a service that is away for less
    than two minutes is waited for.
    """
    path = _path(run_id)
    lost_since_s: float | None = None
    with progress.Progress(sys.stderr, is_quiet=is_json) as bar:
        while True:
            try:
                run = api.get(path)
                lost_since_s = None
            except remote.Unreachable as error:
                now_s = time.monotonic()
                lost_since_s = now_s if lost_since_s is None else lost_since_s
                if now_s - lost_since_s > OUTAGE_MAX_S:
                    raise
                time.sleep(error.retry_after_s or POLL_S)
                continue
            if run["continued_last"] is not None:
                path = _path(run["continued_last"])
                continue
            is_over = run["state"] in TERMINAL
            bar.show(_standing(run), is_last=is_over)
            if is_over:
                break
            time.sleep(POLL_S)
    if is_json:
        _print_json(run)
    else:
        _print_run(run)
    return complaints.Exit.DONE if run["state"] == "succeeded" else complaints.Exit.UNWELL


def _standing(run: dict[str, Any]) -> progress.Standing:
    steps = run["steps"]
    return progress.Standing(
        title=run["workflow"],
        done=steps["done"],
        running=steps["running"],
        waiting=steps["waiting"],
        failed=steps["failed"],
        total=steps["total"],
        note=f"{run['shown_state']} | ${run['cost']}",
    )


def _print_run(run: dict[str, Any]) -> None:
    print(f"run:      {run['id']}")
    print(f"workflow: {run['workflow']} (version {run['version']})")
    print(f"state:    {run['shown_state']}")
    print(f"steps:    {_steps(run['steps'])}, {run['steps']['attempts']} attempts, {run['steps']['retries']} retries")
    print(f"cost:     ${run['cost']}")
    if run["continued_last"] is not None:
        print(f"went on:  as {run['continued_last']}")
    if run["degraded"]:
        print(f"degraded: a fallback answered; it cost ${run['price_difference']} more than the first choice")
    if run.get("error"):
        fault = f"{run['error'].get('fault', '')}: {run['error'].get('message', '')}"
        print(f"error:    {table.line(fault)}")
    if run.get("output") is not None:
        print(f"output:   {json.dumps(run['output'], indent=2)}")


def _steps(steps: dict[str, int]) -> str:
    return f"{steps['done']}/{steps['total']}"


def _once(api: remote.Api, path: str, body: Any, key: str) -> Any:
    """Send what must not happen twice; where no answer came, say how to ask again without risk."""
    try:
        return api.post(path, body, {"Idempotency-Key": key}).json()
    except remote.Unreachable as error:
        again = f"{error}; the same command with --idempotency-key {key} does it once, whether or not this was taken"
        raise remote.Unreachable(again, retry_after_s=error.retry_after_s) from error


def _path(run_id: str) -> str:
    return f"/v1/runs/{remote.segment(run_id)}"


def _pair(text: str, *, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise complaints.CommandRefused(f"{option} is {text!r}; it must be of the form NAME=VALUE")
    return name, value


def _upload(api: remote.Api, path: pathlib.Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > UPLOAD_BYTES_MAX:
            raise complaints.CommandRefused(f"--artifact {path} has over {UPLOAD_BYTES_MAX} bytes; send less")
        content = path.read_bytes()
    except OSError as error:
        raise complaints.CommandRefused(f"--artifact {path} cannot be read: {error.strerror or error}") from error
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    stored: dict[str, Any] = api.send(
        "POST", "/v1/artifacts", content=content, headers={"Content-Type": media_type}
    ).json()
    return stored


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))
