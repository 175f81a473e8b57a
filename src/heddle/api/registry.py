"""Serve what is there: workflows with their schemas, models, endpoints with limits and health, schedules."""

import django.http
import ninja

from heddle.api import auth, bodies, forms, render
from heddle.api.room import room
from heddle.client import pages

router = ninja.Router(tags=["registry"])


@router.get("/workflows", auth=auth.reads, summary="List loaded workflows with their schemas")
def workflows(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """List every loaded version of every workflow, by name and version."""
    ordered = sorted(room().heddle.workflows(), key=lambda each: (each.name, each.version))
    return render.answer({"items": [render.workflow(each) for each in ordered], "next_cursor": None})


@router.get("/models", auth=auth.reads, summary="List models and where they run")
def models(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """List the models that code declares or an endpoint serves, by name."""
    heddle = room().heddle
    endpoints = heddle.endpoints()
    declared = {each.name: each for each in heddle.models()}
    names = sorted(declared.keys() | {name for each in endpoints for name in each.models})
    items = [
        render.model(name, declared.get(name), [each for each in endpoints if name in each.models]) for name in names
    ]
    return render.answer({"items": items, "next_cursor": None})


@router.get("/endpoints", auth=auth.reads, summary="List endpoints with limits and health")
def endpoints(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """List every endpoint with its limits, breaker and what is in flight, by name."""
    ordered = sorted(room().heddle.endpoints(), key=lambda each: each.name)
    return render.answer({"items": [render.endpoint(each) for each in ordered], "next_cursor": None})


@router.get("/schedules", auth=auth.reads, summary="List schedules and what they last started")
def schedules(request: django.http.HttpRequest, query: ninja.Query[forms.PageQuery]) -> django.http.HttpResponse:
    """List the tenant's schedules, by name; keyset-paged."""
    bodies.check_query(request, forms.PageQuery)
    heddle, tenant = room().heddle, auth.tenant_of(request)
    page = pages.read(
        lambda after, limit: heddle.schedules(tenant=tenant, after=after, limit=limit),
        start="" if query.cursor is None else render.read_name_cursor(query.cursor),
        limit=query.limit,
        mark_of=lambda schedule: schedule.name,
    )
    next_cursor = None if page.following is None else render.name_cursor(page.following)
    return render.answer({"items": [render.schedule(each) for each in page.items], "next_cursor": next_cursor})
