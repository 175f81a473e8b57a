"""Write what operators decide: the deployment, and what is paused.

Neighbours: ``store.apply`` and ``store.operators``; an operator's limits over the file's are not kept here.
"""

import json
from collections.abc import Sequence
from typing import Any

from heddle.core.policy import price as price_policy
from heddle.testing.memory import books, views
from heddle.testing.memory.deployed import Bucket, EndpointRow, ModelRow, RouteRow, ScopeRow, TenantRow, WorkflowRow
from heddle.testing.memory.tables import Rows, Statement, Tables


def apply_scope(
    tables: Tables,
    *,
    name: str,
    concurrency: int | None,
    floor: int | None,
    ceiling: int | None,
    **limits: int | None,
) -> Rows:
    """Write the limits of a scope; its state is never touched, but slots that adapt are kept within their bounds."""
    scope = next((row for row in tables.scopes.values() if row.name == name), None)
    if scope is None:
        number = tables.next("scope")
        scope = tables.scopes[number] = ScopeRow(id=number, name=name, concurrency=None)
    if ceiling is None:
        scope.concurrency = concurrency
    else:
        least = floor or 1
        scope.concurrency = min(ceiling, max(least, least if scope.concurrency is None else scope.concurrency))
    scope.concurrency_min, scope.concurrency_max = floor, ceiling
    for what, bucket in (("requests", scope.requests), ("tokens", scope.tokens), ("images", scope.images)):
        _limit(bucket, limits[what], limits[f"{what}_burst"])
    return []


def _limit(bucket: Bucket, per_min: int | None, burst: int | None) -> None:
    bucket.per_min, bucket.burst = per_min, burst or 1


def apply_override(_tables: Tables, *, name: str) -> Rows:
    """Change nothing: no operator sets limits over the file's here."""
    return []


def scope_id(tables: Tables, *, name: str) -> Rows:
    """Find a scope's number."""
    return [(row.id,) for row in tables.scopes.values() if row.name == name]


def apply_endpoint(tables: Tables, *, name: str, scope_ids: Sequence[int], **about: Any) -> Rows:
    """Write an endpoint."""
    known = next((row for row in tables.endpoints.values() if row.name == name), None)
    number = tables.next("endpoint") if known is None else known.id
    tables.endpoints[number] = EndpointRow(
        id=number,
        name=name,
        adapter=about["adapter"],
        url=about["url"],
        secret_name=about["secret"],
        callback_secret_name=about["callback_secret"],
        timeout_s=about["timeout_s"],
        price_nano_usd=about["price"],
        is_paid=about["is_paid"],
        is_list_priced=about["is_list_priced"],
        options=json.loads(about["options"]),
        scope_ids=list(scope_ids),
        poll_lane=about["poll_lane"],
        paused_at=None if known is None else known.paused_at,
        regions=list(about["regions"]),
    )
    return [(number,)]


def apply_clear(
    tables: Tables, *, names: Sequence[str], models: Sequence[str], endpoints: Sequence[int], declared: Sequence[str]
) -> Rows:
    """Disable endpoints and remove routes that are no longer named; forget objectives and gates of models likewise."""
    kept = set(zip(models, endpoints, strict=True))
    tables.routes[:] = [route for route in tables.routes if (route.model, route.endpoint_id) in kept]
    for canary in tables.canaries.values():
        if canary.state == "running" and (canary.model, canary.endpoint_id) not in kept:
            canary.state, canary.reason = "rolled_back", "its route has left heddle.toml"
            canary.changed_at = tables.now_s()
    for model in tables.models.values():
        if model.name not in declared:
            model.objective, model.deadline_s, model.quality = "weights", None, None
    for row in tables.endpoints.values():
        row.is_enabled = row.is_enabled and row.name in names
    return []


def apply_route(
    tables: Tables,
    *,
    model: str,
    endpoint: int,
    tier: int,
    weight: float,
    price: int | None,
    image: int | None,
    input_per_mtok: int | None,
    output_per_mtok: int | None,
    is_canary: bool,
    latency_max_s: float | None,
) -> Rows:
    """Write a route; a canary gets nothing until one is started on it."""
    canary = tables.canaries.get((model, endpoint))
    state = ("waiting" if is_canary else "promoted") if canary is None else canary.state
    row = next((each for each in tables.routes if (each.model, each.endpoint_id) == (model, endpoint)), None)
    if row is None:
        row = RouteRow(model=model, endpoint_id=endpoint, tier=tier, weight=weight)
        tables.routes.append(row)
    row.price_nano_usd, row.rates = price, None
    if image is not None and input_per_mtok is not None and output_per_mtok is not None:
        row.rates = price_policy.Price(image=image, input_per_mtok=input_per_mtok, output_per_mtok=output_per_mtok)
    row.tier, row.weight, row.is_canary, row.latency_max_s = tier, weight, is_canary, latency_max_s
    match state:
        case "running":
            row.weight_now = row.weight_now or 0.0
        case "promoted":
            row.weight_now = row.weight_now or None
        case _:
            row.weight_now = 0.0
    return []


