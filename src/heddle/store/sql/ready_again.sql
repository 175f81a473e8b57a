-- Purpose: put in line what is due in a week that came back after its removal was called off: a claim that met it meanwhile found no run and
--   dropped the entry. Caller: store.retaining. Rows: inserts ready; reads run, step, lease, ready of living runs of that week (few). Locks: none.
insert into heddle_ready (lane, tenant_id, run_id, ordinal)
select d.lane, d.tenant_id, d.run_id, d.ordinal
from (
  select s.lane, s.tenant_id, s.run_id, s.ordinal
  from heddle_run r join heddle_step s on s.run_id = r.id and s.state = 'due'
  where r.id >= %(low)s and r.id < %(high)s and r.state in ('queued', 'running')
  union all
  select r.lane, r.tenant_id, r.id, 0 from heddle_run r
  where r.id >= %(low)s and r.id < %(high)s and r.state in ('queued', 'running') and r.is_activation_due
) d
where not exists (select 1 from heddle_lease l where l.run_id = d.run_id and l.ordinal = d.ordinal)
  and not exists (select 1 from heddle_ready y
    where y.lane = d.lane and y.tenant_id = d.tenant_id and y.run_id = d.run_id and y.ordinal = d.ordinal)
limit %(limit)s
