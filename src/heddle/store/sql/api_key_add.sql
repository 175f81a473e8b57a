-- Purpose: keep the hash of a new API key. Caller: doors' create_api_key. Rows: inserts api_key. The same hash again changes nothing.
-- Locks: none that exist.
insert into heddle_api_key (tenant_id, name, key_hash, scopes, expires_at)
values (%(tenant_id)s, %(name)s, %(key_hash)s, %(scopes)s, %(expires_at)s)
on conflict (key_hash) do nothing
