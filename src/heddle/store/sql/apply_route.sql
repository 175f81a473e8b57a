-- Purpose: add a route, after apply_clear removed them all in the same transaction. Caller: store.apply. Rows: route. Locks: none that exist.
insert into heddle_route (model, endpoint_id, tier, weight, price_nano_usd)
values (%(model)s, %(endpoint)s, %(tier)s, %(weight)s, %(price)s::bigint)
