"""Write a deployment (``heddle.toml``) to the database: endpoints, scopes, routes, models, tenants, in one
transaction; and the schedules of the file and of loaded code.

What the file no longer names is disabled, not deleted: attempts refer to it. State (slots, breakers, clocks) is
never touched. A second call with the same file changes nothing.
"""

import dataclasses
import datetime
import json
import types
from collections.abc import Mapping, Sequence
from typing import Any

from heddle.config import deployment, routing, zones
from heddle.core import lanes
from heddle.core.policy import cron, price, ratelimit, schedule
from heddle.store import statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Tell what a file named."""

    endpoints: int
    scopes: int
    routes: int
    models: int
    tenants: int
    schedules: int = 0


def apply(
    cursor: Any,
    wanted: deployment.Deployment,
    *,
    prices: Mapping[tuple[str, str], price.Expected] = types.MappingProxyType({}),
) -> Applied:
    """Write a deployment through a cursor inside the caller's transaction.

    ``prices``: what a call of a model through an endpoint is expected to cost by a price list, in nano-USD.
    """
    scopes = {
        **{name: deployment.Scope(name=name) for e in wanted.endpoints.values() for name in e.scopes},
        **wanted.scopes,
    }
    scope_ids: dict[str, int] = {}
    for scope in sorted(scopes.values(), key=lambda scope: scope.name):
        cursor.execute(statements.load("apply_scope"), _limits(scope))
        cursor.execute(statements.load("apply_override"), {"name": scope.name})
        cursor.execute(statements.load("scope_id"), {"name": scope.name})
        scope_ids[scope.name] = cursor.fetchone()[0]
    endpoint_ids = {endpoint.name: _endpoint(cursor, endpoint, scope_ids) for endpoint in wanted.endpoints.values()}
    kept = [(route.model, endpoint_ids[route.endpoint]) for route in wanted.routes]
    cursor.execute(
        statements.load("apply_clear"),
        {
            "names": list(endpoint_ids),
            "models": [model for model, _ in kept],
            "endpoints": [endpoint for _, endpoint in kept],
            "declared": list(wanted.models),
        },
    )
    _routes(cursor, wanted, endpoint_ids, prices)
    _models(cursor, wanted)
    _tenants(cursor, wanted)
    cursor.execute(statements.load("apply_rules"), {})
    _recount(cursor)
    return Applied(
        endpoints=len(endpoint_ids),
        scopes=len(scope_ids),
        routes=len(wanted.routes),
        models=len(wanted.models),
        tenants=len(wanted.tenants),
    )


def _recount(cursor: Any) -> None:
    """Count calls in flight where they belong by now: an endpoint may have joined a scope, or left one."""
    cursor.execute(statements.load("lock_scopes"), {})
    cursor.execute(statements.load("recount"), {"ids": [scope_id for (scope_id,) in cursor.fetchall()]})


def _routes(
    cursor: Any,
    wanted: deployment.Deployment,
    endpoint_ids: dict[str, int],
    prices: Mapping[tuple[str, str], price.Expected],
) -> None:
    for route in wanted.routes:
        listed = prices.get((route.model, route.endpoint))
        rates = None if listed is None else listed.rates
        cursor.execute(
            statements.load("apply_route"),
            {
                "model": route.model,
                "endpoint": endpoint_ids[route.endpoint],
                "tier": route.tier,
                "weight": route.weight,
                "price": None if listed is None else listed.nano_usd,
                "image": None if rates is None else rates.image,
                "input_per_mtok": None if rates is None else rates.input_per_mtok,
                "output_per_mtok": None if rates is None else rates.output_per_mtok,
                "is_canary": route.canary,
                "latency_max_s": route.latency_max_s,
            },
        )


def _models(cursor: Any, wanted: deployment.Deployment) -> None:
    for model in wanted.models.values():
        cursor.execute(
            statements.load("apply_model"),
            {
                "name": model.name,
                "policy": model.unknown_policy,
                "after": model.fallback_after_s,
                "tokens": model.tokens,
                "images": model.images,
                "output_tokens": model.output_tokens,
                "seconds": model.seconds,
                "objective": model.objective.value,
                "deadline_s": model.deadline_s,
                "quality": None if model.quality is None else json.dumps(routing.gates_json(model.quality)),
            },
        )


def _tenants(cursor: Any, wanted: deployment.Deployment) -> None:
    cursor.execute(statements.load("budget_accounts"), {})
    before = list(cursor.fetchone()[0])
    for tenant in wanted.tenants.values():
        cursor.execute(
            statements.load("apply_tenant"),
            {
                "name": tenant.name,
                "weight": tenant.weight,
                "runs_per_min": tenant.runs_per_min,
                "open_runs_max": tenant.open_runs_max,
                "budget": tenant.budget_nano_usd_per_day,
                "month_budget": tenant.budget_nano_usd_per_month,
                "regions": None if tenant.regions is None else list(tenant.regions),
            },
        )
    for workflow in wanted.workflows.values():
        budget = workflow.budget_nano_usd_per_day
        cursor.execute(statements.load("apply_workflow"), {"name": workflow.name, "budget": budget})
    cursor.execute(statements.load("apply_workflows_rest"), {"names": list(wanted.workflows)})
    cursor.execute(statements.load("budget_begin"), {"before": before})


def _limits(scope: deployment.Scope) -> dict[str, Any]:
    """Give the columns of a scope; a rate without a burst gets the law's own."""
    adaptive = scope.concurrency if isinstance(scope.concurrency, deployment.Adaptive) else None
    return {
        "name": scope.name,
        "concurrency": None if isinstance(scope.concurrency, deployment.Adaptive) else scope.concurrency,
        "floor": None if adaptive is None else adaptive.min,
        "ceiling": None if adaptive is None else adaptive.max,
        "requests": scope.requests_per_min,
        "requests_burst": _burst(scope.requests_per_min, scope.requests_burst),
        "tokens": scope.tokens_per_min,
        "tokens_burst": _burst(scope.tokens_per_min, scope.tokens_burst),
        "images": scope.images_per_min,
        "images_burst": _burst(scope.images_per_min, scope.images_burst),
    }


