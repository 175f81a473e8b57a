-- Purpose: read the measured load of lanes that have something in line, the longest first. Caller: doors, at most once a second a process.
-- Rows: reads load, at most %(limit)s. Locks: none. Nothing matches: no work waits anywhere.
select kind, name, version, priority, queued, case when busy_s >= %(trusted_s)s then drained_per_s else 0 end as drained_per_s, tenants, rest, workflows,
  extract(epoch from clock_timestamp() - at)::float8 as measured_ago_s
from heddle_load
where queued > 0
order by queued desc, lane
limit %(limit)s
