-- Purpose: show every route of an enabled endpoint as the leader weighs it. Caller: engine.routing, the leader, every few seconds.
-- Rows: reads route, endpoint, model, canary, score, limit_state. Locks: none. Nothing matches: nothing is routed.
select r.model, r.endpoint_id, e.name, r.tier, r.weight, r.weight_now, r.is_canary, least(r.latency_max_s, m.deadline_s) as latency_max_s,
  coalesce(m.objective, 'weights') as objective, coalesce(r.price_nano_usd, e.price_nano_usd) as price_nano_usd,
  e.paused_at is null and not exists (
    select 1 from heddle_limit_state s
    where s.id = any(e.scope_ids) and (coalesce(s.paused_until > clock_timestamp(), false) or s.breaker <> 'closed')) as is_open,
  c.state, c.share, c.margin, c.tried, c.bad, c.baseline_tried, c.baseline_bad,
  k.counts, k.latency, k.queue, extract(epoch from clock_timestamp() - k.at)::float8 as card_age_s,
  coalesce(c.reason, '') as reason
from heddle_route r
join heddle_endpoint e on e.id = r.endpoint_id and e.is_enabled
left join heddle_model m on m.name = r.model
left join heddle_canary c on c.model = r.model and c.endpoint_id = r.endpoint_id
left join heddle_score k on k.model = r.model and k.endpoint_id = r.endpoint_id
order by r.model, r.tier, r.endpoint_id
