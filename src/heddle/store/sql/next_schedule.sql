-- Purpose: tell in how many seconds the next schedule is due, of those whose workflow is loaded here. Caller: engine.recur.
-- Rows: reads schedule. Index: next_at. Nothing matches: null. Locks: none.
select extract(epoch from min(next_at) - clock_timestamp())::float8 from heddle_schedule
where is_enabled and paused_at is null and workflow = any(%(workflows)s::text[])
