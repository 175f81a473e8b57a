-- Purpose: show a tenant's schedules by name, from the one after a name on. Caller: doors' schedules. Rows: reads schedule. Index: its key.
-- Locks: none. Bounded by limit.
select name, workflow, cron, time_zone, catch_up, priority, is_enabled, paused_at, next_at, last_at, last_run, fired, missed, problem
from heddle_schedule where tenant_id = %(tenant_id)s and name > %(after)s order by name limit %(limit)s
