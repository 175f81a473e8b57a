-- Purpose: name the runs that must be locked besides those that go on as others: the run above each, and the first of its chain.
-- Caller: engine.activate, before lock_runs; both are written once, when the run is made. Rows: reads run. Index: its key. Locks: none.
select parent_run, chain_first from heddle_run where id = any(%(run_ids)s::uuid[])
