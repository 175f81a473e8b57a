-- Purpose: read what idempotency keys stand for. Caller: doors' submit after its commit, and replay. Rows: reads idempotency. Index: key.
-- Locks: none. Nothing matches: nobody has used these keys.
select i.tenant_id, i.operation, i.key, i.fingerprint, i.run_id, i.status, i.body, i.location
from unnest(%(key_tenants)s::int[], %(key_operations)s::text[], %(key_names)s::text[]) as k (tenant_id, operation, key)
join heddle_idempotency i on i.tenant_id = k.tenant_id and i.operation = k.operation and i.key = k.key
