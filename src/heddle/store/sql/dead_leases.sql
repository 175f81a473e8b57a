-- Purpose: list a batch of dead workers' leases. Caller: engine.sweep, before lock_runs and reclaim. Rows: reads lease. Index: its worker.
-- Locks: none.
select run_id, ordinal, fence from heddle_lease where worker_id = any(%(workers)s::bigint[]) order by run_id, ordinal limit %(limit)s
