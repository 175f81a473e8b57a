-- Purpose: refuse an API key from now on. Caller: operators' revoke_api_key, which audits it. Rows: updates api_key. Locks: that row. Index: its key.
-- Nothing matches: there is no such key. One that is revoked stays as it is.
update heddle_api_key k set revoked_at = coalesce(k.revoked_at, clock_timestamp())
from heddle_tenant t, heddle_api_key before
where k.id = %(id)s and t.id = k.tenant_id and before.id = k.id
returning t.name, k.name, before.revoked_at, k.revoked_at
