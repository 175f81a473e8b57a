-- Purpose: make what failed in a run due again and let its function run again, under the same run id. Caller: doors' retry, after lock_runs.
-- Rows: step, ready, lease, slot, limit_delta, timer, event, run. Locks in order: run (held) -> step -> ready -> lease. Indexes: keys.
-- Attempts that a stop cut off count too, so that the next one gets a number of its own; what is left of a job being cancelled is let go.
-- A job that a provider has, or may have, is asked after instead of being paid again: its step is `pending` or `unknown` under the same attempt.
-- So is a call whose answer came after it had been cancelled: what was paid for is read from its attempt (engine.poll).
-- Calls that lost first_of stay what they are, and so does what takes a value from them.
-- A call that shares results looks again before it is paid for: an equal one may be under way by now (`looks`, from look_lanes).
-- Cleanup calls of an expired run are removed: the function runs again without having been stopped.
-- A run that is one call has no function to run again.
-- Failed calls become due (their attempts so far no longer count); cancelled and skipped ones wait for their parents again or become due.
-- Nothing matches: the run is neither failed nor expired, nor, where the run above it is retried (`above`: the mark), was it stopped by that one.
--   One that somebody cancelled is not retried.
with recursive moment as materialized (
  select clock_timestamp() as now
), looks as materialized (
  select * from unnest(%(model_lanes)s::bigint[], %(look_lanes)s::bigint[]) as l (model_lane, look_lane)
), r0 as materialized (
  select id, planned, lane, tenant_id, event_seq, strpos(workflow, ':') > 0 as is_call,
    case when stopping in ('cancelled', 'expired') then stop_ordinal else planned end as kept
  from heddle_run where id = %(run_id)s
    and (state in ('failed', 'expired') or state = 'cancelled' and error ->> 'where' = %(above)s::text)
), lost (run_id, ordinal) as (
  select s.run_id, s.ordinal from heddle_step s join r0 on s.run_id = r0.id
  where s.state in ('cancelled', 'skipped') and s.fault ->> 'where' = %(lost)s
  union
  select l.run_id, c.ordinal from lost l join heddle_step s on s.run_id = l.run_id and s.ordinal = l.ordinal
  cross join lateral unnest(s.children) as c (ordinal)
), again as materialized (
  select s.run_id, s.ordinal, a.send_by, coalesce(a.state in ('accepted', 'sending', 'unknown'), false) and k.tid is not null as is_abroad, k.tid,
    case when k.tid is not null and a.state = 'accepted' then 'pending' when k.tid is not null and a.state in ('sending', 'unknown')
      or s.state = 'cancelled' and a.state in ('done', 'late') and a.is_answered then 'unknown' end as asked, (
      select count(*)::int from unnest(s.parents) as p (ordinal)
      join heddle_step q on q.run_id = s.run_id and q.ordinal = p.ordinal and q.state <> 'succeeded') as blockers,
    greatest(s.attempts, (select max(t.number) from heddle_attempt t where t.run_id = s.run_id and t.ordinal = s.ordinal)) as tried
  from heddle_step s join r0 on s.run_id = r0.id
  left join lateral (select k.ctid as tid from heddle_slot k where k.run_id = s.run_id and k.ordinal = s.ordinal offset 0) k on true
  left join lateral (
    select t.state, t.send_by, t.result is not null as is_answered from heddle_attempt t
    where t.run_id = s.run_id and t.ordinal = s.ordinal order by t.number desc limit 1
  ) a on true
  where s.state in ('failed', 'cancelled', 'skipped') and s.ordinal <= r0.kept
    and s.ordinal not in (select ordinal from lost)
), cleanups as (
  delete from heddle_step s using r0 where s.run_id = r0.id and s.ordinal > r0.kept
), steps as (
  update heddle_step s set
    state = case when a.asked is not null then a.asked when a.blockers > 0 then 'blocked' when s.kind in ('step', 'model') then 'due'
      else 'waiting' end,
    lane = coalesce((select l.look_lane from looks l where l.model_lane = s.lane and s.options ? 'reuse' and a.asked is null), s.lane),
    blockers = a.blockers, fault = null, output = null, finished_at = null, note = '', attempts = a.tried,
    attempts_before = case when a.asked is not null then s.attempts_before else a.tried end, crashes = 0,
    epoch = s.epoch + 1
  from again a
  where s.run_id = a.run_id and s.ordinal = a.ordinal
  returning s.run_id, s.ordinal, s.state, s.lane, s.tenant_id, a.send_by
), readied as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select lane, tenant_id, run_id, ordinal from steps where state = 'due'
  union all
  select lane, tenant_id, id, 0 from r0 where not is_call
), unleased as (
  delete from heddle_lease l where l.ctid = any(array(
    select l.tid from again s
    cross join lateral (select l.ctid as tid from heddle_lease l where l.run_id = s.run_id and l.ordinal = s.ordinal offset 0) l))
), unslotted as (
  delete from heddle_slot k where k.ctid = any(array(select tid from again where not is_abroad)) returning k.endpoint_id
), released as (
  insert into heddle_limit_delta (scope_id, released, ok, failed, epoch)
  select l.id, count(*), 0, 0, l.breaker_epoch
  from unslotted u join heddle_endpoint e on e.id = u.endpoint_id join heddle_limit_state l on l.id = any(e.scope_ids)
  group by l.id, l.breaker_epoch
), begun as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select run_id, ordinal, case state when 'waiting' then 'begin' when 'pending' then 'poll' else 'reconcile' end,
    case when state = 'unknown' then greatest(now, send_by) else now end
  from steps cross join moment where state in ('waiting', 'pending', 'unknown')
  on conflict do nothing
), told as (
  insert into heddle_event (run_id, seq, name, at) select id, event_seq + 1, 'run.retried', now from r0 cross join moment
)
update heddle_run r set
  planned = r0.kept, state = 'running', function_state = case when r0.is_call then 'returned' else 'running' end, stopping = null, stop_ordinal = 0, error = null, failed = 0, is_broken = false, handled = '{}',
  open = (select count(*) from again), finished_at = null, deadline_at = null, cancel_requested_at = null, awaits = null,
  is_activation_due = not r0.is_call, wake_seq = r.wake_seq + 1, event_seq = r.event_seq + 1
from r0
where r.id = r0.id
returning r.id
