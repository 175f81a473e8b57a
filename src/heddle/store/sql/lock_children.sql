-- Purpose: lock child runs that are to go on with the run above them. Caller: engine.schedule, after take_timers, while it holds runs of any id:
--   so it waits for nothing (skip locked), and what somebody else holds is tried again a moment later.
-- Rows: locks run by id. Locks: run. Index: run's key. Nothing matches: others hold them, or their week is gone.
select id from heddle_run where id = any(%(run_ids)s::uuid[]) order by id for no key update skip locked
