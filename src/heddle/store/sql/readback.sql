-- Purpose: find what a claim of unknown outcome took. Caller: engine.claim after a lost connection: it gives those leases back.
-- Rows: reads lease. Index: lease's worker. Locks: none.
select run_id, ordinal, fence, number, purpose, endpoint_id from heddle_lease where worker_id = %(worker)s and claim_id = any(%(claim_ids)s::uuid[])
