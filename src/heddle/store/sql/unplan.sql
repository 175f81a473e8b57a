-- Purpose: give an activation back to be run again: something it did not see (a request to stop, a signal) happened while it ran.
-- Caller: engine.activate, after plan_facts in the same transaction. Rows: lease, ready, run. Locks: run (held) -> ready -> lease. Index: keys.
-- Nothing matches: the lease was taken by a reclaim, which has made the activation ready by itself.
with gone as (
  delete from heddle_lease l
  using unnest(%(run_ids)s::uuid[], %(fences)s::bigint[]) as w (run_id, fence)
  where l.run_id = w.run_id and l.ordinal = 0 and l.fence = w.fence
  returning l.run_id, l.lane, l.tenant_id
)
insert into heddle_ready (lane, tenant_id, run_id, ordinal)
select lane, tenant_id, run_id, 0 from gone order by run_id
