-- Purpose: show calls whose outcome at the provider nobody knows, those of the oldest runs first. Caller: operators' unknown_calls.
-- Rows: reads attempt, step, run, tenant, endpoint, timer, lease. Indexes: heddle_attempt_unknown; the others' keys. Locks: none.
-- Bounded: at most look unknown attempts after the mark are looked at. Those of a stopped run stay unknown and are passed over: somebody has
--   decided about it. Nothing matches: one row tells how many were looked at and the last of them, its other columns null.
with looked as materialized (
  select a.run_id, a.ordinal, a.number, a.endpoint_id, a.handle, a.price_nano_usd, a.unknown_at
  from heddle_attempt a
  where a.state = 'unknown' and a.run_id >= %(run_id)s::uuid
    and (a.run_id, a.ordinal, a.number) > (%(run_id)s::uuid, %(ordinal)s::int, %(number)s::int)
  order by a.run_id, a.ordinal, a.number
  limit %(look)s
), last as (
  select l.run_id, l.ordinal, l.number from looked l order by l.run_id desc, l.ordinal desc, l.number desc limit 1
)
select (select count(*) from looked) as looked_at, last.run_id, last.ordinal, last.number, v.*
from (select 1) one
left join last on true
left join lateral (
  select l.run_id, l.ordinal, l.number, t.name as tenant, r.workflow, s.name, e.name as endpoint, l.handle, l.price_nano_usd, l.unknown_at,
    exists (select 1 from heddle_lease h where h.run_id = l.run_id and h.ordinal = l.ordinal) as is_looked_up,
    (select min(m.due_at) from heddle_timer m where m.run_id = l.run_id and m.ordinal = l.ordinal and m.kind = 'reconcile') as next_look_at
  from looked l
  join heddle_step s on s.run_id = l.run_id and s.ordinal = l.ordinal and s.state = 'unknown' and s.attempts = l.number
  join heddle_run r on r.id = l.run_id
  join heddle_tenant t on t.id = s.tenant_id
  left join heddle_endpoint e on e.id = l.endpoint_id
  where %(tenant_id)s::int is null or s.tenant_id = %(tenant_id)s
  order by l.run_id, l.ordinal, l.number
  limit %(limit)s
) v on true
order by v.run_id, v.ordinal, v.number
