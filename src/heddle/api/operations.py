"""Serve operators: change an endpoint, do something to many runs, show and replay what failed.

An endpoint belongs to the whole installation, so changing one needs the scope ``admin``; bulk work is a tenant's own
and needs ``write``, another tenant's needs ``admin``. Before it: the web server. After it:
``heddle.client.operating``.
"""

from typing import Any

import django.http
import ninja
import pydantic

from heddle import client
from heddle.api import auth, bodies, forms, problems, render
from heddle.api.room import room
from heddle.client import pages, shown
from heddle.core import run
from heddle.ports import operators, records

router = ninja.Router(tags=["operations"])
_STRICT = pydantic.ConfigDict(extra="forbid", strict=True)


class EndpointForm(pydantic.BaseModel):
    """What an operator changes about an endpoint; what is left out stays as it is."""

    model_config = _STRICT

    paused: bool | None = pydantic.Field(default=None, description="Whether new calls wait; what is in flight goes on.")
    concurrency: int | None = pydantic.Field(default=None, description="Calls at once; null: no such limit.")
    requests_per_min: int | None = pydantic.Field(default=None, description="Calls a minute; null: no such limit.")
    reset: bool = pydantic.Field(default=False, description="Go back to the limits of heddle.toml.")


class FilterForm(pydantic.BaseModel):
    """Which runs are meant; at least one member is needed."""

    model_config = _STRICT

    workflow: forms.Text | None = None
    state: str | None = pydantic.Field(
        default=None, json_schema_extra={"enum": [member.value for member in run.RunState]}
    )
    label: forms.Text | None = pydantic.Field(default=None, description="name:value")
    created_after: forms.Instant | None = None
    created_before: forms.Instant | None = None
    fault: str | None = pydantic.Field(default=None, description="The classified failure of the run's error.")
    run_ids: list[str] = pydantic.Field(default_factory=list, description="At most 1,000.")


class OperationForm(pydantic.BaseModel):
    """A request to do something to many runs."""

    model_config = _STRICT

    action: str = pydantic.Field(json_schema_extra={"enum": [member.value for member in operators.Action]})
    filter: FilterForm = pydantic.Field(default_factory=FilterForm)
    priority: str | None = pydantic.Field(default=None, description="The new class; for reprioritise only.")
    dry_run: bool = pydantic.Field(default=False, description="Tell what would be done, and do nothing.")
    tenant: str | None = pydantic.Field(default=None, description="Another tenant's runs; needs the scope admin.")


class ReplayForm(pydantic.BaseModel):
    """A request to replay what failed."""

    model_config = _STRICT

    filter: FilterForm = pydantic.Field(default_factory=FilterForm)
    dry_run: bool = False


class DeadLetterQuery(ninja.Schema):
    """Which dead letters are asked for."""

    model_config = pydantic.ConfigDict(extra="forbid")

    workflow: forms.Text | None = None
    fault: forms.Text | None = None
    limit: int = pydantic.Field(default=50, ge=1)
    cursor: str | None = pydantic.Field(default=None, max_length=200)


class UnknownQuery(ninja.Schema):
    """Which calls of unknown outcome are asked for."""

    model_config = pydantic.ConfigDict(extra="forbid")

    tenant: str | None = pydantic.Field(default=None, description="Another tenant's; needs the scope admin.")
    limit: int = pydantic.Field(default=50, ge=1)
    cursor: str | None = pydantic.Field(default=None, max_length=200)


@router.patch(
    "/endpoints/{name}",
    auth=auth.admins,
    summary="Pause, resume or limit an endpoint",
    openapi_extra=forms.body_of(EndpointForm, description="Wins over heddle.toml until it is undone; audited."),
)
def change(request: django.http.HttpRequest, name: str) -> django.http.HttpResponse:
    """Change an endpoint and show it."""
    here = room()
    form = bodies.read_form(request, EndpointForm, bytes_max=here.heddle.limits.request_bytes_max)
    actor, given = auth.actor_of(request), form.model_fields_set
    limits = given & {"concurrency", "requests_per_min"}
    if form.reset and limits:
        message = "goes back to the file's limits; send it without new ones"
        raise problems.invalid([client.Problem(field="reset", message=message)])
    if not given:
        message = "changes nothing; send paused, concurrency, requests_per_min or reset"
        raise problems.invalid([client.Problem(field="body", message=message)])
    _endpoint(name)
    if limits:
        same = operators.Unchanged.UNCHANGED
        here.operating.set_limits(
            name,
            concurrency=form.concurrency if "concurrency" in limits else same,
            requests_per_min=form.requests_per_min if "requests_per_min" in limits else same,
            actor=actor,
        )
    if form.reset:
        here.operating.reset_limits(name, actor=actor)
    if form.paused is not None:
        (here.operating.pause if form.paused else here.operating.resume)("endpoint", name, actor=actor)
    return render.answer(render.endpoint(_endpoint(name)))


