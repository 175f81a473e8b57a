-- Purpose: upsert a tenant's share, quotas, budgets and regions. Caller: store.apply. Rows: tenant. Locks: that row.
insert into heddle_tenant (name, weight, runs_per_min, open_runs_max, budget_nano_usd_per_day, budget_nano_usd_per_month, regions)
values (%(name)s, %(weight)s, %(runs_per_min)s, %(open_runs_max)s, %(budget)s, %(month_budget)s, %(regions)s::text[])
on conflict (name) do update set weight = excluded.weight, runs_per_min = excluded.runs_per_min, open_runs_max = excluded.open_runs_max,
  budget_nano_usd_per_day = excluded.budget_nano_usd_per_day, budget_nano_usd_per_month = excluded.budget_nano_usd_per_month,
  regions = excluded.regions
