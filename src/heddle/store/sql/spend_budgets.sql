-- Purpose: show caps and what is left of them: a tenant's day and month, and each workflow's day. Caller: doors' budgets.
-- Rows: reads tenant, workflow, budget_day, budget_call, attempt. Indexes: keys. Locks: none.
-- Calls that are not over are reserved at their price; those that are over and not summed up yet count at their cost, as mark_sending does.
-- Nothing matches: there is no such tenant.
with moment as materialized (
  select (clock_timestamp() at time zone 'UTC')::date as today, date_trunc('month', clock_timestamp() at time zone 'UTC')::date as month
), account as (
  select t.id as account, '' as workflow, t.budget_nano_usd_per_day as per_day, t.budget_nano_usd_per_month as per_month
  from heddle_tenant t where t.id = %(tenant_id)s
  union all
  select -f.id, f.name, f.budget_nano_usd_per_day, null from heddle_workflow f
  where %(has_workflows)s and f.budget_nano_usd_per_day is not null
)
select a.workflow, a.per_day, a.per_month,
  coalesce(sum(x.nano_usd) filter (where x.day = today and not x.is_open), 0)::bigint as spent_today,
  coalesce(sum(x.nano_usd) filter (where x.day = today and x.is_open), 0)::bigint as reserved_today,
  coalesce(sum(x.nano_usd) filter (where not x.is_open), 0)::bigint as spent_month,
  coalesce(sum(x.nano_usd) filter (where x.is_open), 0)::bigint as reserved_month
from account a
cross join moment
left join lateral (
  select d.day, d.spent_nano_usd as nano_usd, false as is_open from heddle_budget_day d where d.tenant_id = a.account and d.day >= month
  union all
  select c.day, case when t.state in ('sending', 'accepted', 'unknown') then coalesce(t.cost_nano_usd, t.price_nano_usd, 0)
      else coalesce(t.cost_nano_usd, 0) end,
    t.state in ('sending', 'accepted', 'unknown')
  from heddle_budget_call c
  cross join lateral (
    select t.state, t.cost_nano_usd, t.price_nano_usd from heddle_attempt t
    where t.run_id = c.run_id and t.ordinal = c.ordinal and t.number = c.number offset 0
  ) t
  where c.tenant_id = a.account and c.day >= month
) x on true
group by a.workflow, a.per_day, a.per_month
order by a.workflow
