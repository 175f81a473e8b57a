-- Purpose: give runs another class: they and their open calls get the lanes of that class; what becomes ready from now on goes there.
-- Caller: engine.operate, after lock_runs and run_lanes in the same transaction. What is in line already is moved by requeue.
-- Rows: updates run and step. Locks in order: run (held) -> step. Index: keys. Nothing matches: the runs are over.
with lane as materialized (
  select * from unnest(%(old)s::bigint[], %(new)s::bigint[]) as l (old, new)
), steps as (
  update heddle_step s set lane = l.new
  from lane l
  where s.run_id = any(%(run_ids)s::uuid[]) and s.kind in ('step', 'model') and s.finished_at is null and s.lane = l.old
), told as (
  insert into heddle_event (run_id, seq, name, at, detail)
  select r.id, r.event_seq + 1, 'run.reprioritised', clock_timestamp(), jsonb_build_object('from', r.priority, 'to', %(priority)s::text)
  from heddle_run r where r.id = any(%(run_ids)s::uuid[]) and r.state in ('queued', 'running')
)
update heddle_run r set priority = %(priority)s, lane = l.new, event_seq = r.event_seq + 1
from lane l
where r.id = any(%(run_ids)s::uuid[]) and r.lane = l.old and r.state in ('queued', 'running')
returning r.id
