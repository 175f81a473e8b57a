-- Purpose: write the results of runs that are one model call and end with it: what settle comes to for them, in a statement a third of its size.
-- Caller: engine.settle (PostgresStore.settle), after lock_runs in the same transaction, for batches of nothing else. A run comes back for each that
--   was written; whatever is not as plain as it seemed (a lease that is gone, a run being stopped, a job that was asked after) is left as it was, and
--   settle writes it.
-- Rows: lease, attempt, ledger, step, slot, limit_delta, timer, event, run; inserts outbox. The law of each is told in settle.
-- Locks in order: run (held) -> step -> lease; limit_delta, event and ledger are insert-only; limit rows are never touched.
-- Indexes: keys only; laterals, ctids and updates as in settle: an ordinal that is written out would let the planner begin with the whole table. Nothing matches: nothing is written.
with moment as materialized (
  select clock_timestamp() as now
), d as materialized (
  select * from unnest(
    %(run_ids)s::uuid[], %(fences)s::bigint[], %(numbers)s::int[], %(outputs)s::jsonb[], %(costs)s::bigint[], %(tiers)s::int[],
    %(throttles)s::boolean[], %(latencies)s::float8[], %(tokens)s::bigint[], %(images)s::bigint[], %(told)s::jsonb[], %(billed)s::boolean[]
  ) as d (run_id, fence, number, output, stated_cost, tier, is_throttled, latency_s, tokens, images, told, is_billed)
), freed as materialized (
  select d.*, 1 as ordinal, l.tid, l.worker_id, l.endpoint_id, l.tenant_id, l.claimed_at, s.name, a.sent_at, a.known_cost,
    coalesce(d.stated_cost, a.known_cost, case when d.is_billed then a.price_nano_usd end) as cost
  from d
  cross join lateral (
    select l.ctid as tid, l.worker_id, l.endpoint_id, l.tenant_id, l.claimed_at
    from heddle_lease l where l.run_id = d.run_id and l.ordinal = 1 and l.fence = d.fence and l.number = d.number offset 0
  ) l
  cross join lateral (
    select s.name from heddle_step s where s.run_id = d.run_id and s.ordinal = 1 and s.state = 'due' offset 0
  ) s
  cross join lateral (
    select a.sent_at, a.price_nano_usd, a.cost_nano_usd as known_cost from heddle_attempt a
    where a.run_id = d.run_id and a.ordinal = 1 and a.number = d.number and a.state in ('reserved', 'sending') offset 0
  ) a
  cross join lateral (
    select 1 from heddle_run r
    where r.id = d.run_id and r.function_state = 'returned' and r.open = 1 and r.planned = 1 and r.failed = 0 and not r.is_broken
      and r.state in ('queued', 'running') and r.stopping is null and r.parent_run is null offset 0
  ) r
), unleased as (
  delete from heddle_lease l where l.ctid = any(array(select tid from freed))
), facts as (
  update heddle_attempt a set state = 'done', cost_nano_usd = f.cost, finished_at = now
  from freed f cross join moment
  where a.run_id = f.run_id and a.ordinal = f.ordinal and a.number = f.number
), closed as materialized (
  select f.run_id, f.number, f.tenant_id, f.endpoint_id, f.name as model, coalesce(f.cost, 0) as cost, g.amount_nano_usd as held, f.sent_at,
    f.stated_cost is null and f.is_billed and e.is_list_priced as is_estimated, coalesce(g.day, (now at time zone 'UTC')::date) as day,
    coalesce(g.workflow, 'model:' || f.name) as workflow
  from freed f
  cross join moment
  join heddle_endpoint e on e.id = f.endpoint_id
  left join lateral (
    select g.amount_nano_usd, g.day, g.workflow from heddle_ledger g
    where f.sent_at is not null and g.run_id = f.run_id and g.ordinal = 1 and g.number = f.number and g.kind = 'reserve' offset 0
  ) g on true
  where f.sent_at is not null or f.cost > 0
), unreserved as (
  insert into heddle_ledger (tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd, day, workflow, model)
  select tenant_id, run_id, 1, number, endpoint_id, 'release', held - cost, day, workflow, model from closed where held <> cost
  on conflict (run_id, ordinal, number, kind) do nothing
), booked as (
  insert into heddle_ledger (tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd, day, workflow, model, is_estimated)
  select tenant_id, run_id, 1, number, endpoint_id, 'charge', cost, day, workflow, model, is_estimated from closed
  on conflict (run_id, ordinal, number, kind) do nothing
  returning run_id, endpoint_id, amount_nano_usd, is_estimated
), done as (
  update heddle_step s set
    state = 'succeeded', output = f.output, fault = null, note = '', attempts = greatest(s.attempts, f.number),
    cost_nano_usd = s.cost_nano_usd + coalesce(b.amount_nano_usd, 0), started_at = f.claimed_at, worker_id = f.worker_id, finished_at = now
  from freed f
  left join booked b on b.run_id = f.run_id
  cross join moment
  where s.run_id = f.run_id and s.ordinal = f.ordinal
), slotted as materialized (
  select k.*, f.is_throttled, f.latency_s, f.told, f.tokens as tokens_true, f.images as images_true
  from freed f
  cross join lateral (
    select k.ctid as tid, k.endpoint_id, k.epochs, k.tokens, k.images from heddle_slot k where k.run_id = f.run_id and k.ordinal = 1 offset 0
  ) k
), unslotted as (
  delete from heddle_slot k where k.ctid = any(array(select tid from slotted))
), released as (
  insert into heddle_limit_delta (scope_id, epoch, released, ok, failed, throttled, finished, finished_s, tokens, tokens_used, tokens_calls, images)
  select p.scope_id, coalesce(u.epochs[p.place], l.breaker_epoch), count(*), count(*), 0, count(*) filter (where u.is_throttled),
    count(u.latency_s), coalesce(sum(u.latency_s), 0), coalesce(sum(u.tokens_true - u.tokens), 0), coalesce(sum(u.tokens_true), 0),
    count(u.tokens_true) filter (where u.tokens_true > 0), coalesce(sum(u.images_true - u.images), 0)
  from slotted u
  join heddle_endpoint e on e.id = u.endpoint_id
  cross join lateral unnest(e.scope_ids) with ordinality as p (scope_id, place)
  join heddle_limit_state l on l.id = p.scope_id
  group by p.scope_id, coalesce(u.epochs[p.place], l.breaker_epoch)
),
-- include: reported
), tidied as (
  delete from heddle_timer t where t.ctid = any(array(
    select t.tid from freed f cross join lateral (select t.ctid as tid from heddle_timer t where t.run_id = f.run_id offset 0) t))
), runs as (
  update heddle_run r set
    open = 0, state = 'succeeded', cost_nano_usd = r.cost_nano_usd + coalesce(b.amount_nano_usd, 0), is_degraded = r.is_degraded or f.tier > 0,
    event_seq = r.event_seq + 2, started_at = case when r.state = 'queued' then f.claimed_at else r.started_at end, finished_at = now
  from freed f
  left join booked b on b.run_id = f.run_id
  cross join moment
  where r.id = f.run_id
  returning r.id, r.tenant_id, r.event_seq, r.workflow, r.priority, r.created_at, r.finished_at, r.webhook_url, r.labels ? 'gateway' as is_awaited
), told as (
  insert into heddle_event (run_id, seq, name, at, detail)
  select id, event_seq, 'batch', now, '{"of": [[1, "step.succeeded", null], [null, "run.succeeded", null]]}' from runs cross join moment
), posted as (
  insert into heddle_outbox (run_id, seq, tenant_id, type, url, at, next_at)
  select id, event_seq, tenant_id, 'run.succeeded', webhook_url, finished_at, finished_at from runs where webhook_url is not null
)
select
  (select array_agg(id) from runs) as written,
  (select json_agg(json_build_array(workflow, 'succeeded', priority, extract(epoch from finished_at - created_at)::float8, id, is_awaited)) from runs)
    as ended,
  (select json_agg(json_build_array(endpoint_id, nano_usd, estimates)) from (
    select endpoint_id, sum(amount_nano_usd) as nano_usd, count(*) filter (where is_estimated) as estimates from booked group by endpoint_id
  ) c) as charged
