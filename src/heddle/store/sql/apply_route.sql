-- Purpose: write a route, after apply_clear in the same transaction. Caller: store.apply. Rows: route, reads canary. Locks: that row.
-- A canary gets nothing until one is started on it, and what was rolled back stays so; else a known route keeps the weight found for it.
insert into heddle_route as r (model, endpoint_id, tier, weight, is_canary, latency_max_s, price_nano_usd, image_nano_usd, input_nano_usd_per_mtok,
  output_nano_usd_per_mtok, weight_now)
select %(model)s::text, %(endpoint)s::int, %(tier)s::int, %(weight)s::float8, %(is_canary)s::boolean, %(latency_max_s)s::float8,
  %(price)s::bigint, %(image)s::bigint, %(input_per_mtok)s::bigint, %(output_per_mtok)s::bigint,
  case when coalesce(c.state, case when %(is_canary)s::boolean then 'waiting' else 'promoted' end) <> 'promoted' then 0 end
from (select 1) as one
left join heddle_canary c on c.model = %(model)s::text and c.endpoint_id = %(endpoint)s::int
on conflict (model, endpoint_id) do update set tier = excluded.tier, weight = excluded.weight, is_canary = excluded.is_canary,
  latency_max_s = excluded.latency_max_s, price_nano_usd = excluded.price_nano_usd, image_nano_usd = excluded.image_nano_usd,
  input_nano_usd_per_mtok = excluded.input_nano_usd_per_mtok, output_nano_usd_per_mtok = excluded.output_nano_usd_per_mtok,
  weight_now = case coalesce((select c.state from heddle_canary c where c.model = r.model and c.endpoint_id = r.endpoint_id),
      case when excluded.is_canary then 'waiting' else 'promoted' end)
    when 'running' then coalesce(r.weight_now, 0) when 'promoted' then nullif(r.weight_now, 0) else 0 end
