-- Purpose: write runs and their first ready entries (or the timer that starts them). Callers: doors' submit, engine.activate and
--   engine.schedule for child runs, which end with the run above them at the latest (its cleanup has a time of its own) and are held to its cap.
-- Rows: reads the run above, idempotency, tenant; inserts run, step, ready, timer, open_run.
-- A call that call_now has leased, in the same transaction, is not put in line.
-- A run that is one call (call_kind) has no function: its step stands in line at once, in the lane that the run has then too.
-- Locks: none that exist: joins any transaction. A run with a key is written only when idempotency_take, the statement before in the same
--   transaction, has taken the key for it. Runs of tenants with a bound on open runs are listed in open_run.
-- The run's first event, that it was queued, is its own row (event_seq 1); `event_views` shows it.
with n as materialized (
  select * from unnest(
    %(ids)s::uuid[], %(tenants)s::int[], %(workflows)s::text[], %(versions)s::int[], %(priorities)s::text[], %(lanes)s::bigint[],
    %(inputs)s::jsonb[], %(labels)s::jsonb[], %(webhooks)s::text[], %(max_costs)s::bigint[], %(deadlines_s)s::float8[],
    %(starts_in_s)s::float8[], %(parents)s::uuid[], %(parent_ordinals)s::int[], %(traceparents)s::text[], %(operations)s::text[],
    %(keys)s::text[], %(call_kinds)s::text[], %(call_names)s::text[], %(digests)s::text[], %(call_options)s::jsonb[]
  ) as n (id, tenant_id, workflow, version, priority, lane, input, labels, webhook_url, max_cost, deadline_s, start_in_s, parent_run,
    parent_ordinal, traceparent, operation, key, call_kind, call_name, digest, options)
  where n.key is null or (select true from heddle_idempotency i
    where i.tenant_id = n.tenant_id and i.operation = n.operation and i.key = n.key and i.run_id = n.id limit 1)
), moment as materialized (
  select clock_timestamp() as now
), timely as materialized (
  select n.*, least(now + make_interval(secs => n.deadline_s), p.deadline_at) as deadline_at, p.cap_run
  from n cross join moment
  left join lateral (
    select case when r.stopping is null then r.deadline_at end as deadline_at,
      coalesce(r.cap_run, case when r.max_cost_nano_usd is not null then r.id end) as cap_run
    from heddle_run r where n.parent_run is not null and r.id = n.parent_run offset 0
  ) p on true
), runs as (
  insert into heddle_run (id, tenant_id, workflow, version, priority, lane, input, labels, webhook_url, max_cost_nano_usd, created_at,
    deadline_at, parent_run, parent_ordinal, traceparent, event_seq, cap_run, function_state, is_activation_due, planned, open, shape, refs)
  select id, tenant_id, workflow, version, priority, lane, input, coalesce(labels, '{}'), webhook_url, max_cost, now,
    deadline_at, parent_run, parent_ordinal, traceparent, 1, cap_run, case when call_kind is null then 'running' else 'returned' end,
    call_kind is null, (call_kind is not null)::int, (call_kind is not null)::int,
    case when call_kind is not null then '{"$call": [1, []]}'::jsonb end, case when call_kind is null then '{}' else '{1}'::int[] end
  from timely cross join moment
), calls as (
  insert into heddle_step (run_id, ordinal, kind, name, version, lane, tenant_id, state, digest, input, options, created_at)
  select id, 1, call_kind, call_name, version, lane, tenant_id, 'due', digest, input, options, now
  from timely cross join moment where call_kind is not null
), timed as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select id, 0, 'deadline', deadline_at from timely where deadline_at is not null
  union all
  select id, 0, 'start', now + make_interval(secs => start_in_s) from n cross join moment where start_in_s > 0
), opened as (
  insert into heddle_open_run (tenant_id, run_id)
  select n.tenant_id, n.id from n join heddle_tenant t on t.id = n.tenant_id
  where t.open_runs_max is not null and n.parent_run is null
)
insert into heddle_ready (lane, tenant_id, run_id, ordinal)
select lane, tenant_id, id, (call_kind is not null)::int from n
where coalesce(start_in_s, 0) <= 0
  and (call_kind is null or (select true from heddle_lease l where l.run_id = n.id and l.ordinal = 1 limit 1) is null)
