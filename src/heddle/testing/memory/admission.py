"""Keep keys, tenants, artifacts and the deployment, and answer the statements that only a database needs.

Neighbours: the doors and ``store.apply``.
"""

import datetime
import json
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.testing.memory.tables import EndpointRow, RouteRow, Rows, ScopeRow, Statement, Tables


def nothing(_tables: Tables, **_parameters: Any) -> Rows:
    """Do nothing: a lock where every transaction runs alone, a session that has no settings, a bell nobody hears."""
    return [(0,)]


def database_time(tables: Tables) -> Rows:
    """Read the store's clock."""
    return [(tables.now_s(),)]


# Keys


def idempotency_take(
    tables: Tables, *, tenant_id: int, operation: str, key: str, fingerprint: str, run_id: uuid.UUID
) -> Rows:
    """Claim an idempotency key for a run."""
    place = (tenant_id, operation, key)
    if place in tables.idempotency:
        return []
    stored = {"fingerprint": fingerprint, "run_id": run_id, "status": None, "body": None, "location": None}
    tables.idempotency[place] = {**stored, "at": tables.now_s()}
    return [(run_id,)]


def idempotency_read(tables: Tables, *, tenant_id: int, operation: str, key: str) -> Rows:
    """Read what a key stands for."""
    found = tables.idempotency.get((tenant_id, operation, key))
    names = ("fingerprint", "run_id", "status", "body", "location")
    return [] if found is None else [tuple(found[name] for name in names)]


def idempotency_answer(
    tables: Tables, *, tenant_id: int, operation: str, key: str, status: int, body: str, location: str
) -> Rows:
    """Keep the answer that replays are given."""
    found = tables.idempotency.get((tenant_id, operation, key))
    if found is not None:
        found.update(status=status, body=body, location=location)
    return []


def prune(tables: Tables, *, hours: int, limit: int) -> Rows:
    """Remove keys and callbacks past their time."""
    until = tables.now_s() - hours * 3_600.0
    keys = [key for key, row in tables.idempotency.items() if row["at"] < until][:limit]
    events = [key for key, row in tables.inbox.items() if row[3] < until][:limit]
    for key in keys:
        del tables.idempotency[key]
    for event in events:
        del tables.inbox[event]
    return [(len(keys) + len(events),)]


def api_key(tables: Tables, *, key_hash: str, now: datetime.datetime) -> Rows:
    """Find a living API key by its hash."""
    found = tables.api_keys.get(key_hash)
    if found is None or (found[3] is not None and found[3] <= now):
        return []
    tenant, weight = tables.tenants[found[0]]
    return [(found[0], tenant, weight, found[1], found[2])]


def api_key_add(
    tables: Tables,
    *,
    tenant_id: int,
    name: str,
    key_hash: str,
    scopes: Sequence[str],
    expires_at: datetime.datetime | None,
) -> Rows:
    """Keep the hash of a new API key."""
    tables.api_keys.setdefault(key_hash, (tenant_id, name, list(scopes), expires_at))
    return []


# Tenants and artifacts


def tenant_read(tables: Tables, *, name: str) -> Rows:
    """Read a tenant by name."""
    found = (row for row in tables.tenants.items() if row[1][0] == name)
    return [(tenant_id, *tenant) for tenant_id, tenant in found]


def tenant_add(tables: Tables, *, name: str) -> Rows:
    """Make a tenant if it is not there."""
    return apply_tenant(tables, name=name, weight=None)


def tenant_names(tables: Tables) -> Rows:
    """Read tenants' names."""
    return [(tenant_id, tenant[0]) for tenant_id, tenant in sorted(tables.tenants.items())]


def record_artifact(tables: Tables, *, tenant_id: int, sha256: str, media_type: str, size_bytes: int) -> Rows:
    """Note that a tenant owns an artifact."""
    tables.artifacts.setdefault((tenant_id, sha256), (media_type, size_bytes))
    return []


def artifact_read(tables: Tables, *, tenant_id: int, sha256: str) -> Rows:
    """Find a tenant's artifact."""
    found = tables.artifacts.get((tenant_id, sha256))
    return [] if found is None else [found]


# The deployment


def apply_scope(
    tables: Tables,
    *,
    name: str,
    concurrency: int | None,
    floor: int | None,
    requests: int | None,
    requests_burst: int,
    **_unlimited: int | None,
) -> Rows:
    """Write the limits of a scope; its state is never touched. Tokens and images are not limited here, and slots that
    adapt stay at their floor.
    """
    rpm, burst, concurrency = requests, requests_burst, floor if concurrency is None else concurrency
    scope = next((row for row in tables.scopes.values() if row.name == name), None)
    if scope is None:
        number = tables.next("scope")
        tables.scopes[number] = ScopeRow(
            id=number, name=name, concurrency=concurrency, requests_per_min=rpm, requests_burst=burst
        )
    else:
        scope.concurrency, scope.requests_per_min, scope.requests_burst = concurrency, rpm, burst
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
        options=json.loads(about["options"]),
        scope_ids=list(scope_ids),
        poll_lane=about["poll_lane"],
    )
    return [(number,)]


def apply_clear(tables: Tables, *, names: Sequence[str]) -> Rows:
    """Disable endpoints that are no longer named, and remove all routes."""
    tables.routes.clear()
    for row in tables.endpoints.values():
        row.is_enabled = row.is_enabled and row.name in names
    return []


def apply_route(tables: Tables, *, model: str, endpoint: int, tier: int, weight: float) -> Rows:
    """Add a route."""
    tables.routes.append(RouteRow(model=model, endpoint_id=endpoint, tier=tier, weight=weight))
    return []


def apply_model(
    tables: Tables, *, name: str, policy: str, after: float, tokens: int | None, images: int | None
) -> Rows:
    """Write what a model's owner chose."""
    tables.models[name] = (policy, after)
    return []


def apply_tenant(tables: Tables, *, name: str, weight: int | None) -> Rows:
    """Write a tenant's share."""
    known = next((tenant_id for tenant_id, tenant in tables.tenants.items() if tenant[0] == name), None)
    if known is None:
        tables.tenants[max(tables.tenants) + 1] = (name, weight or 1)
    elif weight is not None:
        tables.tenants[known] = (name, weight)
    return []


def apply_override(tables: Tables, *, name: str) -> Rows:
    """Leave the file's limits: no operator sets others here."""
    return []


STATEMENTS: dict[str, Statement] = {
    "lock_runs": nothing,
    "lock_capped": nothing,
    "notify": nothing,
    "database_time": database_time,
    "idempotency_take": idempotency_take,
    "idempotency_read": idempotency_read,
    "idempotency_answer": idempotency_answer,
    "prune": prune,
    "api_key": api_key,
    "api_key_add": api_key_add,
    "tenant_read": tenant_read,
    "tenant_add": tenant_add,
    "tenant_names": tenant_names,
    "record_artifact": record_artifact,
    "artifact_read": artifact_read,
    "apply_scope": apply_scope,
    "apply_override": apply_override,
    "scope_id": scope_id,
    "apply_endpoint": apply_endpoint,
    "apply_clear": apply_clear,
    "apply_route": apply_route,
    "apply_model": apply_model,
    "apply_tenant": apply_tenant,
}
