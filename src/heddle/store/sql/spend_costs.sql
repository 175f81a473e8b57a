-- Purpose: measure what runs of each workflow have cost lately, with everything under them, for quotes. Caller: engine.books, the leader.
-- Rows: reads the last %(limit)s runs by id; writes workflow_cost. Index: run's key. Locks: rows of workflow_cost, by name.
-- Each run climbs by key to the one that has nobody above it: a join of these runs with themselves would compare each with every other. Of a chain
-- its first is above the others, and not each above the next: 5,000 links would climb each other's whole way.
-- A run counts where that one is among those runs too. Only runs that succeeded count, at most %(runs)s of a workflow; a chain is one of them, and
-- succeeded when its last has.
-- Nothing matches: no run has succeeded lately; what was measured before stays, with its time.
with recursive recent as materialized (
  select r.id, coalesce(r.parent_run, r.chain_first) as above, r.cost_nano_usd from heddle_run r order by r.id desc limit %(limit)s
), climb (id, above, nano_usd) as (
  select id, above, cost_nano_usd from recent
  union all
  select up.id, up.above, k.nano_usd
  from climb k
  cross join lateral (select r.id, coalesce(r.parent_run, r.chain_first) as above from heddle_run r where r.id = k.above offset 0) up
), cost as materialized (
  select id, sum(nano_usd) as nano_usd from climb where above is null and id >= (select id from recent order by id limit 1) group by id
), ranked as (
  select r.workflow, c.nano_usd, row_number() over (partition by r.workflow order by c.id desc) as place
  from cost c
  cross join lateral (select r.workflow, r.state, r.chain_last from heddle_run r where r.id = c.id offset 0) r
  left join lateral (select l.state from heddle_run l where l.id = r.chain_last offset 0) l on true
  where r.state = 'succeeded' and (r.chain_last is null or l.state = 'succeeded')
), written as (
  insert into heddle_workflow_cost (workflow, runs, median_nano_usd, p95_nano_usd, highest_nano_usd, at)
  select workflow, count(*), percentile_disc(0.5) within group (order by nano_usd), percentile_disc(0.95) within group (order by nano_usd),
    max(nano_usd), clock_timestamp()
  from ranked
  where place <= %(runs)s
  group by workflow
  order by workflow
  on conflict (workflow) do update set runs = excluded.runs, median_nano_usd = excluded.median_nano_usd,
    p95_nano_usd = excluded.p95_nano_usd, highest_nano_usd = excluded.highest_nano_usd, at = excluded.at
  returning 1
)
select count(*)::int as measured from written
