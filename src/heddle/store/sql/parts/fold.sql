-- Purpose: fold the deltas of locked scopes and say what each scope has room for. Part of claim_model and fold_idle, so that both know one law.
-- Needs before it: `moment` (now) and `scope` (the locked rows of limit_state). Gives `roomed`, one row a scope, and `bucket`, one row for each
--   rate limit of a scope: 1 requests, 2 tokens, 3 images.
-- An outcome belongs to the breaker's epoch its call was claimed in; of another epoch it only gives its slot back (core.policy.breaker).
-- While failures come in a row and few calls succeed, each takes away one call in flight: what hangs costs as many calls as open the breaker.
-- Rates: core.policy.ratelimit, with the true usage put in the place of the estimate, and with what the provider told: a lower limit counts
--   until `told_until`, and less left than we thought at once. A limit told for a scope that has none of its own counts as its limit.
folded as (
  delete from heddle_limit_delta d
  using scope s
  where d.scope_id = s.id
  returning d.*, d.epoch = s.breaker_epoch as is_news
), fold as materialized (
  select scope_id, sum(released)::int as released,
    coalesce(sum(ok) filter (where is_news), 0)::int as ok,
    coalesce(sum(failed) filter (where is_news), 0)::int as failed,
    coalesce(sum(silent) filter (where is_news), 0)::int as silent,
    sum(throttled)::bigint as throttled, sum(finished)::bigint as finished, sum(finished_s) as finished_s,
    sum(tokens)::bigint as tokens, sum(tokens_used)::bigint as tokens_used, sum(tokens_calls)::bigint as tokens_calls,
    sum(images)::bigint as images, max(frozen_until) as frozen_until
  from folded
  group by scope_id
), told as materialized (
  select scope_id, dimension, min(limit_per_min) as limit_per_min, min(remaining) as remaining, max(at) as at,
    max(told_until) as told_until, max(empty_until) as empty_until
  from folded
  where dimension is not null
  group by scope_id, dimension
), counted as materialized (
  select s.*, now, s.in_flight - coalesce(f.released, 0) as held, coalesce(f.ok, 0) as new_ok, coalesce(f.failed, 0) as new_failed,
    coalesce(f.silent, 0) as new_silent, coalesce(f.throttled, 0) as new_throttled, coalesce(f.finished, 0) as new_finished,
    coalesce(f.finished_s, 0) as new_finished_s, coalesce(f.tokens, 0) as tokens_owed, coalesce(f.images, 0) as images_owed,
    coalesce(f.tokens_used, 0) as new_tokens_used, coalesce(f.tokens_calls, 0) as new_tokens_calls,
    greatest(s.frozen_until, f.frozen_until) as frozen_to,
    case when coalesce(f.ok, 0) > 0 then 0 else s.failures_in_row + coalesce(f.failed, 0) end as row_failed,
    s.window_at < now - make_interval(secs => %(breaker_window_s)s::float8) as is_new_window,
    case when s.window_at < now - make_interval(secs => %(breaker_window_s)s::float8) then 0 else s.window_ok end + coalesce(f.ok, 0) as seen_ok,
    case when s.window_at < now - make_interval(secs => %(breaker_window_s)s::float8) then 0 else s.window_failed end + coalesce(f.failed, 0)
      as seen_failed
  from scope s
  cross join moment
  left join fold f on f.scope_id = s.id
), judged as materialized (
  select p.*, case when p.breaker = 'half_open' and p.position = 'closed' then p.now else p.closed_at end as well_since
  from (
    select c.*, case
        when c.breaker = 'closed' and (c.row_failed >= %(breaker_consecutive)s::int
          or (c.seen_ok + c.seen_failed >= %(breaker_samples)s::int
            and c.seen_failed >= %(breaker_ratio)s::float8 * (c.seen_ok + c.seen_failed))) then 'open'
        when c.breaker = 'half_open' and (c.new_failed > 0 or c.new_ok + c.new_silent = 0 and c.probe_until <= c.now) then 'open'
        when c.breaker = 'half_open' and c.new_ok > 0 then 'closed'
        when c.breaker = 'open' and c.open_until <= c.now then 'half_open'
        else c.breaker end as position
    from counted c
  ) p
), slotwise as materialized (
  select j.*, case
      when j.position = 'closed' and j.well_since > j.now - make_interval(secs => %(ramp_s)s::float8)
        then greatest(1, floor(coalesce(j.concurrency, j.ramp_slots, %(ramp_slots_min)s::int)
          * (%(ramp_from)s::float8 + (1 - %(ramp_from)s::float8) * extract(epoch from j.now - j.well_since)::float8 / %(ramp_s)s::float8)))::int
      when j.position = 'closed' and j.row_failed > 0 and j.seen_failed * 2 >= j.seen_ok
        then least(j.concurrency, greatest(1, %(breaker_consecutive)s::int - j.row_failed))
      else j.concurrency end as slots
  from judged j
), bucket as materialized (
  select x.*, greatest(0, floor(x.burst - extract(epoch from greatest(x.tat, x.now) - x.now)::float8 * x.rate / 60.0 + 1e-6))::bigint as units,
    x.tat <= x.now as is_whole
  from (
    select j.id as scope_id, j.now, b.dimension, e.rate, r.burst, l.told, l.told_until,
      least(
        greatest(
          b.tat + make_interval(secs => b.owed * 60.0 / e.rate),
          t.at + make_interval(secs => greatest(0, r.burst - t.remaining) * 60.0 / e.rate),
          t.empty_until + make_interval(secs => (r.burst - 1) * 60.0 / e.rate)),
        greatest(b.tat, j.now + make_interval(secs => %(told_max_s)s::float8))) as tat
    from judged j
    cross join lateral (values
      (1, j.requests_per_min::bigint, j.requests_burst::bigint, j.tat, j.requests_told, j.requests_told_until, 0::bigint),
      (2, j.tokens_per_min, j.tokens_burst, j.tokens_tat, j.tokens_told, j.tokens_told_until, j.tokens_owed),
      (3, j.images_per_min, j.images_burst, j.images_tat, j.images_told, j.images_told_until, j.images_owed)
    ) as b (dimension, own, burst, tat, told, told_until, owed)
    left join told t on t.scope_id = j.id and t.dimension = b.dimension
    cross join lateral (select t.limit_per_min is null or coalesce(b.told_until > j.now and b.told < t.limit_per_min, false) as stays) k
    cross join lateral (select case when k.stays then b.told else t.limit_per_min end as told,
      case when k.stays then b.told_until else t.told_until end as told_until) l
    cross join lateral (select case when l.told_until > j.now then least(b.own, l.told) else b.own end as rate) e
    cross join lateral (select case when e.rate = b.own then b.burst else 1 + e.rate / 120 end as burst) r
    where e.rate is not null
  ) x
), roomed as materialized (
  select j.*, b.requests_left, b.tokens_left, b.tokens_whole, b.images_left, b.images_whole, least(
      case when j.slots is null then 2147483647 else greatest(0, j.slots - j.held) end,
      coalesce(b.requests_left, 2147483647),
      case when b.tokens_left < 1 or b.images_left < 1 then 0 else 2147483647 end,
      case j.position when 'open' then 0
        when 'half_open' then (case when j.breaker = 'half_open' and j.probe_until > j.now and j.new_silent = 0 then 0 else 1 end)
        else 2147483647 end,
      case when j.paused_until > j.now or j.frozen_to > j.now then 0 else 2147483647 end
    )::int as room
  from slotwise j
  cross join lateral (
    select min(b.units) filter (where b.dimension = 1) as requests_left,
      min(b.units) filter (where b.dimension = 2) as tokens_left, bool_and(b.is_whole) filter (where b.dimension = 2) as tokens_whole,
      min(b.units) filter (where b.dimension = 3) as images_left, bool_and(b.is_whole) filter (where b.dimension = 3) as images_whole
    from bucket b
    where b.scope_id = j.id
  ) b
)
