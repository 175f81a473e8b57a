-- Purpose: note what schedules started and when they come next. Caller: engine.recur, last in its transaction. Rows: schedule (held).
-- Locks: schedule (held). Index: its key.
update heddle_schedule s set
  next_at = w.next_at, last_at = coalesce(w.last_at, s.last_at), last_run = coalesce(w.last_run, s.last_run), fired = s.fired + w.fired,
  missed = s.missed + w.missed, problem = w.problem
from unnest(%(names)s::text[], %(nexts)s::timestamptz[], %(lasts)s::timestamptz[], %(last_runs)s::uuid[], %(fired)s::int[], %(missed)s::int[],
  %(problems)s::text[]) as w (name, next_at, last_at, last_run, fired, missed, problem)
where s.name = w.name
