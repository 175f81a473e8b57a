-- Purpose: stop runs: cancel every open call made so far, and either wake the function so that it can clean up, or end the run when the
--   function is over. Reasons: cancelled (somebody asked), expired (deadline), raised (the function ended without a value).
-- A run that is still queued ends at once: its function has never run, so there is nothing to clean up.
-- Caller: doors' cancel, the deadline timer, engine.activate; after lock_runs in the same transaction. A second call changes nothing for a
--   reason already recorded, except `forced` (the cleanup time is over): then the function is over too.
-- Rows: step, lease, slot, limit_delta, timer, ready, event, outbox (inserts), run. Locks in order: run (held) -> step -> ready -> lease.
-- An accepted provider job is asked to stop by a worker: its step gets a ready row in its endpoint's poll lane. One that may have been
--   accepted (cut off while it was being sent, or unknown before) is looked up first, when nothing can be sent any more. Both keep their slot
--   until it is known that the job is over.
-- A run may have ten thousand calls: what belongs to them is reached by key, call by call, and deleted by ctid (as in settle), never joined.
-- Nothing matches: a terminal run is left alone.
with moment as materialized (
  select clock_timestamp() as now
), w as materialized (
  select r.id, r.lane, r.tenant_id, coalesce(r.stopping, w.reason) as reason, w.fault, r.planned, r.is_activation_due, r.parent_run,
    r.parent_ordinal, r.stopping is null as is_first,
    r.function_state <> 'running' or w.is_forced or r.state = 'queued' as is_over
  from unnest(%(run_ids)s::uuid[], %(reasons)s::text[], %(faults)s::jsonb[], %(forced)s::boolean[]) as w (id, reason, fault, is_forced)
  cross join lateral (
    select r.id, r.lane, r.tenant_id, r.stopping, r.planned, r.is_activation_due, r.parent_run, r.parent_ordinal, r.function_state, r.state
    from heddle_run r where r.id = w.id offset 0
  ) r
  where r.state in ('queued', 'running') and (r.stopping is null or w.is_forced)
), going as materialized (
  select s.run_id, s.ordinal, w.reason
  from w
  cross join lateral (select s.run_id, s.ordinal, s.state from heddle_step s where s.run_id = w.id offset 0) s
  where s.state in ('blocked', 'due', 'pending', 'waiting', 'unknown')
), stopped as (
  update heddle_step s set
    state = 'cancelled', finished_at = now,
    attempts = case when s.kind = 'model' then greatest(s.attempts, (
      select max(t.number) from heddle_attempt t where t.run_id = s.run_id and t.ordinal = s.ordinal)) else s.attempts end,
    fault = jsonb_build_object('fault', case g.reason when 'expired' then 'deadline' else 'cancelled' end,
      'message', 'stopped with its run: ' || g.reason, 'where', '')
  from going g cross join moment
  where s.run_id = g.run_id and s.ordinal = g.ordinal
  returning s.run_id, s.ordinal, s.tenant_id, s.child_run
), unleased as (
  delete from heddle_lease l where l.ctid = any(array(
    select l.tid from stopped s
    cross join lateral (select l.ctid as tid from heddle_lease l where l.run_id = s.run_id and l.ordinal = s.ordinal offset 0) l))
  returning l.run_id, l.worker_id
), slotted as materialized (
  select s.run_id, s.ordinal, s.tenant_id, k.tid, a.endpoint_id, a.state, a.send_by,
    coalesce(a.state in ('accepted', 'sending', 'unknown'), false) as is_abroad
  from stopped s
  cross join lateral (
    select k.ctid as tid from heddle_slot k where k.run_id = s.run_id and k.ordinal = s.ordinal offset 0
  ) k
  left join lateral (
    select t.endpoint_id, t.state, t.send_by from heddle_attempt t
    where t.run_id = s.run_id and t.ordinal = s.ordinal order by t.number desc limit 1
  ) a on true
), asking as materialized (
  select e.poll_lane as lane, a.tenant_id, a.run_id, a.ordinal
  from slotted a
  cross join lateral (select e.poll_lane from heddle_endpoint e where e.id = a.endpoint_id offset 0) e
  where a.is_abroad and a.state = 'accepted'
), asked as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select lane, tenant_id, run_id, ordinal from asking
  where (run_id, ordinal) not in (
    select y.run_id, y.ordinal
    from (select distinct lane, tenant_id from asking) q
    cross join lateral (select y.run_id, y.ordinal from heddle_ready y where y.lane = q.lane and y.tenant_id = q.tenant_id offset 0) y)
), unslotted as (
  delete from heddle_slot k where k.ctid = any(array(select tid from slotted where not is_abroad)) returning k.endpoint_id
), released as (
  insert into heddle_limit_delta (scope_id, released, ok, failed, epoch)
  select l.id, count(*), 0, 0, l.breaker_epoch
  from unslotted u join heddle_endpoint e on e.id = u.endpoint_id join heddle_limit_state l on l.id = any(e.scope_ids)
  group by l.id, l.breaker_epoch
), untimed as (
  delete from heddle_timer t where t.ctid = any(array(
    select t.tid from w
    cross join lateral (select t.ctid as tid, t.ordinal, t.kind from heddle_timer t where t.run_id = w.id offset 0) t
    where (t.ordinal > 0 or w.is_over) and t.kind <> 'reconcile'))
), watched as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select run_id, ordinal, 'reconcile', greatest(now + interval '1 second', send_by) from slotted cross join moment where is_abroad and state <> 'accepted'
  on conflict do nothing
), cleanup as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select id, 0, 'cleanup', now + make_interval(secs => %(cleanup_s)s) from w cross join moment where not is_over
  on conflict (run_id, ordinal, kind) do nothing
), runs as (
  update heddle_run r set
    stopping = w.reason,
    stop_ordinal = case when w.is_first then w.planned else r.stop_ordinal end,
    cancel_requested_at = case when w.reason = 'cancelled' then coalesce(r.cancel_requested_at, now) else r.cancel_requested_at end,
    error = case when w.reason = 'raised' then w.fault else coalesce(w.fault, r.error) end,
    function_state = case when w.is_over and r.function_state = 'running' then 'raised' else r.function_state end,
    open = 0,
    awaits = null,
    wake_seq = r.wake_seq + 1,
    is_activation_due = not w.is_over,
    state = case when not w.is_over then r.state when w.reason = 'raised' then 'failed' else w.reason end,
    finished_at = case when w.is_over then now end,
    event_seq = r.event_seq + case when w.is_first then 1 else 0 end + case when w.is_over then 1 else 0 end
  from w cross join moment
  where r.id = w.id
  returning r.id, r.state, r.event_seq, w.reason, w.is_over, w.is_first, w.is_activation_due as was_due, r.lane, r.tenant_id, r.parent_run,
    r.parent_ordinal, r.workflow, r.priority, r.created_at, r.finished_at, r.webhook_url
), told as (
  insert into heddle_event (run_id, seq, name, ordinal, at)
  select id, event_seq - case when is_over then 1 else 0 end, 'run.stopping', null::int, now from runs cross join moment where is_first
  union all
  select id, event_seq, 'run.' || state, null::int, now from runs cross join moment where is_over
), posted as (
  insert into heddle_outbox (run_id, seq, tenant_id, type, url, at, next_at)
  select id, event_seq, tenant_id, 'run.' || state, webhook_url, finished_at, finished_at from runs where is_over and webhook_url is not null
), woken as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select lane, tenant_id, id, 0 from runs where not is_over and not was_due
), unactivated as (
  delete from heddle_lease l where l.ctid = any(array(
    select l.tid from runs r
    cross join lateral (select l.ctid as tid from heddle_lease l where l.run_id = r.id and l.ordinal = 0 offset 0) l
    where r.is_over))
), children as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select child_run, 0, 'cleanup', now from stopped cross join moment where child_run is not null
  on conflict do nothing
), raised as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select parent_run, parent_ordinal, 'child', now from runs cross join moment where is_over and parent_run is not null
  on conflict do nothing
)
select (select count(*) from runs)::int as stopped,
  (select json_agg(distinct run_id) from unleased) as leased_runs,
  (select json_agg(json_build_array(workflow, state, priority, extract(epoch from finished_at - created_at)::float8)) from runs where is_over) as ended
