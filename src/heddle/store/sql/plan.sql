-- Purpose: write what a batch of activations decided: new calls with their edges, ready entries and timers, and where each function stands.
-- Caller: engine.activate, after plan_facts in the same transaction; every decision was made in core.plan.
-- Rows: step (inserts; children of existing parents), ready, timer, lease (the activation's), event, outbox (inserts), run.
-- Calls: one row each; what is called stands once in kinds … tenants and is named by its place, the run by its place in run_ids. A column that is
--   usual throughout is empty: `unnest` fills it with nulls.
-- A call marked direct is leased to the planning worker at once, where nothing is ready in its lane: nobody is overtaken, and fairness is among
--   those who wait. It spares the ready row, the second claim and the way of its input through the database.
-- Locks in order: run (held) -> step -> ready -> lease. Indexes: keys. `edges` updates parents that existed before; `steps` inserts the rest.
with moment as materialized (
  select clock_timestamp() as now
), p as materialized (
  select * from unnest(
    %(run_ids)s::uuid[], %(fences)s::bigint[], %(functions)s::text[], %(shapes)s::jsonb[], %(refs)s::text[], %(awaits)s::text[],
    %(lefts)s::int[], %(failures_lefts)s::int[], %(handled)s::text[], %(awaited)s::text[], %(patches)s::text[], %(planned)s::int[],
    %(opens)s::int[], %(wakes)s::boolean[], %(overs)s::boolean[], %(broken)s::boolean[]
  ) as p (run_id, fence, function_state, shape, refs, awaits, await_left, await_failures_left, handled, awaited, patches, planned, open,
    is_woken, is_over, is_broken)
), open_lane as materialized (
  select array_agg(l.lane) as lanes from (select distinct lane from unnest(%(lanes)s::bigint[]) as l (lane)) l
  where %(worker)s::bigint is not null and (select true from heddle_ready y where y.lane = l.lane limit 1) is null
    and not exists (select 1 from heddle_tenant t where t.id = any(%(tenants)s::int[]) and t.paused_at is not null)
), c as materialized (
  select x.k, (%(run_ids)s::uuid[])[x.run] as run_id, x.ordinal, (%(kinds)s::text[])[x.callee] as kind, (%(names)s::text[])[x.callee] as name,
    (%(versions)s::int[])[x.callee] as version, (%(lanes)s::bigint[])[x.callee] as lane, (%(tenants)s::int[])[x.callee] as tenant_id,
    coalesce(x.state, 'due') as state, x.digest, x.input, x.options, x.output, x.fault, coalesce(x.blockers, 0) as blockers, x.parents,
    x.children, x.child_run,
    case when x.is_direct and (%(lanes)s::bigint[])[x.callee] = any(o.lanes) then nextval('heddle_fence_seq') end as fence
  from unnest(
    %(call_runs)s::int[], %(ordinals)s::int[], %(callees)s::int[], %(states)s::text[], %(digests)s::text[], %(inputs)s::jsonb[],
    %(options)s::jsonb[], %(outputs)s::jsonb[], %(faults)s::jsonb[], %(blockers)s::int[], %(parents)s::text[], %(children)s::text[],
    %(child_runs)s::uuid[], %(directs)s::boolean[]
  ) with ordinality as x (run, ordinal, callee, state, digest, input, options, output, fault, blockers, parents, children, child_run,
    is_direct, k)
  cross join open_lane o
), leased as (
  insert into heddle_lease (run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, purpose, claimed_at)
  select run_id, ordinal, %(worker)s, fence, %(claim_id)s, 1, lane, tenant_id, 'execute', now
  from c cross join moment where fence is not null
), steps as (
  insert into heddle_step (run_id, ordinal, kind, name, version, lane, tenant_id, state, digest, input, options, output, fault, blockers,
    parents, children, child_run, created_at, finished_at)
  select run_id, ordinal, kind, name, version, lane, tenant_id, state, digest, input, options, output, fault, blockers,
    parents::int[], children::int[], child_run, now, case when state in ('succeeded', 'skipped', 'cancelled') then now end
  from c cross join moment
), edges as (
  update heddle_step s set children = coalesce(s.children, '{}') || e.children
  from (
    select run_id, ordinal, array_agg(child order by child) as children
    from unnest(%(edge_runs)s::uuid[], %(edge_parents)s::int[], %(edge_children)s::int[]) as e (run_id, ordinal, child)
    group by run_id, ordinal
  ) e
  where s.run_id = e.run_id and s.ordinal = e.ordinal
), readied as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select lane, tenant_id, run_id, ordinal from c where state = 'due' and fence is null order by run_id, ordinal
), timed as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select t.run_id, t.ordinal, t.kind, now + make_interval(secs => t.delay_s)
  from unnest(%(timer_runs)s::uuid[], %(timer_ordinals)s::int[], %(timer_kinds)s::text[], %(timer_delays)s::float8[]) as t (run_id, ordinal, kind, delay_s)
  cross join moment
  on conflict (run_id, ordinal, kind) do nothing
), unleased as (
  delete from heddle_lease l where l.ctid = any(array(
    select l.tid from p
    cross join lateral (
      select l.ctid as tid from heddle_lease l where l.run_id = p.run_id and l.ordinal = 0 and l.fence = p.fence offset 0
    ) l))
), standing as materialized (
  select p.*, q.failed as failed_before, case when q.failed = 0 or p.handled = '{}' then q.failed else (
      select count(*)::int from heddle_step s where s.run_id = q.id and s.state = 'failed'
        and not coalesce((s.options ->> 'detach')::boolean, false) and not s.ordinal = any(q.handled || p.handled::int[])) end as failed
  from p cross join lateral (select q.id, q.failed, q.handled from heddle_run q where q.id = p.run_id offset 0) q
), runs as (
  update heddle_run r set
    state = case when not t.is_over then 'running'
      when r.stopping in ('cancelled', 'expired') then r.stopping
      when t.failed = 0 and not t.is_broken then 'succeeded' else 'failed' end,
    function_state = t.function_state,
    shape = coalesce(t.shape, r.shape),
    refs = coalesce(t.refs::int[], r.refs),
    awaits = t.awaits::int[],
    await_left = t.await_left,
    await_failures_left = t.await_failures_left,
    handled = case when t.handled = '{}' then r.handled else array(select distinct unnest(r.handled || t.handled::int[]) order by 1) end,
    awaited = case when t.awaited = '{}' then r.awaited else array(select distinct unnest(r.awaited || t.awaited::int[]) order by 1) end,
    patches = case when t.patches = '{}' then r.patches else array(select distinct unnest(r.patches || t.patches::text[]) order by 1) end,
    planned = greatest(r.planned, t.planned),
    open = r.open + t.open,
    failed = t.failed,
    error = case when t.failed > 0 or r.stopping is not null then r.error when t.is_broken then coalesce(r.error, jsonb_build_object('fault', 'rejected_permanent',
      'message', 'the returned value refers to a call that did not succeed', 'where', r.workflow)) end,
    is_broken = t.is_broken,
    is_activation_due = t.is_woken,
    event_seq = r.event_seq + case when r.started_at is null then 1 else 0 end + case when t.is_over then 1 else 0 end,
    started_at = coalesce(r.started_at, now),
    finished_at = case when t.is_over then now end
  from standing t cross join moment
  where r.id = t.run_id
  returning r.id, r.state, r.event_seq, r.started_at = now as is_started, t.is_over, t.is_woken, r.lane, r.tenant_id, r.parent_run,
    r.parent_ordinal, r.workflow, r.priority, r.created_at, r.finished_at, r.webhook_url
), told as (
  insert into heddle_event (run_id, seq, name, ordinal, at)
  select id, event_seq - case when is_over then 1 else 0 end, 'run.started', null::int, now from runs cross join moment where is_started
  union all
  select id, event_seq, 'run.' || state, null::int, now from runs cross join moment where is_over
),
-- include: ends
)
select (select count(*) from c where state = 'due' and fence is null)::int + (select count(*) from runs where is_woken)::int as readied,
  (select count(*) from unnest(%(timer_runs)s::uuid[]))::int as timed,
  (select json_agg(json_build_array(workflow, state, priority, extract(epoch from finished_at - created_at)::float8)) from runs where is_over) as ended,
  (select array_agg(fence order by k) from c) as fences
