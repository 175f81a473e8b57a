-- Purpose: give tenants that have no signing secret their first one. Caller: engine.deliver, for tenants whose events came without a key.
-- Rows: inserts webhook_secret. Locks: none that exist. Nothing matches: another worker was faster.
insert into heddle_webhook_secret (tenant_id, version)
select tenant_id, 1 from unnest(%(tenants)s::int[]) as w (tenant_id)
order by tenant_id
on conflict do nothing
