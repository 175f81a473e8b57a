-- Purpose: read, under the run locks, what a plan depends on: whether the activation still holds its lease and saw everything, and how the
--   calls it names stand now.
-- Caller: engine.activate, after lock_runs in the same transaction. Rows: reads run, lease, step, tenant and, of tenants with a quota, open_run. Indexes: keys.
-- over_bound: the quota that was used up by the tenant's runs admitted before this one, at its first activation. Of the runs of any minute, and of
--   those that are not over, the first stand: whoever reads, whenever, comes to the same, so that doors that raced each other need no lock.
-- Nothing matches: a run without a row has lost its lease; its plan is dropped. Locks: none.
select r.id as run_id, r.wake_seq, r.open, r.planned, r.stopping, r.priority, r.tenant_id, r.chain_number,
  (select json_object_agg(s.ordinal, s.state) from unnest(%(runs)s::uuid[], %(ordinals)s::int[]) as w (run_id, ordinal)
   cross join lateral (select s.ordinal, s.state from heddle_step s where s.run_id = w.run_id and s.ordinal = w.ordinal offset 0) s
   where w.run_id = r.id) as states,
  (select json_object_agg(g.name, g.n) from (
    select name, count(*) as n from heddle_signal where run_id = r.id and consumed_by is null group by name) g) as signals,
  (
    select case
        when t.runs_per_min is not null and (
          select count(*) from (
            select 1 from "heddle_run" o
            where o.tenant_id = r.tenant_id and o.id < r.id and o.parent_run is null and o.error ->> 'fault' is distinct from 'throttled'
              and o.id >= (lpad(to_hex(('x' || substr(replace(r.id::text, '-', ''), 1, 12))::bit(48)::bigint - 60000), 12, '0')
                || '00000000000000000000')::uuid
            limit t.runs_per_min) q) >= t.runs_per_min then 'runs_per_min'
        when t.open_runs_max is not null and (
          select count(*) from (
            select 1 from heddle_open_run p
            cross join lateral (select o.state from "heddle_run" o where o.id = p.run_id offset 0) o
            where p.tenant_id = r.tenant_id and p.run_id < r.id and o.state in ('queued', 'running')
            limit t.open_runs_max) q) >= t.open_runs_max then 'open_runs_max'
      end as bound
    from heddle_tenant t
    where t.id = r.tenant_id and (t.runs_per_min is not null or t.open_runs_max is not null)
      and r.planned = 0 and r.started_at is null and r.parent_run is null
  ) as over_bound
from unnest(%(run_ids)s::uuid[], %(fences)s::bigint[]) as w (run_id, fence)
cross join lateral (select r.* from heddle_run r where r.id = w.run_id offset 0) r
where r.state in ('queued', 'running')
  and (select true from heddle_lease l where l.run_id = w.run_id and l.ordinal = 0 and l.fence = w.fence limit 1)
order by r.id
