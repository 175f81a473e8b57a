-- Purpose: show API keys, never what they are: theirs are hashes. Caller: operators' api_keys. Rows: reads api_key, tenant. Index: their keys.
-- Locks: none. Nothing matches: the tenant has no key.
select k.id, t.name, k.name, k.scopes, k.created_at, k.expires_at, k.revoked_at
from heddle_api_key k
join heddle_tenant t on t.id = k.tenant_id
where %(tenant_id)s::int is null or k.tenant_id = %(tenant_id)s
order by k.id desc
limit %(limit)s
