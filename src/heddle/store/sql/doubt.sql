-- Purpose: turn calls that may have been sent in the history lost by a restore into calls of unknown outcome, to be looked up before they are
--   sent: of runs older than the restore, once a step. mark_sending leaves them out.
-- Caller: engine.execute (PostgresStore.mark_sending), after lock_runs in the same transaction, for what mark_sending did not give back.
-- Rows: lease, attempt, step, timer, event, run. Locks in order: run (held) -> step -> lease. Indexes: keys.
-- Nothing matches: the call was left out for another reason (its time or its lease was over).
with w as materialized (
  select w.*, r.event_seq, row_number() over (partition by w.run_id order by w.ordinal)::int as place
  from unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(numbers)s::int[], %(fences)s::bigint[]) as w (run_id, ordinal, number, fence)
  join heddle_lineage g on w.run_id < g.restored_before
  join heddle_run r on r.id = w.run_id
  join heddle_attempt a on a.run_id = w.run_id and a.ordinal = w.ordinal and a.number = w.number and a.state = 'reserved'
  join heddle_lease l on l.run_id = w.run_id and l.ordinal = w.ordinal and l.fence = w.fence
  join heddle_step s on s.run_id = w.run_id and s.ordinal = w.ordinal and s.state = 'due'
  where not exists (select 1 from heddle_attempt t where t.run_id = w.run_id and t.ordinal = w.ordinal and t.unknown_at >= g.restored_at)
), steps as (
  update heddle_step s set state = 'unknown', attempts = greatest(s.attempts, w.number),
    note = 'it may have been sent before the database was restored'
  from w where s.run_id = w.run_id and s.ordinal = w.ordinal
), unleased as (
  delete from heddle_lease l using w where l.run_id = w.run_id and l.ordinal = w.ordinal and l.fence = w.fence
), attempts as (
  update heddle_attempt a set state = 'unknown', unknown_at = clock_timestamp(), sent_at = coalesce(a.sent_at, clock_timestamp())
  from w where a.run_id = w.run_id and a.ordinal = w.ordinal and a.number = w.number
), timed as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select run_id, ordinal, 'reconcile', clock_timestamp() from w
  on conflict (run_id, ordinal, kind) do update set due_at = excluded.due_at
), told as (
  insert into heddle_event (run_id, seq, name, ordinal, at, detail)
  select run_id, event_seq + place, 'step.unknown', ordinal, clock_timestamp(), jsonb_build_object('cause', 'restore') from w
)
update heddle_run r set event_seq = r.event_seq + n.told
from (select run_id, count(*)::int as told from w group by run_id) n
where r.id = n.run_id
