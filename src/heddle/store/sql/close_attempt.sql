-- Purpose: close what is left of cancelled steps whose provider job is now known to be over: lease, timer, slot and attempt.
-- What the attempt reserved is charged or released as in settle.sql, once: an attempt that had ended before has its entries, and
--   keeps the cost that they were made of.
-- The run and its step show what was charged, though both are over.
-- Caller: engine.poll for steps of a stopped run, after lock_runs in the same transaction. Rows: lease, attempt, ledger, step, run, timer, slot,
--   limit_delta. Locks in order: run (held) -> lease, step, attempt, timer. Indexes: keys.
-- Nothing matches: the lease was taken by a reclaim, which has put the job in line again.
with gone as (
  delete from heddle_lease l where l.ctid = any(array(
    select l.tid from unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(fences)s::bigint[]) as w (run_id, ordinal, fence)
    cross join lateral (
      select l.ctid as tid from heddle_lease l where l.run_id = w.run_id and l.ordinal = w.ordinal and l.fence = w.fence offset 0
    ) l))
  returning l.run_id, l.ordinal, l.number, l.tenant_id
), attempts as (
  update heddle_attempt a set
    state = case when a.state in ('done', 'rejected', 'late', 'abandoned') then a.state else w.state end,
    cost_nano_usd = case when a.state in ('done', 'rejected', 'late', 'abandoned') then a.cost_nano_usd
      else coalesce(w.cost, a.cost_nano_usd, case when w.state = 'done' then a.price_nano_usd end) end,
    finished_at = coalesce(a.finished_at, clock_timestamp())
  from gone g
  cross join lateral (
    select o.state from heddle_attempt o where o.run_id = g.run_id and o.ordinal = g.ordinal and o.number = g.number offset 0
  ) o
  join unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(states)s::text[], %(costs)s::bigint[])
    as w (run_id, ordinal, state, cost)
    on w.run_id = g.run_id and w.ordinal = g.ordinal
  where a.run_id = g.run_id and a.ordinal = g.ordinal and a.number = g.number
  returning a.run_id, a.ordinal, a.number, a.endpoint_id, a.state, a.sent_at, g.tenant_id, coalesce(a.cost_nano_usd, 0) as cost,
    w.cost is null and w.state = 'done' as is_as_reserved, o.state in ('done', 'rejected', 'late', 'abandoned') as was_closed
), closed as materialized (
  select t.*, g.amount_nano_usd as held,
    t.is_as_reserved and coalesce((select e.is_list_priced from heddle_endpoint e where e.id = t.endpoint_id), false) as is_estimated,
    coalesce(g.day, (clock_timestamp() at time zone 'UTC')::date) as day,
    coalesce(g.workflow, (select r.workflow from heddle_run r where r.id = t.run_id)) as workflow,
    (select s.name from heddle_step s where s.run_id = t.run_id and s.ordinal = t.ordinal) as model
  from attempts t
  left join lateral (
    select g.amount_nano_usd, g.day, g.workflow from heddle_ledger g
    where g.run_id = t.run_id and g.ordinal = t.ordinal and g.number = t.number and g.kind = 'reserve' offset 0
  ) g on true
  where not t.was_closed and t.state in ('done', 'rejected', 'late', 'abandoned')
), unreserved as (
  insert into heddle_ledger (tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd, day, workflow, model)
  select tenant_id, run_id, ordinal, number, endpoint_id, 'release', held - cost, day, workflow, model from closed where held <> cost
  on conflict (run_id, ordinal, number, kind) do nothing
), booked as (
  insert into heddle_ledger (tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd, day, workflow, model, is_estimated)
  select tenant_id, run_id, ordinal, number, endpoint_id, 'charge', cost, day, workflow, model, is_estimated from closed
  where cost > 0 or sent_at is not null and state in ('done', 'late')
  on conflict (run_id, ordinal, number, kind) do nothing
  returning run_id, ordinal, endpoint_id, amount_nano_usd, is_estimated
), steps as (
  update heddle_step s set cost_nano_usd = s.cost_nano_usd + b.amount_nano_usd
  from booked b where s.run_id = b.run_id and s.ordinal = b.ordinal
), runs as (
  update heddle_run r set cost_nano_usd = r.cost_nano_usd + b.amount
  from (select run_id, sum(amount_nano_usd)::bigint as amount from booked group by run_id) b
  where r.id = b.run_id
), unwatched as (
  delete from heddle_timer t where t.ctid = any(array(
    select t.tid from gone g
    cross join lateral (
      select t.ctid as tid from heddle_timer t where t.run_id = g.run_id and t.ordinal = g.ordinal and t.kind = 'reconcile' offset 0
    ) t))
), unslotted as (
  delete from heddle_slot k where k.ctid = any(array(
    select k.tid from gone g
    cross join lateral (select k.ctid as tid from heddle_slot k where k.run_id = g.run_id and k.ordinal = g.ordinal offset 0) k))
  returning k.endpoint_id
), released as (
  insert into heddle_limit_delta (scope_id, released, ok, failed, epoch)
  select l.id, count(*), 0, 0, l.breaker_epoch
  from unslotted u join heddle_endpoint e on e.id = u.endpoint_id join heddle_limit_state l on l.id = any(e.scope_ids)
  group by l.id, l.breaker_epoch
)
select endpoint_id, sum(amount_nano_usd)::bigint as nano_usd, count(*) filter (where is_estimated)::int as estimates
from booked
group by endpoint_id
order by endpoint_id
