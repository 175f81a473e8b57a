-- Purpose: keep claims out of one queue for the rest of the transaction. Caller: engine.operate, before requeue: a statement of its own, so
--   that requeue sees what the claim before it left. Waits for the transaction of one claim. Rows: none. Locks: advisory (lane, tenant).
select pg_advisory_xact_lock(hashint8extended(%(lane)s, %(tenant_id)s))
