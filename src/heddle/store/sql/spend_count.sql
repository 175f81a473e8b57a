-- Purpose: count new entries of the ledger into the sums by day, each once. Caller: engine.books, the leader.
-- Rows: ledger (is_counted), spend_day; reads run and step of entries that an older release wrote without saying whose they are.
-- Bounded: %(limit)s entries, oldest first. Index: ledger's uncounted. Locks: those entries (skipping what another holds) -> spend_day by key.
-- Nothing matches: everything is counted.
with taken as materialized (
  select id from heddle_ledger where not is_counted order by id limit %(limit)s for no key update skip locked
), counted as (
  update heddle_ledger g set is_counted = true
  from taken t
  where g.id = t.id and not g.is_counted
  returning g.tenant_id, coalesce(g.day, (g.at at time zone 'UTC')::date) as day,
    coalesce(g.workflow, (select r.workflow from heddle_run r where r.id = g.run_id), '') as workflow,
    coalesce(g.model, (select s.name from heddle_step s where s.run_id = g.run_id and s.ordinal = g.ordinal), '') as model,
    coalesce(g.endpoint_id, 0) as endpoint_id, g.kind, g.amount_nano_usd as amount, g.is_estimated
), added as (
  insert into heddle_spend_day as d (tenant_id, day, workflow, model, endpoint_id, calls, estimates, reserved_nano_usd, released_nano_usd,
    charged_nano_usd, refunded_nano_usd, adjusted_nano_usd)
  select tenant_id, day, workflow, model, endpoint_id, count(*) filter (where kind = 'charge'),
    count(*) filter (where kind = 'charge' and is_estimated), coalesce(sum(amount) filter (where kind = 'reserve'), 0),
    coalesce(sum(amount) filter (where kind = 'release'), 0), coalesce(sum(amount) filter (where kind = 'charge'), 0),
    coalesce(sum(amount) filter (where kind = 'refund'), 0), coalesce(sum(amount) filter (where kind = 'adjustment'), 0)
  from counted
  group by tenant_id, day, workflow, model, endpoint_id
  order by tenant_id, day, workflow, model, endpoint_id
  on conflict (tenant_id, day, workflow, model, endpoint_id) do update set
    calls = d.calls + excluded.calls,
    estimates = d.estimates + excluded.estimates,
    reserved_nano_usd = d.reserved_nano_usd + excluded.reserved_nano_usd,
    released_nano_usd = d.released_nano_usd + excluded.released_nano_usd,
    charged_nano_usd = d.charged_nano_usd + excluded.charged_nano_usd,
    refunded_nano_usd = d.refunded_nano_usd + excluded.refunded_nano_usd,
    adjusted_nano_usd = d.adjusted_nano_usd + excluded.adjusted_nano_usd
)
select count(*)::int as counted from counted
