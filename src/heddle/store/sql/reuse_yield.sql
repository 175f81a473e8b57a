-- Purpose: let a call that others wait for, and that has not begun, stand back for an equal one of a higher class: it looks again, and finds that one.
--   Without this both would be paid for.
-- Caller: engine.reuse, after lock_runs (of both) and requeue_lock (of the queues that the call may be in: no claim takes it meanwhile) in the
--   same transaction.
-- Rows: step (its lane), ready (moved), result (deleted). Locks in order: run (held) -> advisory (held) -> step -> ready; result.
-- Indexes: keys; one queue is read for the call's row. Nothing matches: the call has begun, is over, or is no longer the noted one.
with noted as materialized (
  select o.tenant_id as scope, o.key, s.run_id, s.ordinal, m.model_lane, m.look_lane
  from heddle_result o
  join heddle_step s on s.run_id = o.run_id and s.ordinal = o.ordinal and s.state in ('due', 'waiting')
  join unnest(%(model_lanes)s::bigint[], %(look_lanes)s::bigint[]) as m (model_lane, look_lane) on m.model_lane = s.lane
  where o.tenant_id = %(scope)s and o.key = %(key)s and o.run_id = %(run_id)s
    and not exists (select 1 from heddle_lease l where l.run_id = s.run_id and l.ordinal = s.ordinal)
    and not exists (select 1 from heddle_slot k where k.run_id = s.run_id and k.ordinal = s.ordinal)
), back as (
  update heddle_step s set lane = n.look_lane
  from noted n
  where s.run_id = n.run_id and s.ordinal = n.ordinal
  returning s.run_id, s.ordinal, s.tenant_id, n.model_lane, n.look_lane
), unlined as (
  delete from heddle_ready y
  using back b
  where y.lane = b.model_lane and y.tenant_id = b.tenant_id and y.run_id = b.run_id and y.ordinal = b.ordinal
  returning b.look_lane, b.tenant_id, b.run_id, b.ordinal
), lined as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select look_lane, tenant_id, run_id, ordinal from unlined order by run_id, ordinal
)
delete from heddle_result o
using noted n
where o.tenant_id = n.scope and o.key = n.key and o.run_id = n.run_id and o.ordinal = n.ordinal
returning o.run_id
