-- Purpose: show endpoints with their limits and health. Caller: doors' endpoints. Rows: reads endpoint, route, limit_state, limit_delta, slot. Locks: none.
-- paused_until: the time that its provider has asked for (Retry-After), while that lasts.
select e.name, e.adapter, e.url, e.secret_name,
  (select array_agg(r.model order by r.model) from heddle_route r where r.endpoint_id = e.id) as models,
  (select count(*) from heddle_slot k where k.endpoint_id = e.id) as in_flight,
  min(l.concurrency) as concurrency, min(l.requests_per_min) as requests_per_min,
  case when bool_or(l.breaker = 'open') then 'open' when bool_or(l.breaker = 'half_open') then 'half_open' else 'closed' end as breaker,
  max(f.until) filter (where f.until > clock_timestamp()) as paused_until, e.paused_at, e.regions
from heddle_endpoint e
join heddle_limit_state l on l.id = any(e.scope_ids)
cross join lateral (
  select greatest(l.paused_until, l.frozen_until, max(d.frozen_until)) as until from heddle_limit_delta d where d.scope_id = l.id
) f
where e.is_enabled
group by e.id
order by e.name
limit 1000
