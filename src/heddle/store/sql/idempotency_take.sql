-- Purpose: claim an idempotency key for a run. Caller: doors' submit, first in its transaction. Rows: inserts idempotency.
-- Locks: waits for a racer that is inserting the same key. No row comes back when the key was there: idempotency_read is the next statement,
--   so that it sees what the racer committed.
insert into heddle_idempotency (tenant_id, operation, key, fingerprint, run_id)
values (%(tenant_id)s, %(operation)s, %(key)s, %(fingerprint)s, %(run_id)s)
on conflict do nothing
returning run_id
