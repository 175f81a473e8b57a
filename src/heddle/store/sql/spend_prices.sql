-- Purpose: read what a call of a model is expected to cost through each of its routes. Caller: doors' prices. Rows: reads route, endpoint.
-- Index: route's key. Locks: none. Nothing matches: the model has no route.
select e.name, r.tier, coalesce(r.price_nano_usd, e.price_nano_usd) as price, e.is_paid, e.paused_at is not null as is_paused
from heddle_route r join heddle_endpoint e on e.id = r.endpoint_id
where r.model = %(model)s and e.is_enabled
order by r.tier, e.name
limit %(limit)s
