-- Purpose: claim the times that runs are started for, each once for ever: what was started before comes not back. Caller: engine.recur, after
--   due_schedules in the same transaction. Rows: inserts idempotency. Locks: its rows. Index: its key. Nothing matches: all were started before.
insert into heddle_idempotency (tenant_id, operation, key, fingerprint, run_id)
select w.tenant_id, 'schedule', w.key, '', w.run_id
from unnest(%(tenants)s::int[], %(keys)s::text[], %(runs)s::uuid[]) as w (tenant_id, key, run_id)
on conflict do nothing
returning run_id
