-- Purpose: look which timers are due. Caller: engine.schedule; the leader asks with late_s 0, everybody else with a grace, so that a dead
--   leader delays timers by the grace only. Rows: reads timer, no lock. Index: timer's due_at. `next_in_s` is when to look again. Locks: none.
with moment as materialized (
  select clock_timestamp() as now
)
select t.run_id, t.ordinal, t.kind, null::float8 as next_in_s
from heddle_timer t cross join moment
where t.due_at <= now - make_interval(secs => %(late_s)s)
order by t.due_at
limit %(limit)s
