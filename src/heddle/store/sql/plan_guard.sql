-- Purpose: fail, on purpose, when a first activation of the batch is no longer what its plan was made for: its lease is gone, or somebody has
--   signalled the run or asked it to stop, or its tenant's quota was used up by runs admitted before it (see plan_facts). Its plan needs no
--   other fact, so no round trip is spent on asking.
-- Caller: engine.activate, after lock_runs in the same transaction; division by zero sends the batch the long way, by plan_facts.
-- Rows: reads run, lease, tenant and, of tenants with a quota, open_run. Indexes: keys, run's tenant. Locks: none.
select 1 / (count(*) = cardinality(%(run_ids)s::uuid[]))::int as is_as_seen
from unnest(%(run_ids)s::uuid[], %(fences)s::bigint[], %(wake_seqs)s::int[]) as w (run_id, fence, wake_seq)
cross join lateral (
  select r.id, r.tenant_id, r.planned, r.started_at, r.parent_run from heddle_run r
  where r.id = w.run_id and r.wake_seq = w.wake_seq and r.planned = 0 and r.stopping is null and r.state in ('queued', 'running') offset 0
) r
cross join lateral (
  select 1 from heddle_lease l where l.run_id = w.run_id and l.ordinal = 0 and l.fence = w.fence offset 0
) l
where not exists (
  select 1 from (
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
  ) b where b.bound is not null
)
