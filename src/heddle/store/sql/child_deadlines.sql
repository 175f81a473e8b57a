-- Purpose: give child runs that go on the time again that their calls allow them. Caller: engine.schedule, after retry_run in the same
--   transaction. Rows: updates run, upserts timer. Locks: run (held). Index: keys. Nothing matches: none of them goes on.
with w as materialized (
  select * from unnest(%(run_ids)s::uuid[], %(deadlines_s)s::float8[]) as w (id, deadline_s)
), runs as (
  update heddle_run r set deadline_at = clock_timestamp() + make_interval(secs => w.deadline_s)
  from w
  where r.id = w.id and r.state = 'running' and r.stopping is null
  returning r.id, r.deadline_at
)
insert into heddle_timer (run_id, ordinal, kind, due_at)
select id, 0, 'deadline', deadline_at from runs
on conflict (run_id, ordinal, kind) do update set due_at = excluded.due_at
