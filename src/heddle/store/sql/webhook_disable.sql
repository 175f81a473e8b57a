-- Purpose: note that addresses said they are gone. Caller: engine.deliver, last in the transaction of outbox_write.
-- Rows: inserts webhook_disabled. Locks: none that exist. Nothing matches: it is known.
insert into heddle_webhook_disabled (tenant_id, url, reason)
select w.tenant_id, w.url, w.reason
from unnest(%(tenants)s::int[], %(urls)s::text[], %(reasons)s::text[]) as w (tenant_id, url, reason)
order by w.tenant_id, w.url
on conflict do nothing
