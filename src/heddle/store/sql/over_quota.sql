-- Purpose: name, of runs that are about to be written, those that their tenants' quotas on runs have no room for, and let go of their keys.
-- Caller: submit_calls, after lock_quotas and idempotency_take in the same transaction. Runs of one call have no activation that plan_guard stands
--   before, so that their quota binds here: of the runs of any minute, and of those that are not over, the first stand.
-- Rows: reads idempotency, tenant, run and, of tenants with a quota, open_run; deletes the keys that idempotency_take took for what is refused.
-- A run whose key is somebody else's is not written and does not count. Indexes: keys, run's tenant. Locks: none but of the keys deleted.
-- Nothing matches: all of them have room.
with n as materialized (
  select n.*, row_number() over (partition by n.tenant_id order by n.id) as place
  from unnest(%(ids)s::uuid[], %(tenants)s::int[], %(operations)s::text[], %(keys)s::text[]) as n (id, tenant_id, operation, key)
  where n.key is null or exists (select 1 from heddle_idempotency i
    where i.tenant_id = n.tenant_id and i.operation = n.operation and i.key = n.key and i.run_id = n.id)
), judged as materialized (
  select n.*, case
      when t.runs_per_min is not null and n.place + (
        select count(*) from (
          select 1 from "heddle_run" o
          where o.tenant_id = n.tenant_id and o.id < n.id and o.parent_run is null and o.error ->> 'fault' is distinct from 'throttled'
            and o.id >= (lpad(to_hex(('x' || substr(replace(n.id::text, '-', ''), 1, 12))::bit(48)::bigint - 60000), 12, '0')
              || '00000000000000000000')::uuid
          limit t.runs_per_min) q) > t.runs_per_min then 'runs_per_min'
      when t.open_runs_max is not null and n.place + (
        select count(*) from (
          select 1 from heddle_open_run x
          cross join lateral (select o.state from "heddle_run" o where o.id = x.run_id offset 0) o
          where x.tenant_id = n.tenant_id and o.state in ('queued', 'running')
          limit t.open_runs_max) q) > t.open_runs_max then 'open_runs_max'
    end as bound
  from n
  join heddle_tenant t on t.id = n.tenant_id and (t.runs_per_min is not null or t.open_runs_max is not null)
), withdrawn as (
  delete from heddle_idempotency i using judged j
  where j.bound is not null and i.tenant_id = j.tenant_id and i.operation = j.operation and i.key = j.key and i.run_id = j.id
)
select id, bound from judged where bound is not null
