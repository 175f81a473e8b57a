-- Purpose: fold limit deltas of scopes that no claim has touched for a second. Caller: engine.sweep, the leader.
-- Rows: limit_state (skip locked), limit_delta. Locks in order: limit rows by id. Outcomes go to the window as in claim_model; what a probe
--   of a half-open breaker found moves it here too, because no claim comes to an endpoint whose probe is out.
-- Index: limit_delta's scope. Nothing matches: every delta is younger than a second or its scope is locked by a claim, which folds it.
with scope as materialized (
  select s.id, s.breaker, s.breaker_epoch from heddle_limit_state s
  where exists (select 1 from heddle_limit_delta d where d.scope_id = s.id and d.at < clock_timestamp() - interval '1 second')
  order by s.id
  for no key update skip locked
), folded as (
  delete from heddle_limit_delta d using scope s where d.scope_id = s.id
  returning d.scope_id, d.released, case when d.epoch = s.breaker_epoch then d.ok else 0 end as ok,
    case when d.epoch = s.breaker_epoch then d.failed else 0 end as failed
), fold as (
  select x.scope_id, x.released, x.ok, x.failed,
    case when s.breaker = 'half_open' and x.failed > 0 then 'open' when s.breaker = 'half_open' and x.ok > 0 then 'closed'
      else s.breaker end as position
  from (
    select scope_id, sum(released)::int as released, sum(ok)::int as ok, sum(failed)::int as failed from folded group by scope_id
  ) x
  join scope s on s.id = x.scope_id
)
update heddle_limit_state s set in_flight = s.in_flight - f.released,
  failures_in_row = case when f.ok > 0 or f.position <> s.breaker then 0 else s.failures_in_row + f.failed end,
  window_ok = case when f.position = s.breaker then s.window_ok + f.ok else 0 end,
  window_failed = case when f.position = s.breaker then s.window_failed + f.failed else 0 end,
  breaker = f.position,
  breaker_epoch = s.breaker_epoch + case when f.position <> s.breaker then 1 else 0 end,
  open_until = case when f.position = 'open' and s.breaker = 'half_open'
    then clock_timestamp() + make_interval(secs => least(300, s.open_for_s * 2)) else s.open_until end,
  open_for_s = case when f.position = 'open' and s.breaker = 'half_open' then least(300, s.open_for_s * 2) else s.open_for_s end,
  full_since = case when s.concurrency is not null and s.in_flight - f.released >= s.concurrency then s.full_since end
from fold f where s.id = f.scope_id