def apply_model(
    tables: Tables,
    *,
    name: str,
    policy: str,
    after: float,
    tokens: int | None,
    images: int | None,
    output_tokens: int | None,
    objective: str,
    deadline_s: float | None,
    quality: str | None,
    **_quoted: Any,
) -> Rows:
    """Write what a model's owner chose."""
    row = tables.models.setdefault(name, ModelRow(name=name))
    row.policy, row.fallback_after_s, row.tokens, row.images = policy, after, tokens, images
    row.output_tokens = output_tokens
    row.objective, row.deadline_s = objective, deadline_s
    row.quality = None if quality is None else json.loads(quality)
    return []


def apply_rules(tables: Tables) -> Rows:
    """Number the sets of regions that tenants name, and list for each route whose calls may go there."""
    named = sorted({tuple(tenant.regions) for tenant in tables.tenants.values() if tenant.regions is not None})
    for tenant in tables.tenants.values():
        tenant.rule = 0 if tenant.regions is None else named.index(tuple(tenant.regions)) + 1
    for route in tables.routes:
        regions = set(tables.endpoints[route.endpoint_id].regions)
        route.rules = [0, *(rule for rule, wanted in enumerate(named, start=1) if regions & set(wanted))]
    return []


def apply_tenant(
    tables: Tables,
    *,
    name: str,
    weight: int,
    runs_per_min: int | None,
    open_runs_max: int | None,
    budget: int | None,
    month_budget: int | None,
    regions: Sequence[str] | None,
) -> Rows:
    """Write a tenant's share, quotas, budgets and regions."""
    row = next((row for row in tables.tenants.values() if row.name == name), None)
    if row is None:
        number = max(tables.tenants) + 1
        row = tables.tenants[number] = TenantRow(id=number, name=name)
    row.weight, row.runs_per_min, row.open_runs_max = weight, runs_per_min, open_runs_max
    row.budget_nano_usd_per_day, row.budget_nano_usd_per_month = budget, month_budget
    row.regions = None if regions is None else list(regions)
    return []


def apply_workflow(tables: Tables, *, name: str, budget: int | None) -> Rows:
    """Write what a workflow may spend in a day."""
    row = tables.workflows.setdefault(name, WorkflowRow(id=tables.next("workflow"), name=name))
    row.budget_nano_usd_per_day = budget
    return []


def apply_workflows_rest(tables: Tables, *, names: Sequence[str]) -> Rows:
    """Lift the budgets of workflows that are no longer named."""
    for row in tables.workflows.values():
        row.budget_nano_usd_per_day = row.budget_nano_usd_per_day if row.name in names else None
    return []


def budget_accounts(tables: Tables) -> Rows:
    """Name the accounts that have a budget."""
    return [(books.budgeted(tables),)]


def budget_begin(tables: Tables, *, before: Sequence[int]) -> Rows:
    """Let the accounts of new budgets know what was spent this month and what is in flight."""
    for account in set(books.budgeted(tables)) - set(before):
        books.begin(tables, account)
    return []


def model_known(tables: Tables, *, name: str) -> Rows:
    """Tell since when a model is paused, when it is routed or has been written."""
    row = tables.models.get(name)
    if row is None and not any(route.model == name for route in tables.routes):
        return []
    return [(None if row is None else views.moment(row.paused_at),)]


def pause_model(tables: Tables, *, name: str, is_paused: bool, before: Any) -> Rows:
    """Pause or resume a model."""
    row = tables.models.setdefault(name, ModelRow(name=name))
    _pause(tables, row, is_paused=is_paused)
    return [(before, views.moment(row.paused_at))]


def pause_endpoint(tables: Tables, *, name: str, is_paused: bool) -> Rows:
    """Pause or resume an endpoint, and tell since when it was paused before."""
    row = next((row for row in tables.endpoints.values() if row.name == name), None)
    return [] if row is None else [_pause(tables, row, is_paused=is_paused)]


def pause_tenant(tables: Tables, *, name: str, is_paused: bool) -> Rows:
    """Pause or resume a tenant, and tell since when it was paused before."""
    row = next((row for row in tables.tenants.values() if row.name == name), None)
    return [] if row is None else [_pause(tables, row, is_paused=is_paused)]


def _pause(tables: Tables, row: EndpointRow | ModelRow | TenantRow, *, is_paused: bool) -> tuple[Any, ...]:
    before = row.paused_at
    row.paused_at = (tables.now_s() if before is None else before) if is_paused else None
    return (views.moment(before), views.moment(row.paused_at))


STATEMENTS: dict[str, Statement] = {
    "apply_scope": apply_scope,
    "apply_override": apply_override,
    "scope_id": scope_id,
    "apply_endpoint": apply_endpoint,
    "apply_clear": apply_clear,
    "apply_route": apply_route,
    "apply_model": apply_model,
    "apply_tenant": apply_tenant,
    "apply_workflow": apply_workflow,
    "apply_workflows_rest": apply_workflows_rest,
    "apply_rules": apply_rules,
    "budget_accounts": budget_accounts,
    "budget_begin": budget_begin,
    "model_known": model_known,
    "pause_model": pause_model,
    "pause_endpoint": pause_endpoint,
    "pause_tenant": pause_tenant,
}
