-- Purpose: disable endpoints the file no longer names (attempts refer to them), remove routes it no longer names, and let models it no longer
--   declares be as if they never had been: no objective, no gates. Caller: store.apply. Rows: deletes route, updates endpoint and model.
-- Locks: route -> endpoint -> model. A route that is named again keeps the weight that was found for it.
with named as materialized (
  select * from unnest(%(models)s::text[], %(endpoints)s::int[]) as n (model, endpoint_id)
), gone as (
  delete from heddle_route r where not exists (select 1 from named n where n.model = r.model and n.endpoint_id = r.endpoint_id)
), freed as (
  update heddle_model m set objective = 'weights', deadline_s = null, quality = null
  where not m.name = any(%(declared)s::text[]) and (m.objective <> 'weights' or m.deadline_s is not null or m.quality is not null)
)
update heddle_endpoint set is_enabled = false where not name = any(%(names)s::text[]) and is_enabled
