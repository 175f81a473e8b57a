-- Purpose: lock the scopes of an endpoint and show their limits as they then are. Caller: operators' set_limits, reset_limits.
-- Rows: reads limit_state. Locks: those rows by id (waits for a claim's transaction). Index: keys. Nothing matches: there is no endpoint of this name.
select s.id, s.name, s.concurrency, s.requests_per_min
from heddle_limit_state s
where s.id = any((select e.scope_ids from heddle_endpoint e where e.name = %(name)s)::int[])
order by s.id
for no key update of s
