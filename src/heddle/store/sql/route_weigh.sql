-- Purpose: write the weights that claims draw by, where they differ. Caller: engine.routing, the leader, every few seconds.
-- Rows: updates route, reads canary. Locks: route rows, which only the leader, operators and apply write; claims read them without.
-- Where an operator has changed a canary since the leader looked, its route is left as the operator's change made it.
with wanted as materialized (
  select w.* from unnest(%(models)s::text[], %(endpoints)s::int[], %(weights)s::float8[], %(seen)s::text[]) as w (model, endpoint_id, weight, seen)
), written as (
  update heddle_route r set weight_now = w.weight
  from wanted w
  where r.model = w.model and r.endpoint_id = w.endpoint_id and r.weight_now is distinct from w.weight
    and w.seen is not distinct from (select c.state from heddle_canary c where c.model = r.model and c.endpoint_id = r.endpoint_id)
  returning 1
)
select count(*)::int as written from written
