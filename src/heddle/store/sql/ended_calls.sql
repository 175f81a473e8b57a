-- Purpose: tell which runs of one call are over, with what came of the call. Caller: engine.calls, for doors that hold a request open.
-- Rows: reads run and step; of an unknown call timer, lease, and the line of look-ups it would stand in. Indexes: keys. Locks: none.
-- Bounded by the requests a process holds. Nothing matches: none of them is over.
-- is_stuck: the call's outcome is not known and nobody looks it up any more: not later (timer), not soon (ready) and not now (lease).
select r.id, r.state, r.error, s.output,
  s.state = 'unknown' and (select true from heddle_timer t where t.run_id = r.id and t.ordinal = 1 limit 1) is null
    and (select true from heddle_lease l where l.run_id = r.id and l.ordinal = 1 limit 1) is null
    and (
      select true
      from (select a.endpoint_id from heddle_attempt a where a.run_id = r.id and a.ordinal = 1 and a.number = s.attempts offset 0) a
      join heddle_endpoint e on e.id = a.endpoint_id
      cross join lateral (
        select 1 from heddle_ready y where y.lane = e.poll_lane and y.tenant_id = s.tenant_id and y.run_id = r.id and y.ordinal = 1 offset 0
      ) y
      limit 1) is null as is_stuck
from (select r.id, r.state, r.error from heddle_run r where r.id = any(%(run_ids)s::uuid[]) offset 0) r
cross join lateral (
  select s.output, s.state, s.attempts, s.tenant_id from heddle_step s where s.run_id = r.id and s.ordinal = 1 offset 0
) s
where (r.state not in ('queued', 'running') or s.state = 'unknown')
