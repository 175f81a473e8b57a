-- Purpose: make a tenant's next signing secret; those before it count for a grace period more at most, also those that were retired with a longer
--   one: who rotates without grace has lost a secret, and does not say which. Caller: operators, which audit it.
-- Rows: updates and inserts webhook_secret. Locks: the tenant's rows there. Index: its key.
-- Nothing matches: another rotation was faster; the caller says so.
with retired as (
  update heddle_webhook_secret set retires_at = clock_timestamp() + make_interval(secs => %(grace_s)s)
  where tenant_id = %(tenant_id)s and coalesce(retires_at > clock_timestamp() + make_interval(secs => %(grace_s)s), true)
)
insert into heddle_webhook_secret (tenant_id, version)
select %(tenant_id)s, coalesce(max(version), 0) + 1 from heddle_webhook_secret where tenant_id = %(tenant_id)s
on conflict do nothing
returning version, salt
