-- Purpose: upsert what a workflow may spend in a day. Caller: store.apply. Rows: workflow. Index: its name. Locks: that row.
insert into heddle_workflow (name, budget_nano_usd_per_day) values (%(name)s, %(budget)s)
on conflict (name) do update set budget_nano_usd_per_day = excluded.budget_nano_usd_per_day
