-- Purpose: write what was folded, judged and spent back to the locked scopes. Part of claim_model and fold_idle.
-- Needs before it: `roomed` and `bucket` (parts/fold) and `spent`, one row for each scope that something was taken from.
-- A breaker whose time is over turns half-open only with a call at hand, its probe; a probe that came back without news may be sent anew.
-- `full_since` says since when nothing more would have gone: slots, rate, a freeze, or a call too large for what is left.
filled as materialized (
  select scope_id, max(tat) filter (where dimension = 1) as requests_tat, max(told) filter (where dimension = 1) as requests_told,
    max(told_until) filter (where dimension = 1) as requests_told_until,
    max(tat) filter (where dimension = 2) as tokens_tat, max(told) filter (where dimension = 2) as tokens_told,
    max(told_until) filter (where dimension = 2) as tokens_told_until,
    max(tat) filter (where dimension = 3) as images_tat, max(told) filter (where dimension = 3) as images_told,
    max(told_until) filter (where dimension = 3) as images_told_until,
    bool_or(units - used < 1) as is_empty
  from (
    select b.scope_id, b.dimension, b.units, b.told, b.told_until, u.used,
      case when u.used > 0 then greatest(b.tat, b.now) + make_interval(secs => 60.0 * u.used / b.rate) else b.tat end as tat
    from bucket b
    left join spent p on p.scope_id = b.scope_id
    cross join lateral (
      select coalesce(case b.dimension when 1 then p.taken when 2 then p.tokens else p.images end, 0) as used
    ) u
  ) w
  group by scope_id
), settled_scope as materialized (
  select r.*, coalesce(p.taken, 0) as taken, coalesce(p.first_tries, 0) as new_first_tries, coalesce(p.retries, 0) as new_retries,
    p.probe_s, coalesce(p.is_short, false) as is_short,
    case when r.breaker = 'open' and r.position = 'half_open' and coalesce(p.taken, 0) = 0 then 'open' else r.position end as final
  from roomed r
  left join spent p on p.scope_id = r.id
), limited as (
  update heddle_limit_state s set
    in_flight = r.held + r.taken,
    tat = coalesce(f.requests_tat, r.tat),
    requests_told = coalesce(f.requests_told, r.requests_told),
    requests_told_until = coalesce(f.requests_told_until, r.requests_told_until),
    tokens_tat = coalesce(f.tokens_tat, r.tokens_tat),
    tokens_told = coalesce(f.tokens_told, r.tokens_told),
    tokens_told_until = coalesce(f.tokens_told_until, r.tokens_told_until),
    images_tat = coalesce(f.images_tat, r.images_tat),
    images_told = coalesce(f.images_told, r.images_told),
    images_told_until = coalesce(f.images_told_until, r.images_told_until),
    frozen_until = r.frozen_to,
    full_since = case when r.slots <= r.held + r.taken or f.is_empty or r.is_short or r.frozen_to > r.now
      then coalesce(r.full_since, r.now) end,
    breaker = r.final,
    breaker_epoch = r.breaker_epoch + case when r.final <> r.breaker then 1 else 0 end,
    failures_in_row = case when r.final <> r.breaker then 0 else r.row_failed end,
    window_at = case when r.is_new_window then r.now else r.window_at end,
    window_ok = case when r.final <> r.breaker then 0 else r.seen_ok end,
    window_failed = case when r.final <> r.breaker then 0 else r.seen_failed end,
    open_until = case when r.final = 'open' and r.breaker <> 'open' then r.now + make_interval(secs => o.for_s) else r.open_until end,
    open_for_s = case when r.final = 'open' and r.breaker <> 'open' then o.for_s else r.open_for_s end,
    ramp_slots = case when r.final = 'open' and r.breaker = 'closed' then greatest(r.in_flight, %(ramp_slots_min)s::int) else r.ramp_slots end,
    closed_at = r.well_since,
    probe_until = case when r.final = 'half_open' and r.taken > 0 then r.now + make_interval(secs => r.probe_s)
      when r.final = 'half_open' and r.new_silent > 0 then null else r.probe_until end,
    first_tries = r.first_tries + r.new_first_tries,
    retries = r.retries + r.new_retries,
    finished = r.finished + r.new_finished,
    finished_s = r.finished_s + r.new_finished_s,
    throttled = r.throttled + r.new_throttled,
    tokens_used = r.tokens_used + r.new_tokens_used,
    tokens_calls = r.tokens_calls + r.new_tokens_calls
  from settled_scope r
  left join filled f on f.scope_id = r.id
  cross join lateral (
    select case when r.breaker = 'half_open' or r.closed_at > r.now - make_interval(secs => %(ramp_s)s::float8)
      then least(%(open_max_s)s::float8, r.open_for_s * 2) else %(open_s)s::float8 end::float8 as for_s
  ) o
  where s.id = r.id
)
