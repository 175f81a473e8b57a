-- Purpose: show the addresses of a tenant that get nothing any more. Caller: operators. Rows: reads webhook_disabled. Index: its key.
-- Locks: none. Bounded by limit.
select url, reason, at from heddle_webhook_disabled where tenant_id = %(tenant_id)s order by url limit %(limit)s
