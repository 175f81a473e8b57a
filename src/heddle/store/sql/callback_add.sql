-- Purpose: keep a verified callback once, and make the step's poll due. Caller: doors' callback, after lock_runs.
-- One that comes before the answer to its own call finds the step leased: its timer waits for the lease to end (take_timers).
-- The job that it names is the handle of an attempt without one: a send whose answer was lost is found by it (`marked`).
-- One that tells of an attempt that was closed is left to settle_late (`is_closed`), also when it comes again: the first may not have got so far.
-- Rows: inserts inbox, upserts timer, updates attempt. Locks: run (held). A second delivery changes nothing but is told as known.
with target as materialized (
  select a.run_id, a.ordinal, a.number, e.id as endpoint_id, s.state,
    a.sent_at is not null and a.state in ('rejected', 'abandoned') as is_closed
  from heddle_attempt a
  join heddle_endpoint e on e.id = a.endpoint_id and e.name = %(endpoint)s
  join heddle_step s on s.run_id = a.run_id and s.ordinal = a.ordinal
  where a.run_id = %(run_id)s and a.ordinal = %(ordinal)s and a.number = %(number)s
), kept as (
  insert into heddle_inbox (endpoint_id, event_id, run_id, ordinal, number)
  select endpoint_id, %(event_id)s, run_id, ordinal, number from target
  on conflict do nothing
  returning run_id, ordinal
), marked as (
  update heddle_attempt a set
    called_back_at = coalesce(a.called_back_at, clock_timestamp()),
    handle = case when a.handle is null and a.state in ('sending', 'unknown') then %(handle)s::text else a.handle end
  from kept k
  -- Named anew and not taken from what was kept, or the plan would open every week's partition.
  where a.run_id = %(run_id)s and a.ordinal = %(ordinal)s and a.number = %(number)s
), timed as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select t.run_id, t.ordinal, case t.state when 'unknown' then 'reconcile' else 'poll' end, clock_timestamp()
  from kept k join target t using (run_id, ordinal)
  where t.state in ('due', 'pending', 'unknown')
  on conflict (run_id, ordinal, kind) do update set due_at = excluded.due_at
)
select (select count(*) from target)::int as found, (select count(*) from kept)::int as kept,
  coalesce((select is_closed from target), false) as is_closed
