-- Purpose: buffer a signal and make a call that waits for its name due: the oldest that no earlier buffered signal is meant for.
--   A run keeps so many that nobody has taken and no more: one for which no call waits is then refused. Tells whether it was kept.
-- Caller: doors' signal, after lock_runs.
-- Rows: inserts signal and timer. Locks: run (held). Indexes: signal's keys.
-- A second call with the same key changes nothing, however many are kept by then.
with target as materialized (
  select s.run_id, s.ordinal
  from heddle_step s
  where s.run_id = %(run_id)s and s.kind = 'signal' and s.name = %(name)s and s.state = 'waiting'
  order by s.ordinal
  offset (select count(*) from heddle_signal x where x.run_id = %(run_id)s and x.name = %(name)s and x.consumed_by is null)
  limit 1
), known as materialized (
  select 1 from heddle_signal x where x.run_id = %(run_id)s and x.name = %(name)s and x.key = %(key)s
), added as (
  insert into heddle_signal (run_id, name, key, payload)
  select %(run_id)s, %(name)s, %(key)s, %(payload)s::jsonb
  where not exists (select 1 from known) and (
    exists (select 1 from target)
    or %(kept_max)s > (select count(*) from (
      select 1 from heddle_signal x where x.run_id = %(run_id)s and x.consumed_by is null limit %(kept_max)s) k))
  returning run_id
), timed as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select t.run_id, t.ordinal, 'signal', clock_timestamp() from added a join target t on t.run_id = a.run_id
  on conflict (run_id, ordinal, kind) do update set due_at = excluded.due_at
)
select exists (select 1 from added) or exists (select 1 from known) as is_kept
