-- Purpose: let the accounts of budgets that are new know what was spent this month and what is in flight: calls are entered only where there is a
--   budget. Caller: store.apply, after it wrote budgets, with the accounts that had one before (budget_accounts).
-- Rows: writes budget_day and budget_call of those accounts; reads spend_day, the entries of the ledger that are not counted there yet, slot, attempt
--   and run. What an earlier budget left in them is replaced, but for calls that are not over.
-- A call that a worker sends while this commits may be left out.
-- Indexes: spend_day's key, ledger's uncounted, keys; for a workflow the sums by day are read whole, once. Locks: those rows. Nothing matches: no budget is new.
with moment as materialized (
  select date_trunc('month', clock_timestamp() at time zone 'UTC')::date as month
), account as materialized (
  select t.id as account, t.id as tenant_id, null::text as workflow from heddle_tenant t
  where (t.budget_nano_usd_per_day is not null or t.budget_nano_usd_per_month is not null) and not t.id = any(%(before)s::int[])
  union all
  select -f.id, null, f.name from heddle_workflow f where f.budget_nano_usd_per_day is not null and not -f.id = any(%(before)s::int[])
), part as (
  select a.account, d.day, d.charged_nano_usd + d.adjusted_nano_usd - d.refunded_nano_usd as nano_usd
  from account a cross join moment join heddle_spend_day d on d.tenant_id = a.tenant_id and d.day >= month
  union all
  select a.account, d.day, d.charged_nano_usd + d.adjusted_nano_usd - d.refunded_nano_usd
  from account a cross join moment join heddle_spend_day d on d.workflow = a.workflow and d.day >= month
  union all
  select a.account, g.day, case g.kind when 'refund' then -g.amount_nano_usd else g.amount_nano_usd end
  from account a
  cross join moment
  join heddle_ledger g on (g.tenant_id = a.tenant_id or g.workflow = a.workflow) and not g.is_counted
  where g.kind in ('charge', 'refund', 'adjustment') and g.day >= month
), abroad as materialized (
  select a.account, (t.sent_at at time zone 'UTC')::date as day, t.run_id, t.ordinal, t.number
  from heddle_slot k
  cross join moment
  cross join lateral (
    select t.run_id, t.ordinal, t.number, t.state, t.sent_at from heddle_attempt t
    where t.run_id = k.run_id and t.ordinal = k.ordinal order by t.number desc limit 1
  ) t
  cross join lateral (select r.tenant_id, r.workflow from heddle_run r where r.id = t.run_id offset 0) r
  join account a on a.tenant_id = r.tenant_id or a.workflow = r.workflow
  where t.state in ('sending', 'accepted', 'unknown') and (t.sent_at at time zone 'UTC')::date >= month
), over as (
  delete from heddle_budget_call c using account a
  where c.tenant_id = a.account and not exists (
    select 1 from heddle_attempt t
    where t.run_id = c.run_id and t.ordinal = c.ordinal and t.number = c.number and t.state in ('sending', 'accepted', 'unknown'))
), held as (
  insert into heddle_budget_call (tenant_id, day, run_id, ordinal, number)
  select account, day, run_id, ordinal, number from abroad order by account, day, run_id, ordinal
  on conflict do nothing
)
insert into heddle_budget_day (tenant_id, day, spent_nano_usd)
select account, day, greatest(0, sum(nano_usd))::bigint from part group by account, day order by account, day
on conflict (tenant_id, day) do update set spent_nano_usd = excluded.spent_nano_usd
