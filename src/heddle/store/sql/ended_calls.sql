-- Purpose: tell which runs of one call are over, with what came of the call. Caller: engine.calls, for doors that hold a request open.
-- Rows: reads run and step. Indexes: keys. Locks: none. Bounded by the requests a process holds. Nothing matches: none of them is over.
-- is_stuck: the call's outcome is not known and nobody looks it up any more.
select r.id, r.state, r.error, s.output,
  s.state = 'unknown' and not exists (select 1 from heddle_timer t where t.run_id = r.id and t.ordinal = 1)
    and not exists (select 1 from heddle_lease l where l.run_id = r.id and l.ordinal = 1) as is_stuck
from heddle_run r
join heddle_step s on s.run_id = r.id and s.ordinal = 1
where r.id = any(%(run_ids)s::uuid[])
  and (r.state not in ('queued', 'running') or s.state = 'unknown')
