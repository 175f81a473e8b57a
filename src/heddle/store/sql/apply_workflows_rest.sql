-- Purpose: lift the budgets of workflows that the file no longer names; their accounts stay. Caller: store.apply. Rows: workflow. Locks: those rows.
-- Nothing matches: all are named.
update heddle_workflow set budget_nano_usd_per_day = null where budget_nano_usd_per_day is not null and not name = any(%(names)s::text[])
