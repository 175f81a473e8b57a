-- Purpose: list a worker's leases older than a grace, so that those it does not know of are given back. Caller: engine.heartbeat.
-- Rows: reads lease. Index: lease's worker. Locks: none.
select run_id, ordinal, fence, number, purpose, endpoint_id from heddle_lease
where worker_id = %(worker)s and claimed_at < clock_timestamp() - make_interval(secs => %(grace_s)s)
