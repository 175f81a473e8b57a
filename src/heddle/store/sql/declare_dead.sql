-- Purpose: declare workers dead whose session was seen gone for long enough, by compare-and-set on that very session: one that has come back
--   under a new session, or is just beating, is left alone. Caller: engine.sweep. Rows: worker. Locks: those rows by id, skip locked. Index: key.
-- Nothing matches: they came back, or somebody else declared them.
with gone as (
  select w.id
  from heddle_worker w join unnest(%(workers)s::bigint[], %(sessions)s::text[]) as g (id, session) on g.id = w.id
  where w.state in ('alive', 'draining') and w.detail->>'session' = g.session
    and not exists (
      select from pg_stat_activity a
      where a.pid = split_part(g.session, '@', 1)::int
        and coalesce(a.pid || '@' || extract(epoch from a.backend_start), g.session) = g.session
    )
  order by w.id
  for no key update of w skip locked
)
update heddle_worker w set state = 'dead' from gone g where w.id = g.id returning w.id
