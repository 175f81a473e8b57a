-- Purpose: write what became of a batch of leased steps: facts of the attempts, then the steps whose fence matches, their successors, the
--   wake-up of their activations, limits given back, events (one row for all that a batch tells of a run; `store.reading` takes it apart), and the
--   end of runs with nothing left open. A local step that succeeds at once leaves no attempt row: its step row says who ran it, from when to when.
-- Caller: engine.settle, after lock_runs in the same transaction.
-- Rows: attempt (facts, never fenced), lease, step, ready, timer, slot, limit_delta, ledger, event, run; inserts outbox (what a customer is told).
-- A claim waits for nothing, so it may lease a step while the run is being stopped: such a step stays as it was stopped, its slot is let go,
--   and a job that the provider took for it is asked to stop (`asked`).
-- What a worker that lost its lease says of a job that somebody else is asking after closes nothing, unless it is the result: the job
--   would be left out of the books when it is found.
-- Locks in order: run (held) -> step -> ready -> lease; limit_delta, event and ledger are insert-only; limit rows are never touched.
-- What it says of a call of unknown outcome ends the wait for it: the step is looked after at once (`salvaged`).
-- A job that is found after its call was given up takes a slot again, above the limit if it must: it is there (`retaken`). Its scopes are told so
--   by a report that gives back less than nothing.
-- A call that was stopped while it was being sent keeps its slot; the answer that comes all the same lets go of it here (`is_end`).
-- What a callback made due while a job was being sent or asked after goes with the lease, when the job is over (`unasked`).
-- A local step that became due goes to the settling worker at once, as in plan.sql: where nothing is ready in its lane and a place is offered.
-- An attempt that ends closes its reservation: what it cost is charged, and what was reserved besides is released (less than nothing where it cost
--   more). A job that was taken and that nobody will ask after is charged at its reservation, as an estimate.
-- No two parts of this statement touch the same row: `done` moves leased steps, `moved` moves blocked ones, `noted` counts on the others.
-- Indexes: keys only. Leases and slots go by their ctid and rows are reached through `lateral … offset 0`, since the plan is made once, often
--   on empty queues; what belongs to one run is gathered in arrays, since a join of two of these sets would be a nested loop. An update filters its target by key
--   alone: a filter on its state lets the planner expect one row there, begin with that row, and read the whole index.
-- Nothing matches: a lease that is gone moves no step; its facts are still written, as `late` when they are a result.
with recursive moment as materialized (
  select clock_timestamp() as now
), d as materialized (
  select * from unnest(
    %(run_ids)s::uuid[], %(ordinals)s::int[], %(fences)s::bigint[], %(numbers)s::int[], %(verdicts)s::text[], %(outputs)s::jsonb[],
    %(faults)s::jsonb[], %(delays)s::float8[], %(handles)s::text[], %(notes)s::text[], %(costs)s::bigint[], %(attempt_states)s::text[],
    %(locals)s::boolean[], %(breakers)s::int[], %(tiers)s::int[], %(throttles)s::boolean[], %(latencies)s::float8[], %(tokens)s::bigint[],
    %(images)s::bigint[], %(freezes)s::float8[], %(told)s::jsonb[], %(billed)s::boolean[]
  ) as d (run_id, ordinal, fence, number, verdict, output, fault, delay_s, handle, note, cost, attempt_state, is_local, breaker, tier,
    is_throttled, latency_s, tokens, images, frozen_s, told, is_billed)
), seen as materialized (
  select d.*, l.tid, l.worker_id, l.endpoint_id, l.claimed_at, s.state as step_state, s.tenant_id, s.name as model,
    s.state not in ('due', 'pending', 'waiting', 'unknown') as is_over
  from d
  cross join lateral (
    select s.state, s.tenant_id, s.name from heddle_step s where s.run_id = d.run_id and s.ordinal = d.ordinal offset 0
  ) s
  left join lateral (
    select l.ctid as tid, l.worker_id, l.endpoint_id, l.claimed_at
    from heddle_lease l where l.run_id = d.run_id and l.ordinal = d.ordinal and l.fence = d.fence offset 0
  ) l on true
), freed as materialized (
  select * from seen where tid is not null
), unleased as (
  delete from heddle_lease l where l.ctid = any(array(select tid from freed))
), tries as (
  insert into heddle_attempt (run_id, ordinal, number, worker_id, fence, state, fault, started_at, finished_at)
  select f.run_id, f.ordinal, f.number, f.worker_id, f.fence, f.attempt_state, f.fault, f.claimed_at, now
  from freed f cross join moment
  where f.is_local and f.attempt_state is not null and not (f.verdict = 'complete' and f.number = 1)
  on conflict do nothing
), facts as (
  update heddle_attempt a set
    state = case when d.tid is null and d.attempt_state in ('rejected', 'unknown') and a.state in ('accepted', 'unknown')
        and d.step_state in ('pending', 'unknown') then a.state
      when d.step_state = 'unknown' then d.attempt_state
      when d.attempt_state = 'accepted' and (d.step_state = 'cancelled' or a.state = 'accepted') then 'accepted'
      when d.attempt_state in ('done', 'accepted') and (d.tid is null or d.is_over) then 'late' else d.attempt_state end,
    handle = coalesce(d.handle, a.handle),
    fault = coalesce(d.fault, a.fault),
    result = case when d.tid is null or d.is_over then d.output end,
    cost_nano_usd = coalesce(d.cost, a.cost_nano_usd, case when d.is_billed or d.attempt_state = 'accepted' and a.sent_at is not null
      and d.step_state not in ('unknown', 'cancelled') and a.state <> 'accepted' and (d.tid is null or d.is_over) then a.price_nano_usd end),
    accepted_at = case when d.attempt_state = 'accepted' then coalesce(a.accepted_at, now) else a.accepted_at end,
    unknown_at = case when d.attempt_state = 'unknown' then coalesce(a.unknown_at, now) else a.unknown_at end,
    finished_at = case when d.attempt_state in ('done', 'late', 'abandoned')
      or d.attempt_state = 'rejected' and (d.tid is not null or d.step_state not in ('pending', 'unknown') or a.state not in ('accepted', 'unknown'))
      then now end
  from seen d
  cross join moment
  where not d.is_local and a.run_id = d.run_id and a.ordinal = d.ordinal and a.number = d.number
    and a.state not in ('done', 'rejected', 'late', 'abandoned')
  returning a.run_id, a.ordinal, a.number, a.endpoint_id, a.state, a.cost_nano_usd, a.sent_at, d.tenant_id, d.model, d.step_state,
    d.attempt_state = 'accepted' as is_guess, d.cost is null and coalesce(d.is_billed, false) as is_as_reserved,
    d.handle is not null or d.tid is not null and d.is_over as is_news, d.tid is not null as is_leased, d.tid is not null and not d.is_over as is_moved,
    d.tid is null and d.step_state = 'cancelled' and a.state in ('done', 'rejected', 'late') as is_end
), closed as materialized (
  select t.*, coalesce(t.cost_nano_usd, 0) as cost, t.is_guess or t.is_as_reserved
      and coalesce((select e.is_list_priced from heddle_endpoint e where e.id = t.endpoint_id), false) as is_estimated, g.amount_nano_usd as held, coalesce(g.day, (now at time zone 'UTC')::date) as day,
    coalesce(g.workflow, (select r.workflow from heddle_run r where r.id = t.run_id)) as workflow
  from facts t
  cross join moment
  left join lateral (
    select g.amount_nano_usd, g.day, g.workflow from heddle_ledger g
    where t.sent_at is not null and g.run_id = t.run_id and g.ordinal = t.ordinal and g.number = t.number and g.kind = 'reserve' offset 0
  ) g on true
  where t.state in ('done', 'rejected', 'late', 'abandoned') and (t.sent_at is not null or t.cost_nano_usd > 0)
), unreserved as (
  insert into heddle_ledger (tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd, day, workflow, model)
  select tenant_id, run_id, ordinal, number, endpoint_id, 'release', held - cost, day, workflow, model from closed where held <> cost
  on conflict (run_id, ordinal, number, kind) do nothing
), booked as (
  insert into heddle_ledger (tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd, day, workflow, model, is_estimated)
  select tenant_id, run_id, ordinal, number, endpoint_id, 'charge', cost, day, workflow, model, is_estimated from closed
  where cost > 0 or sent_at is not null and state in ('done', 'late')
  on conflict (run_id, ordinal, number, kind) do nothing
  returning run_id, ordinal, number, endpoint_id, amount_nano_usd, is_estimated
), charge as materialized (
  select jsonb_object_agg(run_id || '.' || ordinal || '.' || number, amount_nano_usd) as of_attempt from booked
), done as (
  update heddle_step s set
    state = case f.verdict when 'complete' then 'succeeded' when 'fail' then 'failed' when 'retry' then 'waiting' when 'poll' then 'pending'
      when 'release' then 'due' else 'unknown' end,
    output = case when f.verdict = 'complete' then f.output end,
    fault = case when f.verdict in ('complete', 'release') then null when f.verdict = 'poll' or f.verdict = 'retry' and f.attempt_state is null
      then s.fault else f.fault end,
    note = case when f.verdict = 'complete' then '' else coalesce(f.note, '') end,
    attempts = greatest(s.attempts, f.number - case when f.verdict = 'release' and f.is_local then 1 else 0 end),
    attempts_before = s.attempts_before + case when f.verdict = 'release' and not f.is_local then 1 else 0 end,
    cost_nano_usd = s.cost_nano_usd + coalesce((c.of_attempt ->> (f.run_id || '.' || f.ordinal || '.' || f.number))::bigint, 0),
    started_at = f.claimed_at,
    worker_id = f.worker_id,
    finished_at = case when f.verdict in ('complete', 'fail') then now end
  from freed f
  cross join charge c
  cross join moment
  where not f.is_over and s.run_id = f.run_id and s.ordinal = f.ordinal
  returning s.run_id, s.ordinal, s.state, s.children, s.lane, s.tenant_id, s.name, s.fault, coalesce((s.options ->> 'detach')::boolean, false) as is_detached,
    f.verdict, f.delay_s, f.endpoint_id, f.tier, s.started_at
), noted as (
  update heddle_step s set
    attempts = greatest(s.attempts, n.number),
    cost_nano_usd = s.cost_nano_usd + n.cost
  from (
    select t.run_id, t.ordinal, max(t.number) as number,
      coalesce(sum((c.of_attempt ->> (t.run_id || '.' || t.ordinal || '.' || t.number))::bigint), 0)::bigint as cost
    from facts t
    cross join charge c
    where not t.is_moved
    group by t.run_id, t.ordinal
  ) n
  where s.run_id = n.run_id and s.ordinal = n.ordinal and s.state <> 'blocked'
), asked as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select e.poll_lane, t.tenant_id, t.run_id, t.ordinal
  from facts t join heddle_endpoint e on e.id = t.endpoint_id
  where t.step_state = 'cancelled' and t.state = 'accepted' and t.is_news
), timed as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select run_id, ordinal,
    verdict,
    now + make_interval(secs => delay_s)
  from done cross join moment
  where verdict in ('retry', 'poll', 'reconcile')
  on conflict (run_id, ordinal, kind) do update set due_at = least(heddle_timer.due_at, excluded.due_at)
), salvaged as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select distinct t.run_id, t.ordinal, 'reconcile', now
  from facts t cross join moment
  where t.step_state = 'unknown' and t.state in ('done', 'accepted') and not t.is_leased
  on conflict (run_id, ordinal, kind) do update set due_at = excluded.due_at
  returning 1
), again as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select lane, tenant_id, run_id, ordinal from done where state = 'due'
), slotted as materialized (
  select k.*, f.breaker, f.is_throttled, f.latency_s, f.frozen_s, f.told, f.tokens as tokens_true, f.images as images_true,
    f.verdict in ('complete', 'fail', 'retry', 'release', 'bury') or f.is_over and f.verdict = 'reconcile' as is_final
  from freed f
  cross join lateral (
    select k.ctid as tid, k.endpoint_id, k.epochs, k.tokens, k.images from heddle_slot k
    where k.run_id = f.run_id and k.ordinal = f.ordinal offset 0
  ) k
  where not f.is_local
  union all
  select k.tid, k.endpoint_id, k.epochs, k.tokens, k.images, 0, false, null, null, null, null, null, true
  from facts t
  cross join lateral (
    select k.ctid as tid, k.endpoint_id, k.epochs, k.tokens, k.images from heddle_slot k
    where k.run_id = t.run_id and k.ordinal = t.ordinal offset 0
  ) k
  where t.is_end
), unwatched as (
  delete from heddle_timer t where t.ctid = any(array(
    select t.tid from facts f
    cross join lateral (
      select t.ctid as tid from heddle_timer t where t.run_id = f.run_id and t.ordinal = f.ordinal and t.kind = 'reconcile' offset 0
    ) t
    where f.is_end))
), unasked as (
  delete from heddle_timer t where t.ctid = any(array(
    select t.tid from freed f
    cross join lateral (
      select t.ctid as tid from heddle_timer t
      where t.run_id = f.run_id and t.ordinal = f.ordinal and t.kind in ('poll', 'reconcile') offset 0
    ) t
    where not f.is_local and f.verdict not in ('poll', 'reconcile')))
), retaken as (
  insert into heddle_slot (run_id, ordinal, endpoint_id, taken_at)
  select f.run_id, f.ordinal, f.endpoint_id, now from freed f cross join moment
  where f.verdict = 'poll' and not f.is_over and (select true from heddle_slot k where k.run_id = f.run_id and k.ordinal = f.ordinal limit 1) is null
  returning endpoint_id
), recounted as (
  insert into heddle_limit_delta (scope_id, epoch, released, ok, failed)
  select l.id, l.breaker_epoch, -count(*), 0, 0
  from retaken u join heddle_endpoint e on e.id = u.endpoint_id join heddle_limit_state l on l.id = any(e.scope_ids)
  group by l.id, l.breaker_epoch
), unslotted as (
  delete from heddle_slot k where k.ctid = any(array(select tid from slotted where is_final))
), released as (
  insert into heddle_limit_delta (scope_id, epoch, released, ok, failed, silent, throttled, finished, finished_s, tokens, tokens_used,
    tokens_calls, images, frozen_until)
  select p.scope_id, coalesce(u.epochs[p.place], l.breaker_epoch), count(*) filter (where u.is_final), count(*) filter (where u.breaker > 0),
    count(*) filter (where u.breaker < 0), count(*) filter (where u.is_final and u.breaker = 0), count(*) filter (where u.is_throttled),
    count(u.latency_s), coalesce(sum(u.latency_s), 0), coalesce(sum(u.tokens_true - u.tokens) filter (where u.is_final), 0),
    coalesce(sum(u.tokens_true) filter (where u.is_final), 0), count(u.tokens_true) filter (where u.is_final and u.tokens_true > 0),
    coalesce(sum(u.images_true - u.images) filter (where u.is_final), 0), max(clock_timestamp() + make_interval(secs => u.frozen_s))
  from slotted u
  join heddle_endpoint e on e.id = u.endpoint_id
  cross join lateral unnest(e.scope_ids) with ordinality as p (scope_id, place)
  join heddle_limit_state l on l.id = p.scope_id
  where u.is_final or u.breaker <> 0 or u.frozen_s is not null
  group by p.scope_id, coalesce(u.epochs[p.place], l.breaker_epoch)
),
-- include: reported
), hit as materialized (
  select n.run_id, c.ordinal, count(*) filter (where n.state = 'succeeded')::int as ok, bool_or(n.state = 'failed') as is_bad, min(n.ordinal) as cause
  from done n
  cross join lateral unnest(n.children) as c (ordinal)
  where n.state in ('succeeded', 'failed')
  group by n.run_id, c.ordinal
), doomed (run_id, ordinal, cause) as (
  select run_id, ordinal, cause from hit where is_bad
  union
  select d.run_id, c.ordinal, d.cause
  from doomed d
  cross join lateral (select s.children from heddle_step s where s.run_id = d.run_id and s.ordinal = d.ordinal offset 0) s
  cross join lateral unnest(s.children) as c (ordinal)
), kid as materialized (
  select run_id, ordinal, sum(ok)::int as ok, bool_or(is_bad) as is_bad, min(cause) as cause
  from (select run_id, ordinal, ok, is_bad, cause from hit union all select run_id, ordinal, 0, true, cause from doomed) k
  group by run_id, ordinal
),
-- include: successors
), news as (
  select run_id, ordinal, case state when 'succeeded' then 'step.succeeded' else 'step.failed' end as event, null::jsonb as detail,
    true as is_end, state = 'succeeded' as is_good, state = 'failed' and not is_detached as is_failure,
    case when state = 'failed' then fault || jsonb_build_object('step', ordinal, 'name', name) end as error, 0::bigint as cost,
    state = 'succeeded' and tier > 0 as is_fallback, started_at
  from done where state in ('succeeded', 'failed')
  union all
  select run_id, ordinal, 'step.skipped', null, true, false, false, null, 0, false, null from moved where state = 'skipped'
  union all
  select run_id, ordinal, case verdict when 'retry' then 'step.retried' when 'poll' then 'step.pending' when 'release' then 'step.released'
    else 'step.unknown' end, jsonb_build_object('delay_s', delay_s, 'fault', fault), false, false, false, null, 0, false, started_at
  from done where state not in ('succeeded', 'failed')
  union all
  select run_id, ordinal, null, null, false, false, false, null, amount_nano_usd, false, null from booked
), tally as materialized (
  select run_id, count(event)::int as told, count(*) filter (where is_end)::int as ended, sum(cost)::bigint as cost, bool_or(is_fallback) as is_fallback,
    min(started_at) as began_at, array_agg(ordinal) filter (where event is not null) as ordinals, array_agg(event) filter (where event is not null) as events,
    array_agg(detail) filter (where event is not null) as details, array_agg(ordinal) filter (where is_end) as end_ordinals,
    array_agg(is_good) filter (where is_end) as end_goods, array_agg(is_failure) filter (where is_end) as end_failures,
    array_agg(error) filter (where is_end) as end_errors
  from (select * from news order by run_id, ordinal) n
  group by run_id
),
-- include: runs
)
select
  (select count(*) from done)::int as settled,
  (select count(*) from d)::int - (select count(*) from done)::int as fenced,
  (select json_object_agg(endpoint_id, n) from (
    select endpoint_id, count(*) as n from facts where state = 'late' group by endpoint_id) l) as late,
  (select count(*) from placed where direct_fence is null)::int + (select count(*) from runs where is_woken)::int
    + (select count(*) from done where state = 'due')::int as readied,
  (select count(*) from done where verdict in ('retry', 'poll', 'reconcile'))::int + (select count(*) from moved where state = 'waiting')::int
    + (select count(*) from runs where is_over and parent_run is not null)::int + (select count(*) from salvaged)::int as timed,
  (select json_agg(json_build_array(workflow, state, priority, extract(epoch from finished_at - created_at)::float8, id, is_awaited))
    from runs where is_over) as ended,
  (select leased from handed) as leased,
  (select json_agg(json_build_array(endpoint_id, nano_usd, estimates)) from (
    select endpoint_id, sum(amount_nano_usd) as nano_usd, count(*) filter (where is_estimated) as estimates from booked group by endpoint_id
  ) c) as charged
