-- Purpose: take due timers and do what needs no decision: make retries due, put polls and reconciles in line, start runs whose time has come.
--   The others come back for engine.schedule to settle in the same transaction; of two calls that wait for signals of one name, each with a
--   signal of its own.
-- Of a call that begins, the run it has become before is told too: its own run was retried.
-- Caller: engine.schedule, after lock_runs. Rows: deletes timer, updates step, inserts ready, deletes slot.
-- Locks in order: run (held) -> step -> ready. Indexes: keys. Nothing matches: another worker took them first.
with moment as materialized (
  select clock_timestamp() as now
), w as materialized (
  select * from unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(kinds)s::text[]) as w (run_id, ordinal, kind)
), busy as materialized (
  select w.run_id, w.ordinal, w.kind
  from w
  where w.kind in ('poll', 'reconcile') and (select true from heddle_lease l where l.run_id = w.run_id and l.ordinal = w.ordinal limit 1)
), gone as (
  delete from heddle_timer t where t.ctid = any(array(
    select t.tid
    from w
    cross join moment
    cross join lateral (
      select t.ctid as tid, t.due_at from heddle_timer t where t.run_id = w.run_id and t.ordinal = w.ordinal and t.kind = w.kind offset 0
    ) t
    where t.due_at <= now and not exists (select 1 from busy b where b.run_id = w.run_id and b.ordinal = w.ordinal)))
  returning t.run_id, t.ordinal, t.kind, t.due_at
), later as (
  update heddle_timer t set due_at = (select now from moment) + interval '500 milliseconds'
  where t.ctid = any(array(
    select t.tid from busy b
    cross join lateral (
      select t.ctid as tid from heddle_timer t where t.run_id = b.run_id and t.ordinal = b.ordinal and t.kind = b.kind offset 0
    ) t))
), waiting as materialized (
  select g.run_id, g.ordinal
  from gone g
  cross join lateral (select s.state from heddle_step s where s.run_id = g.run_id and s.ordinal = g.ordinal offset 0) s
  where g.kind = 'retry' and s.state = 'waiting'
), due as (
  update heddle_step s set state = 'due'
  from waiting w
  where s.run_id = w.run_id and s.ordinal = w.ordinal
  returning s.run_id, s.ordinal, s.lane, s.tenant_id
), readied as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select lane, tenant_id, run_id, ordinal from due
  union all
  select e.poll_lane, s.tenant_id, s.run_id, s.ordinal
  from gone g
  cross join lateral (
    select s.run_id, s.ordinal, s.tenant_id, s.state, s.attempts from heddle_step s where s.run_id = g.run_id and s.ordinal = g.ordinal offset 0
  ) s
  cross join lateral (
    select a.endpoint_id from heddle_attempt a where a.run_id = s.run_id and a.ordinal = s.ordinal and a.number = s.attempts offset 0
  ) a
  join heddle_endpoint e on e.id = a.endpoint_id
  where g.kind in ('poll', 'reconcile') and (s.state in ('pending', 'unknown') or g.kind = 'reconcile' and s.state = 'cancelled')
  union all
  select r.lane, r.tenant_id, r.id, (strpos(r.workflow, ':') > 0)::int
  from gone g
  cross join lateral (select r.id, r.lane, r.tenant_id, r.workflow, r.state from heddle_run r where r.id = g.run_id offset 0) r
  where g.kind = 'start' and r.state in ('queued', 'running')
  returning run_id
), unslotted as (
  delete from heddle_slot k where k.ctid = any(array(
    select k.tid from due d
    cross join lateral (select k.ctid as tid from heddle_slot k where k.run_id = d.run_id and k.ordinal = d.ordinal offset 0) k))
  returning k.endpoint_id, k.epochs
), released as (
  insert into heddle_limit_delta (scope_id, released, ok, failed, silent, epoch)
  select l.id, count(*), 0, 0, count(*), coalesce(u.epochs[p.place], l.breaker_epoch)
  from unslotted u join heddle_endpoint e on e.id = u.endpoint_id
  cross join lateral unnest(e.scope_ids) with ordinality as p (scope_id, place) join heddle_limit_state l on l.id = p.scope_id
  group by l.id, coalesce(u.epochs[p.place], l.breaker_epoch)
)
select g.run_id, g.ordinal, g.kind, s.kind as step_kind, s.name, s.version, s.input, s.options, s.state, s.tenant_id, s.lane,
  (select json_object_agg(p.ordinal, p.output) from heddle_step p
   where s.parents is not null and p.run_id = s.run_id and p.ordinal = any(s.parents)) as outputs,
  r.stopping is not null as is_stopping, r.workflow, r.priority, r.traceparent, r.deadline_at,
  c.id as child_run, c.state as child_state, c.stopping is not null as child_is_stopping, c.shape as child_shape, c.error as child_error,
  z.child_bytes,
  (select json_object_agg(o.ordinal, o.output) from heddle_step o
   where g.kind = 'child' and c.id is not null and z.child_bytes <= %(result_bytes_max)s and o.run_id = c.id and o.ordinal = any(c.refs)) as child_outputs,
  (select json_build_array(x.seq, x.payload) from heddle_signal x
   where s.kind = 'signal' and x.run_id = g.run_id and x.name = s.name and x.consumed_by is null order by x.seq
   offset (select count(*) from gone o
     cross join lateral (select w.kind, w.name, w.state from heddle_step w where w.run_id = o.run_id and w.ordinal = o.ordinal offset 0) w
     where o.run_id = g.run_id and o.ordinal < g.ordinal and w.kind = 'signal' and w.name = s.name and w.state = 'waiting')
   limit 1) as signal,
  extract(epoch from s.created_at - now)::float8 + (s.options ->> 'delay_s')::float8 as timeout_in_s,
  extract(epoch from now - g.due_at)::float8 as late_s, (select count(*) from readied)::int as readied
from gone g
cross join moment
cross join lateral (
  select r.stopping, r.workflow, r.priority, r.traceparent, r.deadline_at from heddle_run r where r.id = g.run_id offset 0
) r
left join lateral (select s.* from heddle_step s where s.run_id = g.run_id and s.ordinal = g.ordinal offset 0) s on true
left join lateral (
  select c.id, c.state, c.stopping, c.shape, c.error, c.refs from heddle_run c where g.kind in ('child', 'begin') and c.id = s.child_run offset 0
) c on true
cross join lateral (
  select coalesce(sum(octet_length(o.output::text)), 0) as child_bytes from heddle_step o
  where g.kind = 'child' and c.state = 'succeeded' and o.run_id = c.id and o.ordinal = any(c.refs)
) z
order by g.run_id, g.ordinal, g.kind