def _burst(limit_per_min: int | None, burst: int | None) -> int:
    if burst is not None:
        return burst
    return 1 if limit_per_min is None else ratelimit.RateLimit(limit_per_min=limit_per_min).burst_units


def apply_schedules(cursor: Any, wanted: Sequence[schedule.ScheduleOptions], *, is_whole: bool) -> int:
    """Write schedules through a cursor inside the caller's transaction, and give how many.

    ``is_whole``: there are no others; those that are not named are switched off. The next time of a schedule is kept
    when its cron and time zone are what they were; else it is the first after the database's now.
    """
    cursor.execute(statements.load("database_time"))
    now = datetime.datetime.fromtimestamp(cursor.fetchone()[0], tz=datetime.UTC)
    for options in wanted:
        cursor.execute(
            statements.load("apply_schedule"),
            {
                "name": options.name,
                "tenant_id": _tenant_id(cursor, options.tenant),
                "workflow": options.workflow,
                "input": json.dumps(options.input),
                "cron": options.cron,
                "time_zone": options.time_zone,
                "catch_up": options.catch_up.value,
                "catch_up_max": options.catch_up_max,
                "priority": options.priority.value,
                "deadline_s": options.deadline_s,
                "max_cost": options.max_cost_nano_usd,
                "labels": json.dumps(options.labels),
                "next_at": cron.next_after(cron.parse(options.cron), now, zones.zone(options.time_zone)),
            },
        )
    if is_whole:
        cursor.execute(statements.load("apply_schedules_rest"), {"names": [options.name for options in wanted]})
    return len(wanted)


def _tenant_id(cursor: Any, name: str) -> int:
    cursor.execute(statements.load("tenant_read"), {"name": name})
    found = cursor.fetchone()
    if found is None:
        cursor.execute(statements.load("tenant_add"), {"name": name})
        cursor.execute(statements.load("tenant_read"), {"name": name})
        found = cursor.fetchone()
    return int(found[0])


def _endpoint(cursor: Any, endpoint: deployment.Endpoint, scope_ids: dict[str, int]) -> int:
    cursor.execute(
        statements.load("apply_endpoint"),
        {
            "name": endpoint.name,
            "adapter": endpoint.adapter,
            "url": endpoint.url,
            "secret": endpoint.secret,
            "callback_secret": endpoint.callback_secret,
            "timeout_s": endpoint.timeout_s,
            "price": endpoint.price_nano_usd,
            "is_paid": endpoint.price_nano_usd > 0 or endpoint.is_list_priced or bool(endpoint.options.get("paid")),
            "is_list_priced": endpoint.is_list_priced,
            "spend_accounts": None if endpoint.spend_accounts is None else list(endpoint.spend_accounts),
            "options": json.dumps(dict(endpoint.options)),
            "scope_ids": sorted(scope_ids[name] for name in endpoint.scopes),
            "poll_lane": lanes.of_poll(endpoint.name),
            "regions": list(endpoint.regions),
        },
    )
    return int(cursor.fetchone()[0])
