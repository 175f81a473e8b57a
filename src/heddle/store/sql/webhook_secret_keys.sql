-- Purpose: name the signing secrets that count, newest first. Callers: engine.deliver, after webhook_secret_first; operators.
-- Rows: reads webhook_secret. Index: its key. Locks: none.
select tenant_id, version, salt, created_at, retires_at from heddle_webhook_secret
where tenant_id = any(%(tenants)s::int[]) and (retires_at is null or retires_at > clock_timestamp())
order by tenant_id, version desc
