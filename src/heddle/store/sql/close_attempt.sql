-- Purpose: close what is left of cancelled steps whose provider job is now known to be over: lease, timer, slot and attempt.
-- Caller: engine.poll for steps of a stopped run. Rows: lease, attempt, ledger, timer, slot, limit_delta. Locks: lease -> attempt -> timer. Indexes: keys.
-- Nothing matches: the lease was taken by a reclaim, which has put the job in line again.
with gone as (
  delete from heddle_lease l
  using unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(fences)s::bigint[]) as w (run_id, ordinal, fence)
  where l.run_id = w.run_id and l.ordinal = w.ordinal and l.fence = w.fence
  returning l.run_id, l.ordinal, l.number, l.tenant_id
), attempts as (
  update heddle_attempt a set state = case when a.state in ('done', 'rejected', 'late', 'abandoned') then a.state else w.state end, cost_nano_usd = coalesce(w.cost, a.cost_nano_usd), finished_at = clock_timestamp()
  from gone g
  join unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(states)s::text[], %(costs)s::bigint[]) as w (run_id, ordinal, state, cost)
    on w.run_id = g.run_id and w.ordinal = g.ordinal
  where a.run_id = g.run_id and a.ordinal = g.ordinal and a.number = g.number
  returning a.run_id, a.ordinal, a.number, a.endpoint_id, g.tenant_id, w.cost
), booked as (
  insert into heddle_ledger (tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd)
  select tenant_id, run_id, ordinal, number, endpoint_id, 'charge', cost from attempts where coalesce(cost, 0) > 0
  on conflict (run_id, ordinal, number, kind) do nothing
), unwatched as (
  delete from heddle_timer t using gone g where t.run_id = g.run_id and t.ordinal = g.ordinal and t.kind = 'reconcile'
), unslotted as (
  delete from heddle_slot k using gone g where k.run_id = g.run_id and k.ordinal = g.ordinal returning k.endpoint_id
)
insert into heddle_limit_delta (scope_id, released, ok, failed, epoch)
select l.id, count(*), 0, 0, l.breaker_epoch
from unslotted u join heddle_endpoint e on e.id = u.endpoint_id join heddle_limit_state l on l.id = any(e.scope_ids)
group by l.id, l.breaker_epoch
