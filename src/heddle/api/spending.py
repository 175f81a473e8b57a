"""Serve money: what was spent, what may be, what something will cost.

A tenant sees its own; another tenant's, and the caps of workflows, which are of all tenants, need the scope ``admin``.
Before it: the web server. After it: ``heddle.client.spending``.
"""

import base64
import binascii
import datetime
import json
from typing import Any

import django.http
import ninja
import pydantic

from heddle import client
from heddle.api import auth, bodies, forms, problems, render
from heddle.api.room import room
from heddle.client import keys, money, pages, values
from heddle.core import run
from heddle.ports import spending

router = ninja.Router(tags=["money"])


class QuoteForm(pydantic.BaseModel):
    """A request for a quote: of a workflow or of one call of a model."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    workflow: str | None = pydantic.Field(default=None, description="Registered name of a workflow.")
    model: forms.Text | None = pydantic.Field(default=None, description="Name of a model; instead of a workflow.")
    tokens: int | None = pydantic.Field(default=None, ge=1, description="What the call of a model says it uses.")
    images: int | None = pydantic.Field(default=None, ge=1, description="What the call of a model says it makes.")
    priority: str = pydantic.Field(
        default=run.Priority.STANDARD.value,
        description="Class of the work, for how long a call would wait.",
        json_schema_extra={"enum": [member.value for member in run.Priority]},
    )


class UsageQuery(ninja.Schema):
    """Which usage is asked for."""

    model_config = pydantic.ConfigDict(extra="forbid")

    first: datetime.date | None = pydantic.Field(default=None, alias="from", description="First day, in UTC.")
    last: datetime.date | None = pydantic.Field(default=None, alias="to", description="Last day, in UTC.")
    by: str = pydantic.Field(default="day", max_length=100, description="Some of day,workflow,model,endpoint.")
    limit: int = pydantic.Field(default=50, ge=1)
    cursor: str | None = pydantic.Field(default=None, max_length=2_000)
    tenant: str | None = pydantic.Field(default=None, description="Another tenant's; needs the scope admin.")


class BudgetQuery(ninja.Schema):
    """Whose caps are asked for."""

    model_config = pydantic.ConfigDict(extra="forbid")

    tenant: str | None = pydantic.Field(default=None, description="Another tenant's; needs the scope admin.")


@router.post(
    "/runs/quote",
    auth=auth.reads,
    summary="Tell what a run or a call will probably cost",
    openapi_extra=forms.body_of(QuoteForm, description="Nothing is started. A run's cost is that of earlier ones."),
)
def quote(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """Quote a workflow by what its last runs cost, or a model by its routes' prices and its line."""
    here = room()
    form = bodies.read_form(request, QuoteForm, bytes_max=here.heddle.limits.request_bytes_max)
    if (form.workflow is None) == (form.model is None):
        raise problems.invalid([client.Problem(field="workflow", message="or model: name one of the two")])
    if form.workflow is not None:
        name = here.heddle.workflow(form.workflow).name
        found = here.spending.quote_workflow(name)
        return render.answer({"workflow": name, "started": False, **render.quote(found.cost)})
    assert form.model is not None, "one of the two is named"
    priced = here.spending.quote_model(
        form.model,
        tenant=auth.tenant_of(request),
        priority=form.priority,
        tokens=form.tokens,
        images=form.images,
    )
    return render.answer(_model_quote(priced))


@router.get("/usage", auth=auth.reads, summary="Show what was spent, by day, workflow, model or endpoint")
def usage(request: django.http.HttpRequest, query: ninja.Query[UsageQuery]) -> django.http.HttpResponse:
    """Show a tenant's spend of the last 30 days, or of those from `from` to `to`; keyset-paged."""
    bodies.check_query(request, UsageQuery)
    here, tenant = room(), auth.tenant_named(request, query.tenant)
    pages.check_limit(query.limit, page_max=here.heddle.limits.page_max)
    parts = [part.strip() for part in query.by.split(",") if part.strip()]
    page = pages.read(
        lambda after, limit: here.spending.usage(
            tenant=tenant, first=query.first, last=query.last, parts=parts, after=after, limit=limit
        ),
        start=None if query.cursor is None else _read_cursor(query.cursor),
        limit=query.limit,
        mark_of=lambda view: view.mark,
    )
    next_cursor = None if page.following is None else _cursor(page.following)
    return render.answer({"items": [_usage(view) for view in page.items], "next_cursor": next_cursor})


