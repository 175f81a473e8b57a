-- Purpose: list living workers whose heartbeat's session is gone: most likely their process has ended. Caller: engine.sweep, every pass of
--   every worker; one that does not lead asks for the leader alone. Rows: reads worker (the leader's by key, else the few rows there are)
--   and pg_stat_activity. Locks: none.
-- A session from before the server's start says nothing: the server ended it. A start that this role may not see counts as the same session.
-- Nothing matches: everybody's session stands, or nobody has one of its own (a pooler is between).
select w.id, w.detail->>'session'
from heddle_worker w
where w.state in ('alive', 'draining')
  and w.detail->>'session' is not null
  and (%(is_leader)s or w.id = (select holder from heddle_leader where role = 'sweep'))
  and to_timestamp(split_part(w.detail->>'session', '@', 2)::float8) >= pg_postmaster_start_time()
  and not exists (
    select from pg_stat_activity a
    where a.pid = split_part(w.detail->>'session', '@', 1)::int
      and coalesce(a.pid || '@' || extract(epoch from a.backend_start), w.detail->>'session') = w.detail->>'session'
  )
order by w.id limit 500
