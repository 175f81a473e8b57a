-- Purpose: write by hand that a provider gave money of an attempt back (refund), or that it cost another sum than charged (adjustment).
-- Caller: doors' correction, after lock_runs and a lock on the day's account in the same transaction.
-- Rows: ledger, attempt, step, run; budget_day where the call was summed up already. Locks in order: run (held) -> step -> attempt -> budget_day.
-- Indexes: keys. An attempt is refunded once and adjusted once. What it cost never goes below nothing.
-- A run that a release before this one closed after its end does not show that charge, and so goes no further down than nothing.
-- Nothing matches: there is no such charge, it has been corrected so already, or more is taken back than it cost.
with given as materialized (
  select c.tenant_id, c.endpoint_id, c.day, c.workflow, c.model, c.at, a.cost_nano_usd,
    case %(kind)s when 'refund' then -%(amount)s::bigint else %(amount)s::bigint end as change
  from heddle_ledger c
  join heddle_attempt a on a.run_id = c.run_id and a.ordinal = c.ordinal and a.number = c.number
  where c.run_id = %(run_id)s and c.ordinal = %(ordinal)s and c.number = %(number)s and c.kind = 'charge'
), entry as (
  insert into heddle_ledger (tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd, day, workflow, model)
  select tenant_id, %(run_id)s, %(ordinal)s, %(number)s, endpoint_id, %(kind)s, %(amount)s::bigint,
    coalesce(day, (at at time zone 'UTC')::date), workflow, model
  from given where coalesce(cost_nano_usd, 0) + change >= 0
  on conflict (run_id, ordinal, number, kind) do nothing
  returning tenant_id, day
), steps as (
  update heddle_step s set cost_nano_usd = greatest(0, s.cost_nano_usd + g.change)
  from given g, entry where s.run_id = %(run_id)s and s.ordinal = %(ordinal)s
), attempts as (
  update heddle_attempt a set cost_nano_usd = coalesce(a.cost_nano_usd, 0) + g.change
  from given g, entry where a.run_id = %(run_id)s and a.ordinal = %(ordinal)s and a.number = %(number)s
), runs as (
  update heddle_run r set cost_nano_usd = greatest(0, r.cost_nano_usd + g.change) from given g, entry where r.id = %(run_id)s
), days as (
  update heddle_budget_day d set spent_nano_usd = greatest(0, d.spent_nano_usd + g.change)
  from given g, entry e
  where d.tenant_id in (e.tenant_id, (select -f.id from heddle_workflow f where f.name = g.workflow)) and d.day = e.day
    and not exists (select 1 from heddle_budget_call c
      where c.tenant_id = d.tenant_id and c.run_id = %(run_id)s and c.ordinal = %(ordinal)s and c.number = %(number)s)
)
select tenant_id from entry
