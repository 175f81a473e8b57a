-- Purpose: name the models that some endpoint may serve for a tenant: neither paused, in its regions, with a weight. Caller: doors' servable_models.
-- Rows: reads tenant, route, endpoint, model. Locks: none. A breaker or a limit closes an endpoint for a while only, and says nothing here.
-- Nothing matches: nothing can be served.
select distinct r.model
from heddle_tenant t
join heddle_route r on t.rule = any(r.rules)
join heddle_endpoint e on e.id = r.endpoint_id and e.is_enabled and e.paused_at is null
where t.id = %(tenant_id)s
  and coalesce(r.weight_now, r.weight) > 0
  and not exists (select 1 from heddle_model m where m.name = r.model and m.paused_at is not null)
order by r.model
