-- Purpose: take leases from dead workers and say what becomes of their steps:
--   activation or local step: ready again (a step that crashed its worker `crashes_max` times fails instead: its leases are left to the caller);
--   model call `reserved`: due again at once. A paid one was not sent and cannot be any more, since its intent needs the lease and the attempt's
--     row, which are taken here; a free one may have been, which costs time at its endpoint and nothing else. Its slot is kept till it is due;
--   model call `sending` that is paid for (its endpoint is, or its intent was made durable): unknown, to be reconciled after the margin; free or
--     unsent: as reserved; that its end is not known is our doing and no failure of its endpoint, which its fault says (engine.scores);
--     an attempt that a restore brought back as `reserved` may have been sent in the history that was lost: as sending;
--   poll: asked again at once; a job whose run was stopped is put in line again to be asked to stop.
-- A step that was stopped while it was being leased stays as it is, and its slot is let go.
-- Caller: engine.sweep, after lock_runs, for leases of workers that mark_dead returned. `given_back` also serves strangers and readback.
-- Rows: lease, step, attempt, ready, timer, slot, limit_delta. Locks in order: run (held) -> lease -> attempt -> step -> ready. Indexes: keys.
-- The attempt is read under its lock: an intent that is just being committed is waited for, and seen.
-- Nothing matches: the lease was settled in the meantime.
with moment as materialized (
  select clock_timestamp() as now
), gone as (
  delete from heddle_lease l where l.ctid = any(array(
    select l.tid from unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(fences)s::bigint[]) as w (run_id, ordinal, fence)
    cross join lateral (
      select l.ctid as tid from heddle_lease l where l.run_id = w.run_id and l.ordinal = w.ordinal and l.fence = w.fence offset 0
    ) l))
  returning l.run_id, l.ordinal, l.number, l.lane, l.tenant_id, l.endpoint_id, l.purpose, l.fence, l.worker_id
), tried as materialized (
  select a.*
  from (select g.run_id, g.ordinal, g.number from gone g order by g.run_id, g.ordinal) g
  cross join lateral (
    select a.run_id, a.ordinal, a.number, a.state, a.send_by, a.handle, a.started_at, a.sent_at from heddle_attempt a
    where a.run_id = g.run_id and a.ordinal = g.ordinal and a.number = g.number
    for no key update
  ) a
), fact as materialized (
  select g.*, case when a.state = 'reserved' and exists (select 1 from heddle_lineage n where a.started_at < n.restored_at) then 'sending'
      else a.state end as attempt_state, a.send_by, a.handle, coalesce(e.is_paid, false) or a.sent_at is not null as is_paid, e.poll_lane,
    s.state as step_state
  from gone g
  left join tried a on a.run_id = g.run_id and a.ordinal = g.ordinal and a.number = g.number
  left join heddle_endpoint e on e.id = g.endpoint_id
  left join lateral (select s.state from heddle_step s where s.run_id = g.run_id and s.ordinal = g.ordinal offset 0) s on true
), attempts as (
  update heddle_attempt a set
    state = case when f.attempt_state = 'reserved' or not f.is_paid then 'abandoned' else 'unknown' end,
    unknown_at = case when f.attempt_state = 'sending' and f.is_paid then coalesce(a.unknown_at, now) end,
    fault = case when f.attempt_state = 'sending' and f.is_paid then jsonb_build_object('fault', 'code_crashed', 'message',
      'the worker that sent it did not wait for its answer', 'where', '') else a.fault end,
    finished_at = case when f.attempt_state = 'reserved' or not f.is_paid then now end
  from fact f cross join moment
  where f.purpose = 'send' and f.attempt_state in ('reserved', 'sending') and a.run_id = f.run_id and a.ordinal = f.ordinal and a.number = f.number
), tries as (
  insert into heddle_attempt (run_id, ordinal, number, worker_id, fence, state, fault, started_at, finished_at)
  select run_id, ordinal, number, worker_id, fence, 'abandoned',
    jsonb_build_object('fault', 'code_crashed', 'message', 'the worker that ran it died', 'where', ''), now, now
  from fact cross join moment where purpose = 'execute' and %(is_death)s
  on conflict do nothing
), steps as (
  update heddle_step s set
    state = case when f.purpose = 'execute' then 'due' when f.purpose = 'poll' then f.step_state
      when f.attempt_state = 'sending' and f.is_paid then 'unknown' else 'waiting' end,
    crashes = s.crashes + case when f.purpose = 'execute' and %(is_death)s then 1 else 0 end,
    attempts = case when f.purpose = 'execute' and not %(is_death)s then s.attempts else greatest(s.attempts, f.number) end,
    attempts_before = s.attempts_before + case when f.purpose = 'send' and (f.attempt_state = 'reserved' or not f.is_paid)
      or f.purpose = 'execute' and %(is_death)s then 1 else 0 end
  from fact f
  where f.ordinal > 0 and f.step_state in ('due', 'pending', 'unknown') and s.run_id = f.run_id and s.ordinal = f.ordinal
  returning s.run_id, s.ordinal, s.state, f.purpose, s.lane, s.tenant_id, f.send_by
), readied as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select f.lane, f.tenant_id, f.run_id, 0
  from fact f
  cross join lateral (select r.is_activation_due, r.state from heddle_run r where r.id = f.run_id offset 0) r
  where f.purpose = 'activate' and r.is_activation_due and r.state in ('queued', 'running')
  union all
  select poll_lane, tenant_id, run_id, ordinal from fact where purpose = 'poll' and step_state = 'cancelled'
  union all
  select lane, tenant_id, run_id, ordinal from steps where state = 'due' and purpose = 'execute'
  returning run_id
), unslotted as (
  delete from heddle_slot k where k.ctid = any(array(
    select k.tid from fact f
    cross join lateral (select k.ctid as tid from heddle_slot k where k.run_id = f.run_id and k.ordinal = f.ordinal offset 0) k
    where f.purpose = 'send' and f.step_state not in ('due', 'pending', 'unknown')))
  returning k.endpoint_id
), released as (
  insert into heddle_limit_delta (scope_id, released, ok, failed, epoch)
  select l.id, count(*), 0, 0, l.breaker_epoch
  from unslotted u join heddle_endpoint e on e.id = u.endpoint_id join heddle_limit_state l on l.id = any(e.scope_ids)
  group by l.id, l.breaker_epoch
), timed as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select run_id, ordinal, case when purpose = 'poll' then (case state when 'pending' then 'poll' else 'reconcile' end)
      when state = 'unknown' then 'reconcile' else 'retry' end,
    case when purpose = 'poll' or state = 'waiting' then now else greatest(now, send_by + make_interval(secs => %(margin_s)s)) end
  from steps cross join moment
  where purpose = 'poll' or purpose = 'send'
  on conflict (run_id, ordinal, kind) do update set due_at = excluded.due_at
)
select (select count(*) from gone)::int as taken, (select count(*) from readied)::int as readied,
  (select count(*) from fact where attempt_state = 'sending' and is_paid and purpose = 'send')::int as unknown
