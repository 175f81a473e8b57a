-- Purpose: recount the slots of scopes and correct drift, which is counted: the bar is 0. Caller: engine.sweep, the leader; store.apply, since an
--   endpoint may have joined or left a scope with calls in flight. After lock_scopes in the same transaction: every writer of in_flight and every
--   claim of slots holds those locks, and this statement's snapshot is younger.
-- Rows: limit_state (held); reads slot, endpoint and limit_delta once each. Returns a row for each scope whose count was wrong. Locks: held.
-- Nothing matches: every count is right.
with slots as (
  select x.scope_id, sum(k.taken)::bigint as taken
  from (select endpoint_id, count(*) as taken from heddle_slot group by endpoint_id) k
  join heddle_endpoint e on e.id = k.endpoint_id
  cross join lateral (select distinct s.scope_id from unnest(e.scope_ids) as s (scope_id)) x
  group by x.scope_id
), owed as (
  select scope_id, sum(released)::bigint as released from heddle_limit_delta group by scope_id
), truth as materialized (
  select s.id, s.name, s.in_flight, coalesce(k.taken, 0) + coalesce(o.released, 0) as counted
  from heddle_limit_state s
  left join slots k on k.scope_id = s.id
  left join owed o on o.scope_id = s.id
  where s.id = any(%(ids)s::int[])
)
update heddle_limit_state s set in_flight = t.counted::int from truth t where s.id = t.id and t.counted <> t.in_flight
returning s.name, t.in_flight as was, t.counted::int as is_now
