-- Purpose: read every endpoint with its models that is enabled or still has slots taken: jobs accepted before it was removed are polled to
--   their end. Caller: engine.worker at start and every refresh. Rows: reads endpoint, route, model, slot. Locks: none.
select e.id, e.name, e.adapter, e.url, e.secret_name, e.callback_secret_name, e.timeout_s, e.price_nano_usd, e.is_paid, e.options,
  (select array_agg(r.model order by r.model) from heddle_route r where r.endpoint_id = e.id) as models,
  (select json_object_agg(m.name, m.unknown_policy) from heddle_route r join heddle_model m on m.name = r.model where r.endpoint_id = e.id)
    as unknown_policies,
  (select json_object_agg(m.name, m.quality) from heddle_route r join heddle_model m on m.name = r.model
    where r.endpoint_id = e.id and m.quality is not null) as gates
from heddle_endpoint e
where e.is_enabled or exists (select 1 from heddle_slot k where k.endpoint_id = e.id)
order by e.id
