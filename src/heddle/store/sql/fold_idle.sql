-- Purpose: fold limit deltas of scopes that no claim has touched for a second. Caller: engine.sweep, the leader.
-- Rows: limit_state (skip locked), limit_delta. Locks in order: limit rows by id. The law is that of the claim (parts/fold, parts/limit):
--   a breaker opens and closes here too, since no claim comes to a scope that is full, frozen or has its probe out.
-- Index: limit_delta's scope. Nothing matches: every delta is younger than a second or its scope is locked by a claim, which folds it.
with moment as materialized (
  select clock_timestamp() as now
), scope as materialized (
  select s.* from heddle_limit_state s
  where (select true from heddle_limit_delta d where d.scope_id = s.id and d.at < clock_timestamp() - interval '1 second' limit 1)
  order by s.id
  for no key update skip locked
),
-- include: fold
, spent as materialized (
  select null::int as scope_id, 0 as taken, 0::bigint as tokens, 0::bigint as images, 0 as first_tries, 0 as retries, 0.0::float8 as probe_s,
    false as is_short
  where false
),
-- include: limit
select count(*)::int as folded from roomed
