-- Purpose: make what failed in a run due again and let its function run again, under the same run id. Caller: doors' retry, after lock_runs.
-- Rows: step, ready, lease, slot, limit_delta, timer, event, run. Locks in order: run (held) -> step -> ready -> lease. Indexes: keys.
-- Attempts that a stop cut off count too, so that the next one gets a number of its own; what is left of a job being cancelled is let go.
-- Cleanup calls of an expired run are removed: the function runs again without having been stopped.
-- Failed calls become due (their attempts so far no longer count); cancelled and skipped ones wait for their parents again or become due.
-- Nothing matches: the run is neither failed nor expired.
with moment as materialized (
  select clock_timestamp() as now
), r0 as materialized (
  select id, planned, lane, tenant_id, event_seq,
    case when stopping in ('cancelled', 'expired') then stop_ordinal else planned end as kept
  from heddle_run where id = %(run_id)s and state in ('failed', 'expired')
), again as materialized (
  select s.run_id, s.ordinal, (
      select count(*)::int from unnest(s.parents) as p (ordinal)
      join heddle_step q on q.run_id = s.run_id and q.ordinal = p.ordinal and q.state <> 'succeeded') as blockers,
    greatest(s.attempts, (select max(t.number) from heddle_attempt t where t.run_id = s.run_id and t.ordinal = s.ordinal)) as tried
  from heddle_step s join r0 on s.run_id = r0.id
  where s.state in ('failed', 'cancelled', 'skipped') and s.ordinal <= r0.kept
), cleanups as (
  delete from heddle_step s using r0 where s.run_id = r0.id and s.ordinal > r0.kept
), steps as (
  update heddle_step s set
    state = case when a.blockers > 0 then 'blocked' when s.kind in ('step', 'model') then 'due' else 'waiting' end,
    blockers = a.blockers, fault = null, output = null, finished_at = null, note = '', attempts = a.tried,
    attempts_before = a.tried, crashes = 0,
    epoch = s.epoch + 1
  from again a
  where s.run_id = a.run_id and s.ordinal = a.ordinal
  returning s.run_id, s.ordinal, s.state, s.lane, s.tenant_id
), readied as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select lane, tenant_id, run_id, ordinal from steps where state = 'due'
  union all
  select lane, tenant_id, id, 0 from r0
), unleased as (
  delete from heddle_lease l using again a where l.run_id = a.run_id and l.ordinal = a.ordinal
), unslotted as (
  delete from heddle_slot k using again a where k.run_id = a.run_id and k.ordinal = a.ordinal returning k.endpoint_id
), released as (
  insert into heddle_limit_delta (scope_id, released, ok, failed, epoch)
  select l.id, count(*), 0, 0, l.breaker_epoch
  from unslotted u join heddle_endpoint e on e.id = u.endpoint_id join heddle_limit_state l on l.id = any(e.scope_ids)
  group by l.id, l.breaker_epoch
), begun as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select run_id, ordinal, 'begin', now from steps cross join moment where state = 'waiting'
  on conflict do nothing
), told as (
  insert into heddle_event (run_id, seq, name, at) select id, event_seq + 1, 'run.retried', now from r0 cross join moment
)
update heddle_run r set
  planned = r0.kept, state = 'running', function_state = 'running', stopping = null, stop_ordinal = 0, error = null, failed = 0, is_broken = false, handled = '{}',
  open = (select count(*) from again), finished_at = null, deadline_at = null, cancel_requested_at = null, awaits = null,
  is_activation_due = true, wake_seq = r.wake_seq + 1, event_seq = r.event_seq + 1
from r0
where r.id = r0.id
returning r.id
