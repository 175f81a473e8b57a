-- Purpose: read a tenant by name. Caller: doors' tenant. Rows: reads tenant. Index: its name. Locks: none.
select id, name, weight, runs_per_min, open_runs_max, budget_nano_usd_per_day, budget_nano_usd_per_month from heddle_tenant where name = %(name)s
