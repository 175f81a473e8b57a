-- Purpose: measure what runs of each workflow have cost lately, with everything under them, for quotes. Caller: engine.books, the leader.
-- Rows: reads the last %(limit)s runs by id; writes workflow_cost. Index: run's key. Locks: rows of workflow_cost, by name.
-- A child counts with the run above it as far as both are among those runs. Only runs that succeeded count, at most %(runs)s of a workflow.
-- Nothing matches: no run has succeeded lately; what was measured before stays, with its time.
with recursive recent as materialized (
  select r.id, r.workflow, r.state, r.parent_run, r.cost_nano_usd from heddle_run r order by r.id desc limit %(limit)s
), tree (root, id) as (
  select id, id from recent where state = 'succeeded' and parent_run is null
  union all
  select t.root, c.id from tree t join recent c on c.parent_run = t.id
), cost as (
  select t.root, sum(r.cost_nano_usd) as nano_usd from tree t join recent r on r.id = t.id group by t.root
), ranked as (
  select r.workflow, c.nano_usd, row_number() over (partition by r.workflow order by r.id desc) as place
  from cost c join recent r on r.id = c.root
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
