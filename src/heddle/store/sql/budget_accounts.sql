-- Purpose: name the accounts that have a budget: tenants by their ids, workflows by minus theirs. Caller: store.apply, before it writes budgets.
-- Rows: reads tenant, workflow. Locks: none. Nothing matches: an empty array.
select coalesce(array_agg(account), '{}')
from (
  select id as account from heddle_tenant where budget_nano_usd_per_day is not null or budget_nano_usd_per_month is not null
  union all
  select -id from heddle_workflow where budget_nano_usd_per_day is not null
) x
