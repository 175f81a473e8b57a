-- Purpose: look which timers are due. Caller: engine.schedule; the leader asks with late_s 0, everybody else with a grace, so that a dead
--   leader delays timers by the grace only. Rows: reads timer, no lock. Index: timer's due_at. `next_in_s` is when to look again. Locks: none.
select t.run_id, t.ordinal, t.kind, null::float8 as next_in_s
from heddle_timer t
-- An instant of its own, since a join with one may be planned the other way round: every timer read, and asked whether it is due.
where t.due_at <= (select clock_timestamp()) - make_interval(secs => %(late_s)s)
order by t.due_at
limit %(limit)s
