-- Purpose: write what providers told about their limits as deltas, for the next fold to believe. Part of settle and settle_call, so that both know one law.
-- Needs before it: `moment` (now) and `slotted`, one row for each call with what it was told (`told`, `endpoint_id`).
-- A lesson belongs to the endpoint's only scope, or to those of its scopes that limit the same.
reported as (
  insert into heddle_limit_delta (scope_id, epoch, released, ok, failed, dimension, limit_per_min, remaining, told_until, empty_until)
  select l.id, -1, 0, 0, 0, t.dimension, min(t.limit_per_min), min(t.remaining), max(now + make_interval(secs => t.until_s)),
    max(now + make_interval(secs => t.empty_s))
  from slotted u
  cross join moment
  cross join lateral jsonb_to_recordset(u.told) as t (dimension int, limit_per_min bigint, remaining bigint, until_s float8, empty_s float8)
  join heddle_endpoint e on e.id = u.endpoint_id
  join heddle_limit_state l on l.id = any(e.scope_ids)
  where cardinality(e.scope_ids) = 1
    or case t.dimension when 1 then l.requests_per_min is not null when 2 then l.tokens_per_min is not null else l.images_per_min is not null end
  group by l.id, t.dimension
