-- Purpose: show endpoints with their limits and health. Caller: doors' endpoints. Rows: reads endpoint, route, limit_state, slot. Locks: none.
select e.name, e.adapter, e.url, e.secret_name,
  (select array_agg(r.model order by r.model) from heddle_route r where r.endpoint_id = e.id) as models,
  (select count(*) from heddle_slot k where k.endpoint_id = e.id) as in_flight,
  min(l.concurrency) as concurrency, min(l.requests_per_min) as requests_per_min,
  case when bool_or(l.breaker = 'open') then 'open' when bool_or(l.breaker = 'half_open') then 'half_open' else 'closed' end as breaker,
  max(l.paused_until) as paused_until, e.paused_at, e.regions
from heddle_endpoint e
join heddle_limit_state l on l.id = any(e.scope_ids)
where e.is_enabled
group by e.id
order by e.name
limit 1000
