"""Serve runs: start one or many, show, list, explain, cancel, retry, signal.

Thin: a body becomes a request record, the client does the work, a record becomes JSON. What is decided here is HTTP's
alone: which first answer a replay repeats, and who may hold a thread while waiting. Before it: the web server. After:
``heddle.client``.
"""

import dataclasses
import re
from typing import Any

import django.http
import ninja

from heddle import client
from heddle.api import auth, bodies, forms, problems, render
from heddle.api.room import Room, pause, room
from heddle.client import admission, pages
from heddle.core import run
from heddle.ports import records, spending

router = ninja.Router(tags=["runs"])

_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?:;[^,]*)?(?=,|$)", re.IGNORECASE)
_KEY_FIELD = "Idempotency-Key"


@router.post(
    "/runs",
    auth=auth.writes,
    summary="Start a run",
    openapi_extra=forms.body_of(forms.RunForm, description="Headers: Idempotency-Key, Prefer: wait=N, traceparent."),
)
def start(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """Start a run: 202, or 200 when it is over within `Prefer: wait`; a replay repeats the first answer."""
    here = room()
    key = _idempotency_key(request, here)
    form = bodies.read_form(request, forms.RunForm, bytes_max=here.heddle.limits.request_bytes_max)
    return _started(request, here, form.request(idempotency_key=key, traceparent=request.headers.get("traceparent")))


@router.post(
    "/models/{name}/infer",
    auth=auth.writes,
    summary="Call one model",
    openapi_extra=forms.body_of(forms.InferForm, description="Headers: Idempotency-Key, Prefer: wait=N, traceparent."),
)
def infer(request: django.http.HttpRequest, name: str) -> django.http.HttpResponse:
    """Call one model by itself: a run of this call alone, answered as `POST /v1/runs` answers."""
    here = room()
    key = _idempotency_key(request, here)
    form = bodies.read_form(request, forms.InferForm, bytes_max=here.heddle.limits.request_bytes_max)
    traceparent = request.headers.get("traceparent")
    return _started(request, here, form.request_of(f"model:{name}", idempotency_key=key, traceparent=traceparent))


def _started(request: django.http.HttpRequest, here: Room, asked: client.RunRequest) -> django.http.HttpResponse:
    """Submit a request and answer it, at once or within its `Prefer: wait`."""
    tenant, key, root = auth.tenant_of(request), asked.idempotency_key, _root(request)
    # The first answer is written with the run: nothing can leave the key without one.
    submitted = here.heddle.submit_request(
        asked, tenant=tenant, answer=lambda view: _accepted(view, root, here.heddle.quote(view.workflow))
    )
    if submitted.is_replay and submitted.answer is not None:
        return _first_answer(submitted.answer, is_replay=True)
    stored = _accepted(submitted.run, root, here.heddle.quote(submitted.run.workflow))
    wait_s = wait_of(request, limit_s=here.heddle.limits.wait_max_s)
    if submitted.is_replay or wait_s is None:
        return _first_answer(stored, is_replay=submitted.is_replay)
    return _waited(request, here, tenant, key, stored, submitted.run, wait_s)


@router.post(
    "/runs/batch",
    auth=auth.writes,
    summary="Start many runs",
    openapi_extra=forms.body_of(forms.BatchForm, description="At most 1,000 items; one outcome per item, in order."),
)
def start_many(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """Start up to 1,000 runs in one transaction; 200 with one outcome per item, in order."""
    here = room()
    if _KEY_FIELD in request.headers:
        raise problems.Refusal(
            "idempotency_key_not_allowed", "A batch has an idempotency_key per item, not one for all."
        )
    limits = here.heddle.limits
    form = bodies.read_form(request, forms.BatchForm, bytes_max=limits.request_bytes_max)
    if not 1 <= len(form.items) <= limits.batch_items_max:
        message = f"has {len(form.items)} entries; a batch has 1 to {limits.batch_items_max}"
        raise problems.invalid([client.Problem(field="items", message=message)])
    readings = [_read_item(item, here, request.headers.get("traceparent")) for item in form.items]
    requests = [reading for reading in readings if isinstance(reading, client.RunRequest)]
    outcomes = iter(here.heddle.submit_many(requests, tenant=auth.tenant_of(request)))
    root = _root(request)
    items = [
        _outcome(next(outcomes) if isinstance(reading, client.RunRequest) else reading, root) for reading in readings
    ]
    return render.answer({"items": items})


@router.get("/runs", auth=auth.reads, summary="List runs, newest first")
def index(request: django.http.HttpRequest, query: ninja.Query[forms.RunQuery]) -> django.http.HttpResponse:
    """List runs by workflow, state, label and time; keyset-paged."""
    bodies.check_query(request, forms.RunQuery)
    label = None
    if query.label is not None:
        name, separator, value = query.label.partition(":")
        if not separator or not name:
            raise problems.invalid([client.Problem(field="label", message="must be name:value")])
        label = (name, value)
    where = records.RunFilter(
        workflow=query.workflow,
        state=query.state,
        label=label,
        created_after=query.created_after,
        created_before=query.created_before,
    )
    heddle, tenant = room().heddle, auth.tenant_of(request)
    page = pages.read(
        lambda before, limit: heddle.runs(dataclasses.replace(where, before=before, limit=limit), tenant=tenant),
        start=None if query.cursor is None else render.read_cursor(query.cursor),
        limit=query.limit,
        mark_of=lambda view: view.id,
    )
    root = _root(request)
    return render.answer(
        {
            "items": [render.run(view, root=root, has_values=False) for view in page.items],
            "next_cursor": None if page.following is None else render.cursor(page.following),
        }
    )


@router.get("/runs/{run_id}", auth=auth.reads, summary="Show a run")
def show(request: django.http.HttpRequest, run_id: str) -> django.http.HttpResponse:
    """Show one run; with `Prefer: wait=N` once it is over, or after N seconds as it is."""
    here = room()
    tenant = auth.tenant_of(request)
    wait_s = wait_of(request, limit_s=here.heddle.limits.wait_max_s)
    if wait_s is None:
        return render.answer(render.run(here.heddle.get(run_id, tenant=tenant), root=_root(request)))
    with here.places.taken() as is_held:
        view = here.heddle.wait(run_id, timeout_s=wait_s if is_held else 0, tenant=tenant, pause=pause)
    response = render.answer(render.run(view, root=_root(request)))
    if is_held:
        response["Preference-Applied"] = f"wait={wait_s}"
    return response


@router.get("/runs/{run_id}/steps", auth=auth.reads, summary="Show the calls of a run")
def steps(
    request: django.http.HttpRequest, run_id: str, query: ninja.Query[forms.PageQuery]
) -> django.http.HttpResponse:
    """Show the calls of a run with their attempts, by ordinal; keyset-paged."""
    bodies.check_query(request, forms.PageQuery)
    heddle, tenant = room().heddle, auth.tenant_of(request)
    page = pages.read(
        lambda after, limit: heddle.steps(run_id, tenant=tenant, after=after, limit=limit),
        start=0 if query.cursor is None else render.read_call_cursor(query.cursor),
        limit=query.limit,
        mark_of=lambda view: view.ordinal,
    )
    root = _root(request)
    return render.answer(
        {
            "items": [render.step(view, root=root) for view in page.items],
            "next_cursor": None if page.following is None else render.call_cursor(page.following),
        }
    )


@router.get("/runs/{run_id}/why", auth=auth.reads, summary="Say what a run waits for")
def why(request: django.http.HttpRequest, run_id: str) -> django.http.HttpResponse:
    """Say what a run waits for: one sentence, the chain of causes, and when that is probably over."""
    return render.answer(render.why(room().heddle.why(run_id, tenant=auth.tenant_of(request))))


@router.post("/runs/{run_id}/cancel", auth=auth.writes, summary="Ask a run to stop")
def cancel(request: django.http.HttpRequest, run_id: str) -> django.http.HttpResponse:
    """Ask a run to stop: 202, or 200 when it is over already."""
    heddle, tenant = room().heddle, auth.tenant_of(request)
    is_asked = heddle.cancel(run_id, tenant=tenant)
    view = heddle.get(run_id, tenant=tenant)
    return render.answer(render.run(view, root=_root(request), has_values=False), status=202 if is_asked else 200)


@router.post("/runs/{run_id}/retry", auth=auth.writes, summary="Try the failed steps of a run again")
def retry(request: django.http.HttpRequest, run_id: str) -> django.http.HttpResponse:
    """Make the failed steps of a failed or expired run due again, under the same id."""
    heddle, tenant = room().heddle, auth.tenant_of(request)
    heddle.retry(run_id, tenant=tenant)
    view = heddle.get(run_id, tenant=tenant)
    return render.answer(render.run(view, root=_root(request), has_values=False), status=202)


@router.post("/runs/{run_id}/signals/{path:name}", auth=auth.writes, summary="Send a run a signal")
def signal(request: django.http.HttpRequest, run_id: str, name: str) -> django.http.HttpResponse:
    """Deliver a signal; the body is its payload, any JSON value. It is kept until the run asks for it."""
    heddle = room().heddle
    payload = bodies.read_json(request, bytes_max=heddle.limits.request_bytes_max)
    key = request.headers.get(_KEY_FIELD)
    heddle.signal(run_id, name, payload, tenant=auth.tenant_of(request), idempotency_key=key)
    return render.answer({"status": "accepted"}, status=202)


def wait_of(request: django.http.HttpRequest, *, limit_s: float) -> int | None:
    """Give the seconds of ``Prefer: wait=N`` (RFC 7240, section 4.3), at most ``limit_s``; None when not asked for."""
    found = _WAIT.search(request.headers.get("Prefer", ""))
    return None if found is None else min(int(found.group(1)), int(limit_s))


def _waited(
    request: django.http.HttpRequest,
    here: Room,
    tenant: records.Tenant,
    key: str | None,
    stored: records.StoredAnswer,
    view: records.RunView,
    wait_s: int,
) -> django.http.HttpResponse:
    """Wait for the run when a place is free; a preference may be left unapplied, an accepted run may not be refused."""
    with here.places.taken() as is_held:
        if not is_held:
            return _first_answer(stored, is_replay=False)
        view = here.heddle.wait(view.id, timeout_s=wait_s, tenant=tenant, pause=pause)
    if view.state in run.TERMINAL and view.continued_last is None:
        body = render.text(render.run(view, root=_root(request)))
        stored = records.StoredAnswer(status=200, body=body, location=stored.location)
        if key is not None:
            here.heddle.store_answer(tenant=tenant, key=key, answer=stored)
    response = _first_answer(stored, is_replay=False)
    response["Preference-Applied"] = f"wait={wait_s}"
    return response


def _idempotency_key(request: django.http.HttpRequest, here: Room) -> str | None:
    key = request.headers.get(_KEY_FIELD)
    if key is None and here.heddle.limits.idempotency_required:
        raise problems.Refusal("idempotency_key_required", "This installation takes no run without an Idempotency-Key.")
    found = admission.key_problems(key, field=_KEY_FIELD)
    if found:
        raise problems.Refusal("malformed_request", f"{_KEY_FIELD} {found[0].message}.", errors=found)
    return key


def _accepted(view: records.RunView, root: str, cost: spending.WorkflowCost | None) -> records.StoredAnswer:
    body = render.text({**render.run(view, root=root, has_values=False), "quote": render.quote(cost)})
    return records.StoredAnswer(status=202, body=body, location=f"{root}/{view.id}")


def _first_answer(stored: records.StoredAnswer, *, is_replay: bool) -> django.http.HttpResponse:
    response = render.raw_answer(stored.body, status=stored.status)
    response["Location"] = stored.location
    if is_replay:
        response["Idempotent-Replayed"] = "true"
    return response


def _read_item(item: Any, here: Room, traceparent: str | None) -> client.RunRequest | problems.Refusal:
    try:
        form = bodies.as_form(item, forms.BatchItemForm)
    except problems.Refusal as refusal:
        return refusal
    if form.idempotency_key is None and here.heddle.limits.idempotency_required:
        return problems.Refusal(
            "idempotency_key_required", "This installation takes no run without an idempotency_key."
        )
    return form.request(idempotency_key=form.idempotency_key, traceparent=traceparent)


def _outcome(outcome: client.Submitted | Exception, root: str) -> dict[str, Any]:
    if isinstance(outcome, client.Submitted):
        body = render.run(outcome.run, root=root, has_values=False)
        return {"status": 202, "replayed": outcome.is_replay, "run": body}
    problem = problems.body(problems.refusal_of(outcome))
    return {"status": problem["status"], "problem": problem}


def _root(request: django.http.HttpRequest) -> str:
    """Give the path of the runs, wherever the host has mounted us."""
    before, found, _ = request.path.partition("/runs")
    return f"{before}/runs" if found else f"{request.path.partition('/models/')[0]}/runs"
