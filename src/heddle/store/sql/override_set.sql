-- Purpose: set a scope's limits over those of the file, which are kept to go back to. Caller: operators' set_limits, after endpoint_scopes.
-- Rows: upserts limit_override, updates limit_state. Locks: limit_state (held) -> limit_override. Index: keys.
with kept as (
  insert into heddle_limit_override as o
    (scope_id, concurrency, requests_per_min, file_concurrency, file_requests_per_min, file_requests_burst)
  select s.id, %(concurrency)s::int, %(requests_per_min)s::int, s.concurrency, s.requests_per_min, s.requests_burst
  from heddle_limit_state s where s.id = %(scope_id)s
  on conflict (scope_id) do update set concurrency = excluded.concurrency, requests_per_min = excluded.requests_per_min,
    set_at = clock_timestamp()
  returning o.scope_id, o.concurrency, o.requests_per_min
)
update heddle_limit_state s set concurrency = k.concurrency, requests_per_min = k.requests_per_min,
  requests_burst = 1 + coalesce(k.requests_per_min, 0) / 120
from kept k
where s.id = k.scope_id
