-- Purpose: tell what a tenant has taken of its quota: runs of the last minute, open runs, money of this day and month. Callers: doors' tenant_use.
-- Rows: reads run, open_run, budget_day, budget_call, attempt; each count ends at its bound, and what has no bound (null) is not counted.
-- A run that the intake refused for its quota takes nothing of it; child runs are their parent's. Indexes: run's tenant, keys. Locks: none.
-- A paid call that is not over counts at its price, one that is over and not yet booked at its cost.
with moment as materialized (
  select t.now, t.now at time zone 'UTC' as at, (t.now at time zone 'UTC')::date as today,
    date_trunc('month', t.now at time zone 'UTC')::date as month
  from (select clock_timestamp() as now) t
), money as materialized (
  select coalesce(sum(x.nano_usd) filter (where x.day = o.today), 0)::bigint as spent_today, coalesce(sum(x.nano_usd), 0)::bigint as spent_month
  from moment o
  cross join lateral (
    select d.day, d.spent_nano_usd as nano_usd from heddle_budget_day d where d.tenant_id = %(tenant_id)s and d.day >= o.month
    union all
    select c.day, case when a.state in ('sending', 'accepted', 'unknown') then coalesce(a.cost_nano_usd, a.price_nano_usd)
      else a.cost_nano_usd end
    from heddle_budget_call c
    cross join lateral (
      select a.state, a.cost_nano_usd, a.price_nano_usd from heddle_attempt a
      where a.run_id = c.run_id and a.ordinal = c.ordinal and a.number = c.number offset 0
    ) a
    where c.tenant_id = %(tenant_id)s and c.day >= o.month
  ) x
), minute as materialized (
  select r.id from heddle_run r
  where %(runs_per_min)s::int is not null and r.tenant_id = %(tenant_id)s and r.id >= %(since)s::uuid and r.parent_run is null
    and r.error ->> 'fault' is distinct from 'throttled'
  order by r.id desc
  limit coalesce(%(runs_per_min)s::int, 0)
)
select (select count(*) from minute)::int as runs_in_window, (select id from minute order by id limit 1) as oldest,
  (select count(*) from (
    select 1 from heddle_open_run o
    cross join lateral (select r.state from heddle_run r where r.id = o.run_id offset 0) r
    where %(open_runs_max)s::int is not null and o.tenant_id = %(tenant_id)s and r.state in ('queued', 'running')
    limit coalesce(%(open_runs_max)s::int, 0)) q)::int as open_runs,
  m.spent_today as spent_nano_usd,
  extract(epoch from (o.today + 1)::timestamp - o.at)::float8 as day_left_s,
  m.spent_month as spent_month_nano_usd,
  extract(epoch from (o.month + interval '1 month') - o.at)::float8 as month_left_s,
  extract(epoch from o.now)::float8 as now_s
from moment o
cross join money m
