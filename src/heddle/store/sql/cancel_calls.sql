-- Purpose: cancel calls that lost first_of, and skip what takes a value from them, while their run goes on.
-- Caller: engine.activate, after lock_runs and before plan_facts in the same transaction, which so sees the run as it is afterwards.
--   Nothing is done for a plan whose lease is gone or that did not see the last wake-up: plan_facts drops it or makes it again.
-- Rows: step, lease, slot, limit_delta, timer, ready, run. Locks in order: run (held) -> step -> ready -> lease. Indexes: keys.
-- Jobs that a provider has, or may have, are asked to stop as in stop.sql: their steps keep their slots till that is known.
-- A signal that one of them took after another call had won is put back for the next call that waits for it.
-- Nothing matches: calls that have ended by now keep what they came to.
with recursive moment as materialized (
  select clock_timestamp() as now
), w as materialized (
  select w.id
  from unnest(%(run_ids)s::uuid[], %(fences)s::bigint[], %(wakes)s::int[]) as w (id, fence, wake_seq)
  cross join lateral (select r.wake_seq, r.state from heddle_run r where r.id = w.id offset 0) r
  where r.wake_seq = w.wake_seq and r.state in ('queued', 'running')
    and (select true from heddle_lease l where l.run_id = w.id and l.ordinal = 0 and l.fence = w.fence limit 1)
), reached (run_id, ordinal, cause) as (
  select s.run_id, s.ordinal, s.ordinal
  from unnest(%(runs)s::uuid[], %(ordinals)s::int[]) as c (run_id, ordinal)
  join w on w.id = c.run_id
  cross join lateral (
    select s.run_id, s.ordinal, s.state from heddle_step s where s.run_id = c.run_id and s.ordinal = c.ordinal offset 0
  ) s
  where s.state in ('blocked', 'due', 'pending', 'waiting', 'unknown')
  union
  select d.run_id, c.ordinal, d.cause
  from reached d
  cross join lateral (select s.children from heddle_step s where s.run_id = d.run_id and s.ordinal = d.ordinal offset 0) s
  cross join lateral unnest(s.children) as c (ordinal)
), lost as materialized (
  select l.*
  from (
    select run_id, ordinal, min(cause) as cause, bool_or(ordinal = cause) as is_asked from reached group by run_id, ordinal
  ) l
  cross join lateral (select s.state from heddle_step s where s.run_id = l.run_id and s.ordinal = l.ordinal offset 0) s
  where s.state in ('blocked', 'due', 'pending', 'waiting', 'unknown')
), stopped as (
  update heddle_step s set
    state = case when l.is_asked then 'cancelled' else 'skipped' end,
    finished_at = now,
    attempts = case when s.kind = 'model' then greatest(s.attempts, (
      select max(t.number) from heddle_attempt t where t.run_id = s.run_id and t.ordinal = s.ordinal)) else s.attempts end,
    fault = case when l.is_asked then %(lost)s::jsonb else jsonb_build_object('fault', 'cancelled', 'message',
      'skipped: call ' || l.cause || ', which it takes a value from, lost heddle.first_of', 'where', %(lost)s::jsonb ->> 'where') end
  from lost l cross join moment
  where s.run_id = l.run_id and s.ordinal = l.ordinal
  returning s.run_id, s.ordinal, s.tenant_id, s.child_run
), unleased as (
  delete from heddle_lease l where l.ctid = any(array(
    select l.tid from stopped s
    cross join lateral (select l.ctid as tid from heddle_lease l where l.run_id = s.run_id and l.ordinal = s.ordinal offset 0) l))
  returning l.run_id
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
    select t.tid from stopped s
    cross join lateral (select t.ctid as tid, t.kind from heddle_timer t where t.run_id = s.run_id and t.ordinal = s.ordinal offset 0) t
    where t.kind <> 'reconcile'))
), watched as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select run_id, ordinal, 'reconcile', greatest(now + interval '1 second', send_by) from slotted cross join moment where is_abroad and state <> 'accepted'
  union all
  select child_run, 0, 'cleanup', now from stopped cross join moment where child_run is not null
  on conflict do nothing
), returned as (
  update heddle_signal x set consumed_by = null
  from w join unnest(%(runs)s::uuid[], %(ordinals)s::int[]) as c (run_id, ordinal) on c.run_id = w.id
  where x.run_id = c.run_id and x.consumed_by = c.ordinal
  returning x.run_id, x.name
), called as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select s.run_id, min(s.ordinal), 'signal', now
  from returned x
  cross join moment
  cross join lateral (select s.run_id, s.ordinal, s.kind, s.name, s.state from heddle_step s where s.run_id = x.run_id offset 0) s
  where s.kind = 'signal' and s.name = x.name and s.state = 'waiting'
    and not exists (select 1 from lost l where l.run_id = s.run_id and l.ordinal = s.ordinal)
  group by s.run_id, s.name, now
  on conflict (run_id, ordinal, kind) do update set due_at = excluded.due_at
), runs as (
  update heddle_run r set open = r.open - c.ended
  from (select run_id, count(*)::int as ended from stopped group by run_id) c
  where r.id = c.run_id
)
select distinct run_id from unleased
