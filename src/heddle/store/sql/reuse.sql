-- Purpose: find equal calls of leased ones, before any limit is asked: the result of one that has ended, or one that is under way. A call that is
--   the first of its kind is noted as such and put in line for its model.
-- Caller: engine.reuse, after lock_runs in the same transaction.
-- A look without a key is for no other: its call goes on.
-- Rows: result; of those that go on: step (its lane; its options say no more whose result it took), lease, ready; of those that take a result: step (its options say whose).
-- A result's time begins when its call has ended: while it is under way a call is waited for, however long that takes. One whose outcome nobody
--   will learn (buried: unknown, its slot let go) is under way no more: whoever looks next goes on.
-- A noted call that has failed, or was stopped, or is too old, or gone with its week, is replaced. One of a lower class that is not under way is
--   told of (`lower`), so that nobody waits behind those it stands before: reuse_yield sends it back, and the look is made again.
-- One whose artifacts are gone, as its looker tells (`lost`), is replaced by whoever is told so; a result that another made meanwhile is found.
-- A result that came late, when its step had moved on, is a result. What goes on takes the lane of the class that its run has by now.
-- Locks in order: run (held) -> step -> ready -> lease; result rows by key, by one insert. Two that are first at once: the row is written by one, the
--   other sees it at its next look. Indexes: keys. Nothing matches: the lease is gone, and no row comes back for it.
with moment as materialized (
  select clock_timestamp() as now
), held as materialized (
  select w.run_id, w.ordinal, w.fence, w.scope, w.key, w.hours, w.lost_run_id, w.lost_ordinal, l.tid, s.tenant_id, r.priority,
    case r.priority when 'interactive' then w.interactive when 'standard' then w.standard else w.batch end as lane
  from unnest(%(run_ids)s::uuid[], %(ordinals)s::int[], %(fences)s::bigint[], %(scopes)s::int[], %(keys)s::text[], %(hours)s::float8[],
    %(interactive)s::bigint[], %(standard)s::bigint[], %(batch)s::bigint[], %(lost_run_ids)s::uuid[], %(lost_ordinals)s::int[])
    as w (run_id, ordinal, fence, scope, key, hours, interactive, standard, batch, lost_run_id, lost_ordinal)
  cross join lateral (
    select l.ctid as tid from heddle_lease l where l.run_id = w.run_id and l.ordinal = w.ordinal and l.fence = w.fence offset 0
  ) l
  cross join lateral (
    select s.tenant_id from heddle_step s where s.run_id = w.run_id and s.ordinal = w.ordinal and s.state = 'due' offset 0
  ) s
  cross join lateral (select r.priority from heddle_run r where r.id = w.run_id offset 0) r
), seen as materialized (
  select h.*, o.run_id as by_run, o.ordinal as by_ordinal, s.state as by_state, s.tenant_id as by_tenant,
    coalesce(s.output, late.result) as output, late.result is not null as is_late, k.is_under_way,
    coalesce(case when s.state = 'succeeded' then s.finished_at else late.finished_at end, now) + make_interval(secs => h.hours * 3600) as fresh_until,
    array_position(array['interactive', 'standard', 'batch'], b.priority) > array_position(array['interactive', 'standard', 'batch'], h.priority)
      as is_lower
  from held h
  cross join moment
  left join heddle_result o on o.tenant_id = h.scope and o.key = h.key
  left join lateral (
    select s.state, s.output, s.tenant_id, s.finished_at from heddle_step s where s.run_id = o.run_id and s.ordinal = o.ordinal offset 0
  ) s on true
  left join lateral (select b.priority from heddle_run b where b.id = o.run_id offset 0) b on true
  left join lateral (
    select true as is_under_way from heddle_slot k where k.run_id = o.run_id and k.ordinal = o.ordinal offset 0
  ) k on true
  left join lateral (
    select a.result, a.finished_at from heddle_attempt a
    where s.state <> 'succeeded' and a.run_id = o.run_id and a.ordinal = o.ordinal and a.state in ('late', 'done') and a.result is not null
    order by a.number limit 1
  ) late on true
), judged as materialized (
  select s.*, case
      when s.by_state is null or (s.by_run, s.by_ordinal) = (s.run_id, s.ordinal) then 'first'
      when s.by_state = 'succeeded' or s.is_late then
        case when s.fresh_until > now and (s.by_run, s.by_ordinal) is distinct from (s.lost_run_id, s.lost_ordinal) then 'found' else 'first' end
      when s.by_state in ('failed', 'cancelled', 'skipped') or s.by_state = 'unknown' and s.is_under_way is null then 'first'
      when s.is_lower and s.is_under_way is null then 'lower'
      else 'under_way' end as outcome
  from seen s cross join moment
), noted as (
  insert into heddle_result as o (tenant_id, key, run_id, ordinal, until, hours)
  select scope, key, run_id, ordinal, now + make_interval(secs => hours * 3600), hours
  from (select j.*, row_number() over (partition by scope, key order by run_id, ordinal) as place from judged j where outcome = 'first') j
  cross join moment
  where place = 1 and key is not null
  order by scope, key
  on conflict (tenant_id, key) do update set run_id = excluded.run_id, ordinal = excluded.ordinal, until = excluded.until,
    hours = excluded.hours
  where exists (
    select 1 from judged j where j.outcome = 'first' and j.scope = o.tenant_id and j.key = o.key and (j.by_run, j.by_ordinal) = (o.run_id, o.ordinal))
  returning o.run_id, o.ordinal
), going as materialized (
  select j.run_id, j.ordinal, j.tid, j.lane from judged j join noted n using (run_id, ordinal)
  union all
  select run_id, ordinal, tid, lane from judged where key is null
), passed as (
  update heddle_step s set lane = j.lane, options = s.options - 'reused'
  from going j
  where s.run_id = j.run_id and s.ordinal = j.ordinal
  returning s.run_id, s.ordinal, s.lane, s.tenant_id
), taken as (
  update heddle_step s set options = coalesce(s.options, '{}') || jsonb_build_object('reused', jsonb_build_array(j.by_run, j.by_ordinal))
  from judged j
  where j.outcome = 'found' and s.run_id = j.run_id and s.ordinal = j.ordinal
), unleased as (
  delete from heddle_lease l where l.ctid = any(array(select tid from going))
), readied as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal) select lane, tenant_id, run_id, ordinal from passed order by run_id, ordinal
)
select j.run_id, j.ordinal, case when j.outcome <> 'first' then j.outcome when g.run_id is not null then 'first' else 'under_way' end as outcome,
  case when j.outcome = 'found' then j.output end as output, j.by_run, j.by_ordinal, j.by_tenant
from judged j left join going g using (run_id, ordinal)
order by j.run_id, j.ordinal
