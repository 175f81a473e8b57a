-- Purpose: read what a call of a model is expected to cost through each of its routes, that says its own tokens and images or (null) does not.
-- Caller: doors' prices. Rows: reads route, endpoint, model. The price is the one that claim_model and call_now reserve; core.policy.price has the law.
-- Index: route's key. Locks: none. Nothing matches: the model has no route.
select e.name, r.tier, coalesce(
-- include: list_price
  , e.price_nano_usd) as price, e.is_paid,
  e.paused_at is not null as is_paused
from heddle_route r
join heddle_endpoint e on e.id = r.endpoint_id
left join heddle_model m on m.name = r.model
cross join lateral (
  select %(tokens)s::bigint as own_tokens, %(images)s::bigint as own_images, m.tokens as usual_tokens, m.images as usual_images, m.output_tokens
) u
where r.model = %(model)s and e.is_enabled
order by r.tier, e.name
limit %(limit)s
