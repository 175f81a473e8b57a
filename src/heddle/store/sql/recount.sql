-- Purpose: recount the slots of scopes and correct drift, which is counted: the bar is 0. Caller: engine.sweep, the leader; store.apply, since an
--   endpoint may have joined or left a scope with calls in flight. After lock_scopes in the same transaction.
-- Rows: limit_state (held); reads slot and limit_delta. Returns a row for each scope whose count was wrong. Locks: limit_state (held).
with truth as materialized (
  select s.id, s.name, s.in_flight,
    (select count(*) from heddle_slot k join heddle_endpoint e on e.id = k.endpoint_id where s.id = any(e.scope_ids))
    + coalesce((select sum(d.released) from heddle_limit_delta d where d.scope_id = s.id), 0) as counted
  from heddle_limit_state s
  where s.id = any(%(ids)s::int[])
)
update heddle_limit_state s set in_flight = t.counted::int from truth t where s.id = t.id and t.counted <> t.in_flight
returning s.name, t.in_flight as was, t.counted::int as is_now
