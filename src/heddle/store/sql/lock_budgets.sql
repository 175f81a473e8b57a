-- Purpose: lock the day's account of each tenant and workflow with a budget whose paid calls are about to be sent, so that two workers cannot both
--   spend the last of it. Caller: engine.execute, after lock_capped and before mark_sending in the same transaction.
-- Rows: upserts budget_day by account (a workflow's is minus its id). A month's budget is locked by its day, since calls are sent on one day only.
-- Indexes: keys. Locks: run (held, capped ones) -> budget_day by account. Nothing matches: nobody of the batch has a budget, and nothing is locked.
insert into heddle_budget_day (tenant_id, day)
select x.account, (clock_timestamp() at time zone 'UTC')::date
from (
  select t.id as account
  from heddle_tenant t
  where (t.budget_nano_usd_per_day is not null or t.budget_nano_usd_per_month is not null)
    and t.id in (select r.tenant_id from unnest(%(runs)s::uuid[]) as w (run_id) join heddle_run r on r.id = w.run_id)
  union
  select -f.id
  from heddle_workflow f
  where f.budget_nano_usd_per_day is not null
    and f.name in (select r.workflow from unnest(%(runs)s::uuid[]) as w (run_id) join heddle_run r on r.id = w.run_id)
) x
order by x.account
on conflict (tenant_id, day) do update set spent_nano_usd = heddle_budget_day.spent_nano_usd