@router.post(
    "/operations",
    auth=auth.writes,
    summary="Cancel, retry or reprioritise many runs",
    openapi_extra=forms.body_of(OperationForm, description="202 with the operation; 200 with counts for a dry run."),
)
def start(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """Start a bulk operation, or tell what one would do."""
    here = room()
    bodies.refuse_query(request, OperationForm)
    form = bodies.read_form(request, OperationForm, bytes_max=here.heddle.limits.request_bytes_max)
    tenant = auth.tenant_named(request, form.tenant)
    return _begin(request, _bulk(form.action, form.filter, form.priority), tenant=tenant, is_dry_run=form.dry_run)


@router.get("/operations/{operation_id}", auth=auth.reads, summary="Show how far a bulk operation is")
def show(request: django.http.HttpRequest, operation_id: str) -> django.http.HttpResponse:
    """Show one bulk operation; with the scope admin, ``?tenant=`` names whose."""
    tenant = auth.tenant_named(request, request.GET.get("tenant"))
    return render.answer(_operation(room().operating.show(operation_id, tenant=tenant)))


@router.post("/operations/{operation_id}/stop", auth=auth.writes, summary="End a bulk operation")
def stop(request: django.http.HttpRequest, operation_id: str) -> django.http.HttpResponse:
    """End a bulk operation after its present chunk: 202, or 200 when it is over already. What it did stays."""
    operating, tenant = room().operating, auth.tenant_named(request, request.GET.get("tenant"))
    is_stopped = operating.stop(operation_id, tenant=tenant, actor=auth.actor_of(request))
    return render.answer(_operation(operating.show(operation_id, tenant=tenant)), status=202 if is_stopped else 200)


@router.get("/steps/unknown", auth=auth.reads, summary="List calls whose outcome nobody knows")
def unknown(request: django.http.HttpRequest, query: ninja.Query[UnknownQuery]) -> django.http.HttpResponse:
    """List calls that were sent and of which no answer is known, those of the oldest runs first; keyset-paged."""
    bodies.check_query(request, UnknownQuery)
    found = room().operating.unknown_calls(
        tenant=auth.tenant_named(request, query.tenant), after=query.cursor, limit=query.limit
    )
    return render.answer(shown.unknown_calls(found))


@router.get("/dead-letters", auth=auth.reads, summary="List what failed and can be replayed")
def dead_letters(request: django.http.HttpRequest, query: ninja.Query[DeadLetterQuery]) -> django.http.HttpResponse:
    """List runs that ended in failure with their failed calls, newest first; keyset-paged."""
    bodies.check_query(request, DeadLetterQuery)
    operating, tenant = room().operating, auth.tenant_of(request)
    page = pages.read(
        lambda before, limit: operating.dead_letters(
            tenant=tenant, workflow=query.workflow, fault=query.fault, before=before, limit=limit
        ),
        start=None if query.cursor is None else render.read_cursor(query.cursor),
        limit=query.limit,
        mark_of=lambda letter: letter.run_id,
    )
    next_cursor = None if page.following is None else render.cursor(page.following)
    return render.answer({"items": [_letter(each) for each in page.items], "next_cursor": next_cursor})


@router.post(
    "/dead-letters/replay",
    auth=auth.writes,
    summary="Replay what failed",
    openapi_extra=forms.body_of(ReplayForm, description="A bulk operation that retries; see POST /v1/operations."),
)
def replay(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """Make the failed steps of many failed or expired runs due again."""
    bodies.refuse_query(request, ReplayForm)
    form = bodies.read_form(request, ReplayForm, bytes_max=room().heddle.limits.request_bytes_max)
    bulk = _bulk(operators.Action.RETRY.value, form.filter, None)
    return _begin(request, bulk, tenant=auth.tenant_of(request), is_dry_run=form.dry_run)


def _begin(
    request: django.http.HttpRequest, bulk: client.BulkRequest, *, tenant: records.Tenant, is_dry_run: bool
) -> django.http.HttpResponse:
    operating = room().operating
    if is_dry_run:
        found = operating.preview(bulk, tenant=tenant)
        return render.answer(
            {
                "dry_run": True,
                "matched": found.matched,
                "looked_at": found.looked_at,
                "is_whole": found.is_whole,
                "sample": [str(run_id) for run_id in found.sample],
            }
        )
    view = operating.start(bulk, tenant=tenant, actor=auth.actor_of(request))
    return render.answer(_operation(view), status=202)


def _bulk(action: str, form: FilterForm, priority: str | None) -> client.BulkRequest:
    label = None
    if form.label is not None:
        name, separator, value = form.label.partition(":")
        if not separator or not name:
            raise problems.invalid([client.Problem(field="filter.label", message="must be name:value")])
        label = (name, value)
    return client.BulkRequest(
        action=action,
        workflow=form.workflow,
        state=form.state,
        label=label,
        created_after=form.created_after,
        created_before=form.created_before,
        fault=form.fault,
        run_ids=form.run_ids,
        priority=priority,
    )


def _endpoint(name: str) -> records.EndpointView:
    found = [each for each in room().heddle.endpoints() if each.name == name]
    if not found:
        raise operators.SubjectMissing(f"there is no endpoint {name[:100]!r}")
    return found[0]


def _operation(view: operators.OperationView) -> dict[str, Any]:
    return {
        "id": str(view.id),
        "action": view.action.value,
        "priority": view.priority,
        "filter": dict(view.filter),
        "state": view.state,
        "reason": view.reason,
        "actor": view.actor,
        "progress": round(view.progress, 4),
        "looked_at": view.looked_at,
        "matched": view.matched,
        "changed": view.changed,
        "unchanged": view.unchanged,
        "created_at": render.instant(view.created_at),
        "started_at": render.instant(view.started_at),
        "finished_at": render.instant(view.finished_at),
    }


def _letter(view: operators.DeadLetter) -> dict[str, Any]:
    return {
        "run": str(view.run_id),
        "workflow": view.workflow,
        "version": view.version,
        "state": view.state,
        "error": view.error,
        "labels": dict(view.labels),
        "created_at": render.instant(view.created_at),
        "finished_at": render.instant(view.finished_at),
        "calls": [dict(each) for each in view.calls],
    }
