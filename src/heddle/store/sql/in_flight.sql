-- Purpose: count what a pause lets go on: jobs that hold a slot until they are known to be over, and what workers hold of a tenant besides.
-- Caller: operators' in_flight. Rows: reads slot, lease, step, endpoint, tenant. Bounded by what is in flight. Locks: none.
select case %(kind)s
    when 'endpoint' then (select count(*) from heddle_slot k join heddle_endpoint e on e.id = k.endpoint_id where e.name = %(name)s)
    when 'model' then (select count(*) from heddle_slot k join heddle_step s on s.run_id = k.run_id and s.ordinal = k.ordinal
      where s.kind = 'model' and s.name = %(name)s)
    else (select count(*) from heddle_slot k join heddle_step s on s.run_id = k.run_id and s.ordinal = k.ordinal
      join heddle_tenant t on t.id = s.tenant_id where t.name = %(name)s) end as calls,
  case %(kind)s when 'tenant' then (select count(*) from heddle_lease l join heddle_tenant t on t.id = l.tenant_id
    where t.name = %(name)s and l.purpose in ('activate', 'execute')) else 0 end as steps,
  case %(kind)s when 'endpoint' then exists (select 1 from heddle_endpoint where name = %(name)s)
    when 'model' then exists (select 1 from heddle_route where model = %(name)s) or exists (select 1 from heddle_model where name = %(name)s)
    else exists (select 1 from heddle_tenant where name = %(name)s) end as is_known
