-- Purpose: write the results of local steps and what follows from them: what settle comes to for a batch of nothing else, in a statement of half its size,
--   since starting and ending a plan is most of what a small batch costs.
-- Caller: engine.settle (PostgresStore.settle), after lock_runs in the same transaction. A result of a try after the first is settle's: it leaves an attempt.
-- Rows: lease, step, ready, timer, event, run; inserts outbox. The law of each is told in settle. A step that was stopped meanwhile stays as it was.
-- Locks in order: run (held) -> step -> ready -> lease; event is insert-only. Indexes: keys only; laterals, ctids and updates as in settle.
-- Nothing matches: a lease that is gone moves no step.
with moment as materialized (
  select clock_timestamp() as now
), d as materialized (
  select * from unnest(%(run_ids)s::uuid[], %(ordinals)s::int[], %(fences)s::bigint[], %(numbers)s::int[], %(outputs)s::jsonb[])
    as d (run_id, ordinal, fence, number, output)
), freed as materialized (
  select d.*, l.tid, l.worker_id, l.claimed_at, s.state not in ('due', 'pending', 'waiting', 'unknown') as is_over
  from d
  cross join lateral (
    select l.ctid as tid, l.worker_id, l.claimed_at
    from heddle_lease l where l.run_id = d.run_id and l.ordinal = d.ordinal and l.fence = d.fence offset 0
  ) l
  cross join lateral (
    select s.state from heddle_step s where s.run_id = d.run_id and s.ordinal = d.ordinal offset 0
  ) s
), unleased as (
  delete from heddle_lease l where l.ctid = any(array(select tid from freed))
), done as (
  update heddle_step s set
    state = 'succeeded', output = f.output, fault = null, note = '', attempts = greatest(s.attempts, f.number), started_at = f.claimed_at,
    worker_id = f.worker_id, finished_at = now
  from freed f
  cross join moment
  where not f.is_over and s.run_id = f.run_id and s.ordinal = f.ordinal
  returning s.run_id, s.ordinal, s.children, s.started_at
), kid as materialized (
  select n.run_id, c.ordinal, count(*)::int as ok, false as is_bad, null::int as cause
  from done n
  cross join lateral unnest(n.children) as c (ordinal)
  group by n.run_id, c.ordinal
),
-- include: successors
), tally as materialized (
  select run_id, count(*)::int as told, count(*)::int as ended, 0::bigint as cost, false as is_fallback, min(started_at) as began_at,
    array_agg(ordinal) as ordinals, array_agg('step.succeeded'::text) as events, null::jsonb[] as details,
    array_agg(ordinal) as end_ordinals, array_agg(true) as end_goods, null::boolean[] as end_failures, null::jsonb[] as end_errors
  from (select * from done order by run_id, ordinal) n
  group by run_id
),
-- include: runs
)
select
  (select count(*) from done)::int as settled,
  (select count(*) from d)::int - (select count(*) from done)::int as fenced,
  null::json as late,
  (select count(*) from placed where direct_fence is null)::int + (select count(*) from runs where is_woken)::int as readied,
  (select count(*) from moved where state = 'waiting')::int + (select count(*) from runs where is_over and parent_run is not null)::int as timed,
  (select json_agg(json_build_array(workflow, state, priority, extract(epoch from finished_at - created_at)::float8, id, is_awaited))
    from runs where is_over) as ended,
  (select leased from handed) as leased,
  null::json as charged
