-- Purpose: find a living API key by its hash. Caller: doors' api_key. Rows: reads api_key, tenant. Index: the hash. Locks: none.
select t.id, t.name, t.weight, t.runs_per_min, t.open_runs_max, t.budget_nano_usd_per_day, t.budget_nano_usd_per_month, k.name, k.scopes
from heddle_api_key k
join heddle_tenant t on t.id = k.tenant_id
where k.key_hash = %(key_hash)s and k.revoked_at is null and (k.expires_at is null or k.expires_at > %(now)s)
