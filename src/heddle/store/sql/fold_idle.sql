-- Purpose: fold limit deltas of scopes that no claim has touched for a second. Caller: engine.sweep, the leader.
-- Rows: limit_state (skip locked), limit_delta. Locks in order: limit rows by id. Outcomes go to the window as in claim_model.
with scope as materialized (
  select s.id, s.breaker_epoch from heddle_limit_state s
  where exists (select 1 from heddle_limit_delta d where d.scope_id = s.id and d.at < clock_timestamp() - interval '1 second')
  order by s.id
  for no key update skip locked
), folded as (
  delete from heddle_limit_delta d using scope s where d.scope_id = s.id
  returning d.scope_id, d.released, case when d.epoch = s.breaker_epoch then d.ok else 0 end as ok,
    case when d.epoch = s.breaker_epoch then d.failed else 0 end as failed
), fold as (
  select scope_id, sum(released)::int as released, sum(ok)::int as ok, sum(failed)::int as failed from folded group by scope_id
)
update heddle_limit_state s set in_flight = s.in_flight - f.released,
  failures_in_row = case when f.ok > 0 then 0 else s.failures_in_row + f.failed end,
  window_ok = s.window_ok + f.ok, window_failed = s.window_failed + f.failed,
  full_since = case when s.concurrency is not null and s.in_flight - f.released >= s.concurrency then s.full_since end
from fold f where s.id = f.scope_id
