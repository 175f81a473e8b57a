-- Purpose: disable endpoints the file no longer names (attempts refer to them), remove routes it no longer names, and let models it no longer
--   declares be as if they never had been: no objective, no gates. A canary that runs on a route that goes is rolled back with it, audited.
-- Caller: store.apply. Rows: deletes route, updates endpoint, model and canary, inserts audit. Locks: route -> canary, endpoint, model.
-- A route that is named again keeps the weight that was found for it.
with named as materialized (
  select * from unnest(%(models)s::text[], %(endpoints)s::int[]) as n (model, endpoint_id)
), gone as (
  delete from heddle_route r where not exists (select 1 from named n where n.model = r.model and n.endpoint_id = r.endpoint_id)
  returning 1
), ended as (
  update heddle_canary c set state = 'rolled_back', reason = 'its route has left heddle.toml', changed_at = clock_timestamp()
  from heddle_endpoint e
  where c.state = 'running' and e.id = c.endpoint_id and (select count(*) from gone) >= 0
    and not exists (select 1 from named n where n.model = c.model and n.endpoint_id = c.endpoint_id)
  returning c.model, e.name
), told as (
  insert into heddle_audit (actor, action, subject, before, after)
  select 'migrate', 'canary.rollback', 'route ' || x.model || ' ' || x.name, jsonb_build_object('state', 'running'),
    jsonb_build_object('state', 'rolled_back', 'reason', 'its route has left heddle.toml')
  from ended x
), freed as (
  update heddle_model m set objective = 'weights', deadline_s = null, quality = null
  where not m.name = any(%(declared)s::text[]) and (m.objective <> 'weights' or m.deadline_s is not null or m.quality is not null)
)
update heddle_endpoint set is_enabled = false where not name = any(%(names)s::text[]) and is_enabled
