-- Purpose: show a route as an operator's canary finds it. Caller: operators' canaries, after canary_lock. Rows: reads route,
--   endpoint, canary. Index: keys. Locks: none (the model's routes are held). A canary whose route has left the file runs nowhere. Others of its tier: those that would take the rest of the traffic. Nothing matches: there is no such route.
select r.endpoint_id, r.is_canary, c.state, c.share,
  (select count(*) from heddle_route o
    join heddle_endpoint p on p.id = o.endpoint_id and p.is_enabled
    left join heddle_canary d on d.model = o.model and d.endpoint_id = o.endpoint_id
    where o.model = r.model and o.tier = r.tier and o.endpoint_id <> r.endpoint_id
      and coalesce(d.state, case when o.is_canary then 'rolled_back' else 'promoted' end) = 'promoted')::int as others,
  (select p.name from heddle_canary d join heddle_endpoint p on p.id = d.endpoint_id and p.is_enabled
    join heddle_route o on o.model = d.model and o.endpoint_id = d.endpoint_id
    where d.model = r.model and d.state = 'running' and d.endpoint_id <> r.endpoint_id) as running,
  jsonb_build_object('state', c.state, 'tried', c.tried, 'bad', c.bad, 'baseline_tried', c.baseline_tried, 'baseline_bad', c.baseline_bad) as seen
from heddle_route r
join heddle_endpoint e on e.id = r.endpoint_id and e.name = %(endpoint)s and e.is_enabled
left join heddle_canary c on c.model = r.model and c.endpoint_id = r.endpoint_id
where r.model = %(model)s
