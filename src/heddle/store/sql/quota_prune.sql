-- Purpose: forget runs that are over in the list of open ones, and days long past in the accounts of budgets. Caller: engine.load, the leader.
-- Who counts open runs looks at their state, so this only keeps the list short. Rows: open_run, budget_day; reads run, budget_call.
-- Bounded: looks at %(limit)s listed runs, chosen by chance, so that a list of long ones does not hide the others. Locks: those rows.
-- Nothing matches: every listed run is open.
with listed as materialized (
  select o.tenant_id, o.run_id from heddle_open_run o order by random() limit %(limit)s
), gone as (
  delete from heddle_open_run o
  using listed l
  cross join lateral (select r.state from heddle_run r where r.id = l.run_id offset 0) r
  where o.tenant_id = l.tenant_id and o.run_id = l.run_id and r.state not in ('queued', 'running')
  returning 1
), past as (
  delete from heddle_budget_day d
  where d.day < (clock_timestamp() at time zone 'UTC')::date - 40
    and not exists (select 1 from heddle_budget_call c where c.tenant_id = d.tenant_id and c.day = d.day)
)
select count(*)::int as gone from gone
