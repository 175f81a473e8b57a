-- Purpose: let an operator's limits win over the file that was just applied, and keep the file's to go back to.
-- Of a scope that adapts, the slots found before the operator came are kept, within the file's bounds.
-- Caller: store.apply, after apply_scope in the same transaction. Rows: updates limit_override and limit_state. Locks: limit_state (held) ->
--   limit_override. Nothing matches: no operator set limits over this scope's.
with kept as (
  update heddle_limit_override o set
    file_concurrency = case when s.concurrency_max is null then s.concurrency
      else least(s.concurrency_max, greatest(s.concurrency_min, o.file_concurrency)) end,
    file_requests_per_min = s.requests_per_min,
    file_requests_burst = s.requests_burst
  from heddle_limit_state s
  where s.name = %(name)s and o.scope_id = s.id
  returning o.scope_id, o.concurrency, o.requests_per_min
)
update heddle_limit_state s set concurrency = k.concurrency, requests_per_min = k.requests_per_min,
  requests_burst = 1 + coalesce(k.requests_per_min, 0) / 120
from kept k
where s.id = k.scope_id
