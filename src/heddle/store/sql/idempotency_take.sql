-- Purpose: claim idempotency keys for runs. Caller: doors' submit, first in its transaction. Rows: inserts idempotency, in order of the keys.
-- Locks: waits for a racer that is inserting the same key. Who has a key is read afterwards, in a statement of its own (idempotency_read), so
--   that it sees what the racer committed; new_runs writes only the runs that have theirs.
insert into heddle_idempotency (tenant_id, operation, key, fingerprint, run_id, status, body, location)
select * from unnest(%(key_tenants)s::int[], %(key_operations)s::text[], %(key_names)s::text[], %(fingerprints)s::text[], %(key_runs)s::uuid[],
  %(statuses)s::int[], %(bodies)s::text[], %(locations)s::text[]) as k (tenant_id, operation, key, fingerprint, run_id, status, body, location)
order by tenant_id, operation, key
on conflict do nothing
