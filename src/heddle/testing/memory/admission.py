"""Keep keys, tenants and artifacts, and answer the statements that only a database needs.

Neighbours: the doors; deploying has what an operator writes.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from heddle.testing.memory.deployed import TenantRow
from heddle.testing.memory.tables import Rows, Statement, Tables

_WORKERS_KEPT_S = 30 * 86_400.0


def nothing(_tables: Tables, **_parameters: Any) -> Rows:
    """Do nothing: a lock where every transaction runs alone, a session that has no settings, a bell nobody hears."""
    return [(0,)]


def database_time(tables: Tables) -> Rows:
    """Read the store's clock."""
    return [(tables.now_s(),)]


# Keys


def idempotency_take(
    tables: Tables,
    *,
    key_tenants: Sequence[int],
    key_operations: Sequence[str],
    key_names: Sequence[str],
    **about: Sequence[Any],
) -> Rows:
    """Claim idempotency keys for runs."""
    names = ("fingerprints", "key_runs", "statuses", "bodies", "locations")
    for place, found in zip(
        zip(key_tenants, key_operations, key_names, strict=True),
        zip(*(about[name] for name in names), strict=True),
        strict=True,
    ):
        kept = dict(zip(("fingerprint", "run_id", "status", "body", "location"), found, strict=True))
        tables.idempotency.setdefault(place, {**kept, "at": tables.now_s()})
    return []


def idempotency_read(
    tables: Tables,
    *,
    key_tenants: Sequence[int],
    key_operations: Sequence[str],
    key_names: Sequence[str],
    **_about: Sequence[Any],
) -> Rows:
    """Read what keys stand for."""
    names = ("fingerprint", "run_id", "status", "body", "location")
    places = zip(key_tenants, key_operations, key_names, strict=True)
    found = [(place, tables.idempotency[place]) for place in places if place in tables.idempotency]
    return [(*place, *(kept[name] for name in names)) for place, kept in found]


def idempotency_answer(
    tables: Tables, *, tenant_id: int, operation: str, key: str, status: int, body: str, location: str
) -> Rows:
    """Keep the answer that replays are given."""
    found = tables.idempotency.get((tenant_id, operation, key))
    if found is not None:
        found.update(status=status, body=body, location=location)
    return []


def prune(tables: Tables, *, hours: int, limit: int) -> Rows:
    """Remove keys, callbacks, strays and workers past their time."""
    until = tables.now_s() - hours * 3_600.0
    keys = [key for key, row in tables.idempotency.items() if row["at"] < until][:limit]
    events = [key for key, row in tables.inbox.items() if row[3] < until][:limit]
    for key in keys:
        del tables.idempotency[key]
    for event in events:
        del tables.inbox[event]
    strays = [key for key, at in tables.strays.items() if at < until][:limit]
    for stray in strays:
        del tables.strays[stray]
    holding = {lease.worker_id for lease in tables.leases.values()}
    workers = [
        row.id
        for row in tables.workers.values()
        if row.state in ("dead", "gone") and row.seen_at < tables.now_s() - _WORKERS_KEPT_S and row.id not in holding
    ][:limit]
    for worker in workers:
        del tables.workers[worker]
    return [(len(keys) + len(events) + len(strays) + len(workers),)]


def api_key(tables: Tables, *, key_hash: str, now: datetime.datetime) -> Rows:
    """Find a living API key by its hash."""
    found = tables.api_keys.get(key_hash)
    if found is None or (found[3] is not None and found[3] <= now):
        return []
    return [(*_tenant(tables.tenants[found[0]]), found[1], found[2])]


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
    return [_tenant(row) for row in tables.tenants.values() if row.name == name]


def _tenant(row: TenantRow) -> tuple[Any, ...]:
    bounds = (row.runs_per_min, row.open_runs_max, row.budget_nano_usd_per_day, row.budget_nano_usd_per_month)
    return (row.id, row.name, row.weight, *bounds)


def tenant_add(tables: Tables, *, name: str) -> Rows:
    """Make a tenant if it is not there."""
    if not any(row.name == name for row in tables.tenants.values()):
        number = max(tables.tenants) + 1
        tables.tenants[number] = TenantRow(id=number, name=name)
    return []


def tenant_names(tables: Tables) -> Rows:
    """Read tenants' names."""
    return [(tenant_id, row.name) for tenant_id, row in sorted(tables.tenants.items())]


def record_artifact(tables: Tables, *, tenant_id: int, sha256: str, media_type: str, size_bytes: int) -> Rows:
    """Note that a tenant owns an artifact."""
    tables.artifacts.setdefault((tenant_id, sha256), (media_type, size_bytes))
    return []


def artifact_read(tables: Tables, *, tenant_id: int, sha256: str) -> Rows:
    """Find a tenant's artifact."""
    found = tables.artifacts.get((tenant_id, sha256))
    return [] if found is None else [found]


STATEMENTS: dict[str, Statement] = {
    "lock_runs": nothing,
    "lock_capped": nothing,
    "lock_budgets": nothing,
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
}
