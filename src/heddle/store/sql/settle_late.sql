-- Purpose: write what is heard late of paid attempts that were closed without it: made again by an operator's word or under `at_least_once`, or
--   said to have failed. Each is booked at what it cost, once, and called `late`; a call that was not sent again yet is not made a second time.
-- A result of such a call ends it: its step is leased to who sent it, under a new fence, for settle in the same transaction. A job of which only
--   is known that there is one (`accepted`: its own answer, or a callback) is asked after, under its attempt, which is booked when it has ended;
--   where the call was sent again meanwhile nobody asks, and it is booked as reserved, as an estimate.
-- Of an attempt whose end was known when it was closed only a result is news: its fault is not `sent_unknown`. Releases before this one called what
--   an operator had made again `abandoned`.
-- Caller: store.late, after lock_runs, lock_budgets and late_lock in the same transaction. Rows: attempt, step, lease, ready, timer, slot, limit_delta,
--   ledger, run; budget_day where the call was summed up already.
-- The reservation was closed with the attempt, so what it cost more or less than was charged is its adjustment, beside a charge of what was left
--   of the reservation: nothing. One that was corrected by hand keeps the sum that somebody has settled on.
-- What would be sent again is seen under its row's lock: an intent that is just being committed is waited for.
-- Locks in order: run (held) -> account (held) -> advisory (held) -> attempt -> step -> ready -> lease -> budget_day. Indexes: keys; the queue of a call
--   that is called off is read through.
-- Nothing matches: such an attempt is open or booked, was never sent, or its end was known; nothing is written.
with moment as materialized (
  select clock_timestamp() as now
), d as materialized (
  select * from unnest(
    %(run_ids)s::uuid[], %(ordinals)s::int[], %(numbers)s::int[], %(attempt_states)s::text[], %(outputs)s::jsonb[], %(handles)s::text[],
    %(costs)s::bigint[], %(billed)s::boolean[]
  ) as d (run_id, ordinal, number, attempt_state, output, handle, cost, is_billed)
), heard as materialized (
  select d.run_id, d.ordinal, d.number, d.attempt_state, d.output, d.is_billed, d.cost, coalesce(d.handle, a.handle) as job, a.endpoint_id, a.worker_id,
    a.started_at, a.price_nano_usd as price, a.cost_nano_usd as known, s.state as step_state, s.lane, s.tenant_id, s.name as model, s.attempts
  from d
  cross join lateral (
    select a.endpoint_id, a.worker_id, a.handle, a.started_at, a.price_nano_usd, a.cost_nano_usd,
      a.state = 'abandoned' or coalesce(a.fault ->> 'fault' = 'sent_unknown', false) as is_given_up
    from heddle_attempt a
    where a.run_id = d.run_id and a.ordinal = d.ordinal and a.number = d.number and a.sent_at is not null and a.state in ('rejected', 'abandoned')
    offset 0
  ) a
  cross join lateral (
    select s.state, s.lane, s.tenant_id, s.name, s.attempts from heddle_step s where s.run_id = d.run_id and s.ordinal = d.ordinal offset 0
  ) s
  where d.attempt_state = 'done' or a.is_given_up
), again as materialized (
  select a.*
  from (select h.run_id, h.ordinal, min(h.number) as number from heard h group by h.run_id, h.ordinal order by h.run_id, h.ordinal) h
  cross join lateral (
    select a.run_id, a.ordinal, a.number, a.state from heddle_attempt a
    where a.run_id = h.run_id and a.ordinal = h.ordinal and a.number > h.number
    order by a.number
    for no key update
  ) a
), saved as materialized (
  select v.*, case when v.is_result then nextval('heddle_fence_seq') end as fence
  from (
    select distinct on (h.run_id, h.ordinal) h.*, h.attempt_state = 'done' as is_result
    from heard h
    where h.step_state in ('due', 'waiting')
      and not exists (select 1 from again n where n.run_id = h.run_id and n.ordinal = h.ordinal and n.state in ('sending', 'accepted', 'unknown', 'done'))
      and (h.attempt_state = 'done' or h.attempt_state = 'accepted' and h.job is not null and h.number = h.attempts
        and not exists (select 1 from again n where n.run_id = h.run_id and n.ordinal = h.ordinal))
    order by h.run_id, h.ordinal, h.attempt_state = 'done' desc, h.number desc
  ) v
), ended as materialized (
  select h.*, h.attempt_state = 'accepted' and h.known is null
      and coalesce((select e.is_list_priced from heddle_endpoint e where e.id = h.endpoint_id), false) as is_estimated,
    coalesce(case when h.attempt_state = 'accepted' then coalesce(h.known, h.price)
      else coalesce(h.cost, h.known, case when h.is_billed then h.price end) end, 0) as amount
  from heard h
  where h.attempt_state <> 'accepted' or not exists (
    select 1 from saved v where v.run_id = h.run_id and v.ordinal = h.ordinal and v.number = h.number)
), priced as materialized (
  select t.*, coalesce(g.day, (now at time zone 'UTC')::date) as day, g.charged, coalesce(g.charged, g.held - coalesce(g.released, 0), 0) as base,
    coalesce(g.workflow, (select r.workflow from heddle_run r where r.id = t.run_id)) as workflow, coalesce(g.is_corrected, false) as is_corrected
  from ended t
  cross join moment
  cross join lateral (
    select max(g.day) as day, max(g.workflow) as workflow, bool_or(g.kind in ('refund', 'adjustment')) as is_corrected,
      max(g.amount_nano_usd) filter (where g.kind = 'charge') as charged, max(g.amount_nano_usd) filter (where g.kind = 'reserve') as held,
      max(g.amount_nano_usd) filter (where g.kind = 'release') as released
    from heddle_ledger g where g.run_id = t.run_id and g.ordinal = t.ordinal and g.number = t.number
  ) g
), booked as (
  insert into heddle_ledger (tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd, day, workflow, model, is_estimated)
  select tenant_id, run_id, ordinal, number, endpoint_id, 'charge', base, day, workflow, model, is_estimated from priced where charged is null
  on conflict (run_id, ordinal, number, kind) do nothing
), adjusted as (
  insert into heddle_ledger (tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd, day, workflow, model)
  select tenant_id, run_id, ordinal, number, endpoint_id, 'adjustment', amount - base, day, workflow, model
  from priced where not is_corrected and amount <> base
  on conflict (run_id, ordinal, number, kind) do nothing
), change as materialized (
  select run_id, ordinal, number, endpoint_id, tenant_id, day, workflow, is_estimated, amount - coalesce(charged, 0) as nano_usd from priced where not is_corrected
), attempts as (
  update heddle_attempt a set
    state = case when t.run_id is null then a.state else 'late' end,
    handle = coalesce(h.job, a.handle),
    result = case when v.run_id is null then h.output end,
    cost_nano_usd = case when t.is_corrected then a.cost_nano_usd else coalesce(t.amount, a.cost_nano_usd) end,
    accepted_at = case when h.attempt_state = 'accepted' then coalesce(a.accepted_at, now) else a.accepted_at end
  from heard h
  left join priced t on t.run_id = h.run_id and t.ordinal = h.ordinal and t.number = h.number
  left join saved v on v.run_id = h.run_id and v.ordinal = h.ordinal and v.number = h.number
  cross join moment
  where a.run_id = h.run_id and a.ordinal = h.ordinal and a.number = h.number
), called_off as (
  update heddle_attempt a set state = 'abandoned', finished_at = now
  from saved v
  join again n on n.run_id = v.run_id and n.ordinal = v.ordinal and n.state = 'reserved'
  cross join moment
  where a.run_id = n.run_id and a.ordinal = n.ordinal and a.number = n.number
), steps as (
  update heddle_step s set
    cost_nano_usd = greatest(0, s.cost_nano_usd + x.nano_usd),
    state = case when x.is_asked then 'unknown' else s.state end
  from (
    select h.run_id, h.ordinal, coalesce(sum(c.nano_usd), 0)::bigint as nano_usd, coalesce(bool_or(not v.is_result), false) as is_asked
    from heard h
    left join change c on c.run_id = h.run_id and c.ordinal = h.ordinal and c.number = h.number
    left join saved v on v.run_id = h.run_id and v.ordinal = h.ordinal and v.number = h.number
    group by h.run_id, h.ordinal
  ) x
  where s.run_id = x.run_id and s.ordinal = x.ordinal
), unready as (
  delete from heddle_ready y where y.ctid = any(array(
    select y.tid from saved v
    cross join lateral (
      select y.ctid as tid, y.run_id, y.ordinal from heddle_ready y where y.lane = v.lane and y.tenant_id = v.tenant_id offset 0
    ) y
    where v.step_state = 'due' and y.run_id = v.run_id and y.ordinal = v.ordinal))
), unleased as (
  delete from heddle_lease l where l.ctid = any(array(
    select l.tid from saved v
    cross join lateral (select l.ctid as tid from heddle_lease l where l.run_id = v.run_id and l.ordinal = v.ordinal offset 0) l
    where not v.is_result))
), leased as (
  insert into heddle_lease as l (run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, endpoint_id, purpose, claimed_at)
  select run_id, ordinal, coalesce(worker_id, 0), fence, gen_random_uuid(), number, lane, tenant_id, endpoint_id, 'poll', started_at
  from saved where is_result
  on conflict (run_id, ordinal) do update set worker_id = excluded.worker_id, fence = excluded.fence, claim_id = excluded.claim_id,
    number = excluded.number, endpoint_id = excluded.endpoint_id, purpose = excluded.purpose, claimed_at = excluded.claimed_at
), untimed as (
  delete from heddle_timer t where t.ctid = any(array(
    select t.tid from saved v
    cross join lateral (select t.ctid as tid, t.kind from heddle_timer t where t.run_id = v.run_id and t.ordinal = v.ordinal offset 0) t
    where t.kind in ('retry', 'poll') or v.is_result and t.kind = 'reconcile'))
), asked as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select run_id, ordinal, 'reconcile', now from saved cross join moment where not is_result
  on conflict (run_id, ordinal, kind) do update set due_at = excluded.due_at
  returning 1
), unslotted as (
  delete from heddle_slot k where k.ctid = any(array(
    select k.tid from saved v
    cross join lateral (select k.ctid as tid from heddle_slot k where k.run_id = v.run_id and k.ordinal = v.ordinal offset 0) k))
  returning k.endpoint_id, k.epochs
), released as (
  insert into heddle_limit_delta (scope_id, released, ok, failed, silent, epoch)
  select l.id, count(*), 0, 0, count(*), coalesce(u.epochs[p.place], l.breaker_epoch)
  from unslotted u
  join heddle_endpoint e on e.id = u.endpoint_id
  cross join lateral unnest(e.scope_ids) with ordinality as p (scope_id, place)
  join heddle_limit_state l on l.id = p.scope_id
  group by l.id, coalesce(u.epochs[p.place], l.breaker_epoch)
), runs as (
  update heddle_run r set cost_nano_usd = greatest(0, r.cost_nano_usd + x.nano_usd)
  from (select run_id, sum(nano_usd)::bigint as nano_usd from change group by run_id) x
  where r.id = x.run_id and x.nano_usd <> 0
), days as (
  update heddle_budget_day b set spent_nano_usd = greatest(0, b.spent_nano_usd + x.nano_usd)
  from (
    select p.account, c.day, sum(c.nano_usd)::bigint as nano_usd
    from change c
    cross join lateral (
      select c.tenant_id as account union all select -f.id from heddle_workflow f where f.name = c.workflow
    ) p
    where not exists (
      select 1 from heddle_budget_call k
      where k.tenant_id = p.account and k.day = c.day and k.run_id = c.run_id and k.ordinal = c.ordinal and k.number = c.number)
    group by p.account, c.day
  ) x
  where b.tenant_id = x.account and b.day = x.day
)
select
  (select json_agg(json_build_array(run_id, ordinal, number, fence)) from saved where is_result) as saved,
  (select json_object_agg(endpoint_id, n) from (select endpoint_id, count(*) as n from ended group by endpoint_id) l) as late,
  (select count(*) from asked)::int as timed,
  (select json_agg(json_build_array(endpoint_id, nano_usd, estimates)) from (
    select endpoint_id, sum(nano_usd) as nano_usd, count(*) filter (where is_estimated) as estimates
    from change where nano_usd > 0 and endpoint_id is not null group by endpoint_id
  ) c) as charged
