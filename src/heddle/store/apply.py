"""Write a deployment (``heddle.toml``) to the database: endpoints, scopes, routes, models, tenants, in one
transaction.

What the file no longer names is disabled, not deleted: attempts refer to it. State (slots, breakers, clocks) is
never touched. A second call with the same file changes nothing.
"""

import dataclasses
import json
from typing import Any

from heddle.config import deployment
from heddle.core import lanes
from heddle.store import statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Tell what a file named."""

    endpoints: int
    scopes: int
    routes: int
    models: int
    tenants: int


def apply(cursor: Any, wanted: deployment.Deployment) -> Applied:
    """Write a deployment through a cursor inside the caller's transaction."""
    scopes = {
        **{name: deployment.Scope(name=name) for e in wanted.endpoints.values() for name in e.scopes},
        **wanted.scopes,
    }
    scope_ids: dict[str, int] = {}
    for scope in sorted(scopes.values(), key=lambda scope: scope.name):
        rpm = scope.requests_per_min
        burst = scope.requests_burst or (1 if rpm is None else 1 + rpm // 60)
        cursor.execute(
            statements.load("apply_scope"),
            {"name": scope.name, "concurrency": scope.concurrency, "rpm": rpm, "burst": burst},
        )
        cursor.execute(statements.load("scope_id"), {"name": scope.name})
        scope_ids[scope.name] = cursor.fetchone()[0]
    endpoint_ids = {endpoint.name: _endpoint(cursor, endpoint, scope_ids) for endpoint in wanted.endpoints.values()}
    cursor.execute(statements.load("apply_clear"), {"names": list(endpoint_ids)})
    for route in wanted.routes:
        cursor.execute(
            statements.load("apply_route"),
            {
                "model": route.model,
                "endpoint": endpoint_ids[route.endpoint],
                "tier": route.tier,
                "weight": route.weight,
            },
        )
    for model in wanted.models.values():
        cursor.execute(
            statements.load("apply_model"),
            {"name": model.name, "policy": model.unknown_policy, "after": model.fallback_after_s},
        )
    for tenant in wanted.tenants.values():
        cursor.execute(
            statements.load("apply_tenant"),
            {
                "name": tenant.name,
                "weight": tenant.weight,
                "runs_per_min": tenant.runs_per_min,
                "open_runs_max": tenant.open_runs_max,
                "budget": tenant.budget_nano_usd_per_day,
            },
        )
    return Applied(
        endpoints=len(endpoint_ids),
        scopes=len(scope_ids),
        routes=len(wanted.routes),
        models=len(wanted.models),
        tenants=len(wanted.tenants),
    )


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
            "is_paid": endpoint.price_nano_usd > 0 or bool(endpoint.options.get("paid")),
            "options": json.dumps(dict(endpoint.options)),
            "scope_ids": sorted(scope_ids[name] for name in endpoint.scopes),
            "poll_lane": lanes.of_poll(endpoint.name),
        },
    )
    return int(cursor.fetchone()[0])
