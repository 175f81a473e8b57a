-- Purpose: tell in how many seconds the next timer is due. Caller: engine.schedule. Rows: reads one timer. Index: timer's due_at. Locks: none.
select extract(epoch from min(due_at) - clock_timestamp())::float8 as next_in_s from heddle_timer
