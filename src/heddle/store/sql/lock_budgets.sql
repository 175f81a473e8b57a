-- Purpose: lock the account of each tenant and workflow with a budget whose paid calls are about to be sent, so that two workers cannot both
--   spend the last of it, and give it a row for today. Callers: engine.execute, after lock_capped and before mark_sending in the same transaction;
--   doors' correction, after lock_runs.
-- An account (a workflow's is minus its id) is locked as such, and not by its day alone: around midnight two workers are in two days of one month.
-- Rows: upserts budget_day by account; the row is locked, too, for workers of a release that knows no other lock.
-- Indexes: keys. Locks: run (held, capped ones) -> advisory, by account in order -> budget_day by account.
-- Nothing matches: nobody of the batch has a budget, and nothing is locked.
with spender as materialized (
  select distinct r.tenant_id, r.workflow
  from unnest(%(runs)s::uuid[]) as w (run_id)
  cross join lateral (select r.tenant_id, r.workflow from heddle_run r where r.id = w.run_id offset 0) r
), account as materialized (
  select t.id as account
  from heddle_tenant t
  where (t.budget_nano_usd_per_day is not null or t.budget_nano_usd_per_month is not null)
    and t.id in (select tenant_id from spender)
  union
  select -f.id
  from heddle_workflow f
  where f.budget_nano_usd_per_day is not null
    and f.name in (select workflow from spender)
), held as materialized (
  select a.account, pg_advisory_xact_lock(hashint8extended(a.account, 1602)) as lock from (select account from account order by account) a
)
insert into heddle_budget_day (tenant_id, day)
select account, (clock_timestamp() at time zone 'UTC')::date from held
order by account
on conflict (tenant_id, day) do update set spent_nano_usd = heddle_budget_day.spent_nano_usd
