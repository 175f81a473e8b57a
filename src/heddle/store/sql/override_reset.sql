-- Purpose: go back to the limits of the file. Caller: operators' reset_limits, after endpoint_scopes.
-- Rows: deletes limit_override, updates limit_state. Locks: limit_state (held) -> limit_override. Nothing matches: none were set over them.
with gone as (
  delete from heddle_limit_override where scope_id = %(scope_id)s
  returning scope_id, file_concurrency, file_requests_per_min, file_requests_burst
)
update heddle_limit_state s set concurrency = g.file_concurrency, requests_per_min = g.file_requests_per_min,
  requests_burst = g.file_requests_burst
from gone g
where s.id = g.scope_id
returning s.concurrency, s.requests_per_min