@router.get("/budgets", auth=auth.reads, summary="Show caps, what is spent and reserved, and what is left")
def budgets(request: django.http.HttpRequest, query: ninja.Query[BudgetQuery]) -> django.http.HttpResponse:
    """Show a tenant's caps of the day and the month (UTC); with the scope admin, those of workflows too."""
    bodies.check_query(request, BudgetQuery)
    tenant = auth.tenant_named(request, query.tenant)
    may_see_all = keys.may(auth.scopes_of(request), "admin")
    found = room().spending.budgets(tenant=tenant, has_workflows=may_see_all)
    return render.answer({"items": [_budget(view, tenant.name) for view in found], "next_cursor": None})


def _model_quote(found: client.ModelQuote) -> dict[str, Any]:
    return {
        "model": found.model,
        "started": False,
        "basis": "price",
        "low_cost": money.usd(found.low_nano_usd),
        "high_cost": money.usd(found.high_nano_usd),
        "expected_wait_s": None if found.wait_s is None else round(found.wait_s, 1),
        "routes": [
            {
                "endpoint": each.endpoint,
                "tier": each.tier,
                "cost": money.usd(each.price_nano_usd),
                "paid": each.is_paid,
                "paused": each.is_paused,
            }
            for each in found.routes
        ],
    }


def _usage(view: spending.UsageView) -> dict[str, Any]:
    parts = {"day": view.day and view.day.isoformat(), "workflow": view.workflow, "model": view.model}
    named = {name: value for name, value in {**parts, "endpoint": view.endpoint}.items() if value is not None}
    return {
        **named,
        "calls": view.calls,
        "estimates": view.estimates,
        "cost": money.usd(view.cost_nano_usd),
        "refunded": money.usd(view.refunded_nano_usd),
        "reserved": money.usd(view.open_nano_usd),
    }


def _budget(view: spending.BudgetView, tenant: str) -> dict[str, Any]:
    return {
        "kind": "tenant" if view.workflow is None else "workflow",
        "name": tenant if view.workflow is None else view.workflow,
        "day": _span(view.day_cap_nano_usd, view.spent_today_nano_usd, view.reserved_today_nano_usd),
        "month": _span(view.month_cap_nano_usd, view.spent_month_nano_usd, view.reserved_month_nano_usd),
    }


def _span(cap: int | None, spent: int, reserved: int) -> dict[str, str | None] | None:
    """Write one cap; nothing is counted where there is none."""
    if cap is None:
        return None
    left = max(0, cap - spent - reserved)
    sums = {"cap": cap, "spent": spent, "reserved": reserved, "left": left}
    return {name: money.usd(amount) for name, amount in sums.items()}


def _cursor(mark: spending.UsageMark) -> str:
    """Write where the next page begins; callers must not look inside."""
    fields = [mark.day.isoformat(), mark.workflow, mark.model, mark.endpoint_id]
    return base64.urlsafe_b64encode(render.text(fields).encode()).decode().rstrip("=")


def _read_cursor(written: str) -> spending.UsageMark:
    try:
        text = base64.b64decode(written + "=" * (-len(written) % 4), altchars=b"-_", validate=True)
        day, workflow, model, endpoint_id = json.loads(text)
        if not (isinstance(workflow, str) and isinstance(model, str) and type(endpoint_id) is int):
            raise ValueError("no mark of usage")
        if not 0 <= endpoint_id < 2**31 or not values.is_storable_text(workflow + model):
            raise ValueError("out of range")
        return spending.UsageMark(
            day=datetime.date.fromisoformat(day), workflow=workflow, model=model, endpoint_id=endpoint_id
        )
    except (ValueError, TypeError, binascii.Error) as error:
        raise problems.invalid([pages.NO_CURSOR]) from error
