-- Purpose: make the intent of paid calls durable before their sockets open and reserve their price in the ledger, unless a cap on their run's cost,
--   their workflow's day, or their tenant's day or month would be passed.
-- Caller: engine.execute, after lock_capped and lock_budgets in the same transaction; one synchronous commit for a batch.
-- Rows: attempt, ledger; budget_call and budget_day of accounts with a budget. A row comes back for each call that may be sent now (its lease
--   stands, it was not stopped while being leased, neither its send_by nor its run's deadline has passed), with null, or with the cap it would pass.
--   One that passes a cap only beside those before it in the batch (`is_beside`) is asked about again: of those some may be refused, too.
--   An account is a tenant, by its id, or a workflow, by minus its id: a child is its own workflow's.
--   A child is held to the cap of the nearest run above it that has one, with everything else under that run,
--   children of calls that were retried since included (set_child).
--   What a run or an account has spent or may yet be billed for is the price of its attempts that were sent, or their true cost where it is known;
--   calls of a budget that are over are moved from budget_call into the sum of their day, so that only those in flight are added up.
-- A call of a run older than a restore is left out until it was looked up once: it may have been sent in the history that was lost (doubt.sql).
-- Locks: run (held, capped ones) -> account (held) -> budget_day (today's held) -> attempt. Indexes: keys. Nothing matches: not to be sent.
with recursive moment as materialized (
  select t.now, (t.now at time zone 'UTC')::date as today, date_trunc('month', t.now at time zone 'UTC')::date as month
  from (select clock_timestamp() as now) t
), w as materialized (
  select w.*, a.price_nano_usd as price, c.id as root, c.max_cost_nano_usd as cap, r.tenant_id, r.workflow, a.endpoint_id,
    s.name as model, -f.id as workflow_account, f.budget_nano_usd_per_day as workflow_budget,
    t.budget_nano_usd_per_day as budget, t.budget_nano_usd_per_month as month_budget
  from unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(numbers)s::int[], %(fences)s::bigint[], %(digests)s::text[])
    as w (run_id, ordinal, number, fence, digest)
  cross join lateral (
    select a.price_nano_usd, a.endpoint_id, a.state, a.send_by from heddle_attempt a
    where a.run_id = w.run_id and a.ordinal = w.ordinal and a.number = w.number offset 0
  ) a
  cross join lateral (
    select r.id, r.cap_run, r.tenant_id, r.workflow, r.deadline_at, r.stopping from heddle_run r where r.id = w.run_id offset 0
  ) r
  cross join lateral (select c.id, c.max_cost_nano_usd from "heddle_run" c where c.id = coalesce(r.cap_run, r.id) offset 0) c
  join heddle_tenant t on t.id = r.tenant_id
  cross join lateral (select s.name, s.state from heddle_step s where s.run_id = w.run_id and s.ordinal = w.ordinal offset 0) s
  left join heddle_workflow f on f.name = r.workflow and f.budget_nano_usd_per_day is not null
  where a.state = 'reserved' and s.state = 'due' and a.send_by > clock_timestamp()
    and (r.deadline_at is null or r.deadline_at > clock_timestamp() or r.stopping is not null)
    and (select true from heddle_lease l where l.run_id = w.run_id and l.ordinal = w.ordinal and l.fence = w.fence limit 1)
    and not exists (select 1 from heddle_lineage g where w.run_id < g.restored_before and not exists (
      select 1 from heddle_attempt t where t.run_id = w.run_id and t.ordinal = w.ordinal and t.unknown_at >= g.restored_at))
), tree (root, id) as (
  select root, root from w where cap is not null
  union
  select t.root, x.id from tree t
  cross join lateral (
    select b.id from "heddle_step" s
    cross join lateral (
      select s.child_run as id
      union all
      select b.id::uuid from jsonb_array_elements_text(s.options -> 'before') as b (id)
    ) b
    where s.run_id = t.id and s.child_run is not null
    union all
    select r.continued_from from "heddle_run" r where r.id = t.id and r.continued_from is not null and t.id <> t.root
  ) x
), paid as materialized (
  select t.root, coalesce(sum(coalesce(a.cost_nano_usd, a.price_nano_usd)), 0) as amount
  from tree t join "heddle_attempt" a on a.run_id = t.id
  where a.state in ('sending', 'accepted', 'unknown', 'done', 'late') or a.cost_nano_usd > 0
  group by t.root
), spender as materialized (
  select tenant_id as account from w where budget is not null or month_budget is not null
  union
  select workflow_account from w where workflow_account is not null
), booked as materialized (
  select c.tenant_id, c.day, c.run_id, c.ordinal, c.number, a.state in ('sending', 'accepted', 'unknown') as is_open,
    case when a.state in ('sending', 'accepted', 'unknown') then coalesce(a.cost_nano_usd, a.price_nano_usd, 0)
      else coalesce(a.cost_nano_usd, 0) end as nano_usd
  from spender p
  join heddle_budget_call c on c.tenant_id = p.account
  cross join lateral (
    select a.state, a.cost_nano_usd, a.price_nano_usd from "heddle_attempt" a
    where a.run_id = c.run_id and a.ordinal = c.ordinal and a.number = c.number offset 0
  ) a
), over as (
  delete from heddle_budget_call c using booked b
  where not b.is_open and c.tenant_id = b.tenant_id and c.day = b.day and c.run_id = b.run_id and c.ordinal = b.ordinal and c.number = b.number
  returning c.tenant_id, c.day, b.nano_usd
), summed as (
  -- A day without a row: midnight came between lock_budgets and this statement when its call was sent.
  insert into heddle_budget_day as d (tenant_id, day, spent_nano_usd)
  select tenant_id, day, sum(nano_usd)::bigint from over group by tenant_id, day order by tenant_id, day
  on conflict (tenant_id, day) do update set spent_nano_usd = d.spent_nano_usd + excluded.spent_nano_usd
), spent as materialized (
  select p.account, sum(x.nano_usd) filter (where x.day = today) as nano_usd, sum(x.nano_usd) as month_nano_usd
  from spender p
  cross join moment
  cross join lateral (
    select d.day, d.spent_nano_usd as nano_usd from heddle_budget_day d where d.tenant_id = p.account and d.day >= month
    union all
    select b.day, b.nano_usd from booked b where b.tenant_id = p.account and b.day >= month
  ) x
  group by p.account
), alone as materialized (
  select w.*, s.nano_usd as spent_day, s.month_nano_usd as spent_month, f.nano_usd as spent_workflow,
    coalesce((select p.amount from paid p where p.root = w.root), 0) as spent_run
  from w
  left join spent s on s.account = w.tenant_id
  left join spent f on f.account = w.workflow_account
), fitting as materialized (
  select a.*, case
    when coalesce(a.price, 0) + a.spent_run > a.cap then 'max_cost_usd'
    when coalesce(a.price, 0) + coalesce(a.spent_workflow, 0) > a.workflow_budget then 'workflow_budget_usd_per_day'
    when coalesce(a.price, 0) + coalesce(a.spent_day, 0) > a.budget then 'budget_usd_per_day'
    when coalesce(a.price, 0) + coalesce(a.spent_month, 0) > a.month_budget then 'budget_usd_per_month' end as passed_alone
  from alone a
), judged as materialized (
  select j.*, coalesce(j.passed_alone, j.passed_beside) as passed
  from (
    select f.*, case
      when f.passed_alone is not null then null
      when sum(f.due) over (partition by f.root order by f.run_id, f.ordinal) + f.spent_run > f.cap then 'max_cost_usd'
      when sum(f.due) over (partition by f.workflow_account order by f.run_id, f.ordinal)
        + coalesce(f.spent_workflow, 0) > f.workflow_budget then 'workflow_budget_usd_per_day'
      when sum(f.due) over (partition by f.tenant_id order by f.run_id, f.ordinal)
        + coalesce(f.spent_day, 0) > f.budget then 'budget_usd_per_day'
      when sum(f.due) over (partition by f.tenant_id order by f.run_id, f.ordinal)
        + coalesce(f.spent_month, 0) > f.month_budget then 'budget_usd_per_month' end as passed_beside
    from (select f.*, case when f.passed_alone is null then coalesce(f.price, 0) else 0 end as due from fitting f) f
  ) j
), sent as (
  update heddle_attempt a set state = 'sending', sent_at = now, request_digest = j.digest
  from judged j cross join moment
  where j.passed is null and a.run_id = j.run_id and a.ordinal = j.ordinal and a.number = j.number
    -- Asked again under the row's lock: a reclaim that came in between has given the call up, and somebody else may send it.
    and a.state = 'reserved'
  returning a.run_id, a.ordinal
), reserved as (
  insert into heddle_ledger (at, tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd, day, workflow, model)
  select now, j.tenant_id, j.run_id, j.ordinal, j.number, j.endpoint_id, 'reserve', coalesce(j.price, 0), today, j.workflow, j.model
  from sent s join judged j on j.run_id = s.run_id and j.ordinal = s.ordinal
  cross join moment
  on conflict (run_id, ordinal, number, kind) do nothing
), accounted as (
  insert into heddle_budget_call (tenant_id, day, run_id, ordinal, number)
  select p.account, today, j.run_id, j.ordinal, j.number
  from judged j
  join spender p on p.account in (j.tenant_id, j.workflow_account)
  cross join moment
  where j.passed is null
  on conflict do nothing
)
select run_id, ordinal, null::text as passed, false as is_beside from sent
union all
select run_id, ordinal, passed, passed_beside is not null from judged where passed is not null
