-- Purpose: buffer a signal and make a call that waits for its name due: the oldest that no earlier buffered signal is meant for.
-- Caller: doors' signal, after lock_runs.
-- Rows: inserts signal and timer. Locks: run (held). A second call with the same key changes nothing.
with added as (
  insert into heddle_signal (run_id, name, key, payload) values (%(run_id)s, %(name)s, %(key)s, %(payload)s::jsonb)
  on conflict do nothing
  returning run_id
)
insert into heddle_timer (run_id, ordinal, kind, due_at)
select s.run_id, s.ordinal, 'signal', clock_timestamp()
from added a
join heddle_step s on s.run_id = a.run_id and s.kind = 'signal' and s.name = %(name)s and s.state = 'waiting'
order by s.ordinal
offset (select count(*) from heddle_signal x where x.run_id = %(run_id)s and x.name = %(name)s and x.consumed_by is null)
limit 1
on conflict (run_id, ordinal, kind) do update set due_at = excluded.due_at
