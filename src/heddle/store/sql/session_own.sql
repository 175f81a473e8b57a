-- Purpose: name the session that asks: its process number and its start, which together never come again. Caller: the heartbeat's connection,
--   once. Rows: reads its own row of pg_stat_activity, which every role may see whole. Locks: none.
select pid, pid || '@' || extract(epoch from backend_start) from pg_stat_activity where pid = pg_backend_pid()
