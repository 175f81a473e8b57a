-- Purpose: let the runs of one tenant with a quota on runs be admitted one transaction after the other, so that over_quota counts what is there.
-- Caller: submit_calls, first in its transaction; a statement of its own, so that the next one sees what was committed meanwhile.
-- Rows: reads tenant. Locks: advisory, by tenant in order, until the transaction ends. Nothing matches: no tenant of the batch has such a quota.
select pg_advisory_xact_lock(hashint8extended(t.id, 1601))
from (
  select id from heddle_tenant
  where id = any(%(tenants)s::int[]) and (runs_per_min is not null or open_runs_max is not null)
  order by id
) t
