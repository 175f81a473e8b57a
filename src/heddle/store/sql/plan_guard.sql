-- Purpose: fail, on purpose, when a first activation of the batch is no longer what its plan was made for: its lease is gone, or somebody has
--   signalled the run or asked it to stop. Its plan needs no other fact, so no round trip is spent on asking.
-- Caller: engine.activate, after lock_runs in the same transaction; division by zero sends the batch the long way, by plan_facts.
-- Rows: reads run and lease. Indexes: keys. Locks: none.
select 1 / (count(*) = cardinality(%(run_ids)s::uuid[]))::int as is_as_seen
from unnest(%(run_ids)s::uuid[], %(fences)s::bigint[], %(wake_seqs)s::int[]) as w (run_id, fence, wake_seq)
cross join lateral (
  select 1 from heddle_run r
  where r.id = w.run_id and r.wake_seq = w.wake_seq and r.planned = 0 and r.stopping is null and r.state in ('queued', 'running') offset 0
) r
cross join lateral (
  select 1 from heddle_lease l where l.run_id = w.run_id and l.ordinal = 0 and l.fence = w.fence offset 0
) l
