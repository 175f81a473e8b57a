"""Serve what a tenant asks of its webhooks: deliveries, redelivery, addresses that are gone, signing secrets.

Everything is the tenant's own whose key comes with the request. A secret is in the answer that made it and in no other.
Before it: the web server. After it: ``heddle.client.webhooks``.
"""

from typing import Any

import django.http
import ninja
import pydantic

from heddle.api import auth, bodies, forms, render
from heddle.api.room import room
from heddle.client import pages
from heddle.ports import webhooks

router = ninja.Router(tags=["webhooks"])


class DeliveryQuery(ninja.Schema):
    """Which deliveries are asked for."""

    model_config = pydantic.ConfigDict(extra="forbid")

    state: str | None = pydantic.Field(default=None, description="due, delivered, dead or disabled")
    run: str | None = pydantic.Field(default=None, description="those of one run")
    limit: int = pydantic.Field(default=50, ge=1)
    cursor: str | None = pydantic.Field(default=None, max_length=200)


class EnableForm(pydantic.BaseModel):
    """Which address is sent to again."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    url: forms.Text = pydantic.Field(description="The address as GET /v1/webhooks/disabled lists it.")


@router.get("/webhooks/deliveries", auth=auth.reads, summary="List deliveries of webhooks")
def deliveries(request: django.http.HttpRequest, query: ninja.Query[DeliveryQuery]) -> django.http.HttpResponse:
    """List events with what became of them, those of the newest runs first; keyset-paged."""
    bodies.check_query(request, DeliveryQuery)
    desk, tenant = room().webhooks, auth.tenant_of(request)
    page = pages.read(
        lambda before, limit: desk.deliveries(
            tenant=tenant, state=query.state, run_id=query.run, before=before, limit=limit
        ),
        start=query.cursor,
        limit=query.limit,
        mark_of=lambda view: str(view.id),
    )
    return render.answer({"items": [_delivery(each) for each in page.items], "next_cursor": page.following})


@router.post("/webhooks/deliveries/{delivery_id}/redeliver", auth=auth.writes, summary="Send a webhook again")
def redeliver(request: django.http.HttpRequest, delivery_id: str) -> django.http.HttpResponse:
    """Send an event again from the start, under the same id: 202 with the delivery, due at once."""
    view = room().webhooks.redeliver(delivery_id, tenant=auth.tenant_of(request), actor=auth.actor_of(request))
    return render.answer(_delivery(view), status=202)


@router.get("/webhooks/disabled", auth=auth.reads, summary="List addresses that get no webhooks any more")
def disabled(request: django.http.HttpRequest, query: ninja.Query[forms.PageQuery]) -> django.http.HttpResponse:
    """List the addresses that answered 410 Gone, the latest first; keyset-paged."""
    bodies.check_query(request, forms.PageQuery)
    desk, tenant = room().webhooks, auth.tenant_of(request)
    page = pages.read(
        lambda before, limit: desk.disabled(tenant=tenant, before=before, limit=limit),
        start=query.cursor,
        limit=query.limit,
        mark_of=lambda view: str(view.place),
    )
    items = [{"url": each.url, "reason": each.reason, "at": render.instant(each.place.at)} for each in page.items]
    return render.answer({"items": items, "next_cursor": page.following})


@router.post(
    "/webhooks/enable",
    auth=auth.writes,
    summary="Send webhooks to an address again",
    openapi_extra=forms.body_of(EnableForm, description="What was not sent meanwhile is redelivered one by one."),
)
def enable(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """Let an address that answered 410 Gone be sent to again; 404 when it is not disabled."""
    here = room()
    form = bodies.read_form(request, EnableForm, bytes_max=here.heddle.limits.request_bytes_max)
    here.webhooks.enable(form.url, tenant=auth.tenant_of(request), actor=auth.actor_of(request))
    return render.answer({"url": form.url, "enabled": True})


@router.get("/webhooks/secrets", auth=auth.reads, summary="List versions of the signing secret")
def secrets(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """List the versions that webhooks are signed with, newest first; never the secrets."""
    found = room().webhooks.secrets(tenant=auth.tenant_of(request))
    items = [
        {
            "version": each.version,
            "created_at": render.instant(each.created_at),
            "retires_at": render.instant(each.retires_at),
        }
        for each in found
    ]
    return render.answer({"items": items, "next_cursor": None})


@router.post("/webhooks/secrets", auth=auth.writes, summary="Make or rotate the signing secret")
def rotate(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """Make the next signing secret: 201 with it, this once. The one before it signs, too, for a grace period."""
    here = room()
    secret, version = here.webhooks.rotate(tenant=auth.tenant_of(request), actor=auth.actor_of(request))
    body = {"secret": secret, "version": version, "grace_s": here.heddle.limits.webhook_rotation_s}
    return render.answer(body, status=201)


def _delivery(view: webhooks.EventView) -> dict[str, Any]:
    return {
        "id": str(view.id),
        "run": str(view.id.run_id),
        "type": view.type,
        "url": view.url,
        "state": view.state.value,
        "tries": view.tries,
        "at": render.instant(view.at),
        "next_at": render.instant(view.next_at),
        "last_at": render.instant(view.last_at),
        "last_status": view.last_status,
        "last_error": view.last_error,
        "ended_at": render.instant(view.ended_at),
    }
