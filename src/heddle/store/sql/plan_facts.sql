-- Purpose: read, under the run locks, what a plan depends on: whether the activation still holds its lease and saw everything, and how the
--   calls it names stand now.
-- Caller: engine.activate, after lock_runs in the same transaction. Rows: reads run, lease, step. Indexes: keys.
-- Nothing matches: a run without a row has lost its lease; its plan is dropped. Locks: none.
select r.id as run_id, r.wake_seq, r.open, r.planned, r.stopping, r.priority, r.tenant_id, r.chain_number,
  (select json_object_agg(s.ordinal, s.state) from unnest(%(runs)s::uuid[], %(ordinals)s::int[]) as w (run_id, ordinal)
   join heddle_step s on s.run_id = w.run_id and s.ordinal = w.ordinal where w.run_id = r.id) as states,
  (select json_object_agg(g.name, g.n) from (
    select name, count(*) as n from heddle_signal where run_id = r.id and consumed_by is null group by name) g) as signals
from unnest(%(run_ids)s::uuid[], %(fences)s::bigint[]) as w (run_id, fence)
join heddle_run r on r.id = w.run_id
join heddle_lease l on l.run_id = w.run_id and l.ordinal = 0 and l.fence = w.fence
where r.state in ('queued', 'running')
order by r.id
