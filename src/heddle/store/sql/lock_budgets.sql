-- Purpose: lock the day's account of each tenant with a budget whose paid calls are about to be sent, so that two workers cannot both spend the
--   last of it. Caller: engine.execute, after lock_capped and before mark_sending in the same transaction.
-- Rows: upserts budget_day by tenant. Index: key. Locks: run (held, capped ones) -> budget_day by tenant. Nothing matches: no tenant of the batch
--   has a budget, and nothing is locked.
insert into heddle_budget_day (tenant_id, day)
select t.id, (clock_timestamp() at time zone 'UTC')::date
from heddle_tenant t
where t.budget_nano_usd_per_day is not null
  and t.id in (select r.tenant_id from unnest(%(runs)s::uuid[]) as w (run_id) join heddle_run r on r.id = w.run_id)
order by t.id
on conflict (tenant_id, day) do update set spent_nano_usd = heddle_budget_day.spent_nano_usd
