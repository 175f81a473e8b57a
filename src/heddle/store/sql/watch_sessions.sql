-- Purpose: look for living workers whose heartbeat's session is gone: most likely their process has ended. The row keeps since when it is seen
--   gone, so that the watch goes on when who watches dies too; one whose session was gone at every look of the last gone_s is declared dead
--   (if may_declare). A watch that nobody took up again for unwatched_s, or is_anew after an outage, begins again.
-- Caller: engine.sweep, every pass of every worker; one that does not lead asks for the leader alone.
-- Rows: worker (the leader's by key, else the few rows there are); reads pg_stat_activity. Locks: the rows of the gone, skipping one that is just
--   beating; one that came back under another session in the meantime no longer has the name that was looked for.
-- A session from before the server's start says nothing: the server ended it. A start that this role may not see counts as the same session.
-- Nothing matches: everybody's session stands, or nobody has one of its own (a pooler is between).
with looked as materialized (
  select w.id, w.detail->>'session' as session
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
), gone as (
  select w.id, l.session, extract(epoch from clock_timestamp())::float8 as now_s, g.since_s
  from looked l
  join heddle_worker w on w.id = l.id and w.state in ('alive', 'draining') and w.detail->>'session' = l.session
  cross join lateral (
    select case
      when not %(is_anew)s and w.detail->'gone'->>'session' = l.session
        and (w.detail->'gone'->>'seen_s')::float8 >= extract(epoch from clock_timestamp()) - %(unwatched_s)s::float8
      then (w.detail->'gone'->>'since_s')::float8
    end as since_s
  ) g
  order by w.id
  for no key update of w skip locked
)
update heddle_worker w
set state = case when %(may_declare)s and g.since_s <= g.now_s - %(gone_s)s::float8 then 'dead' else w.state end,
  detail = w.detail || jsonb_build_object(
    'gone', jsonb_build_object('session', g.session, 'since_s', coalesce(g.since_s, g.now_s), 'seen_s', g.now_s)
  )
from gone g
where w.id = g.id
returning w.id, w.state = 'dead'
