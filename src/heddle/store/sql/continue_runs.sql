-- Purpose: let runs whose functions asked for it go on as new ones of the same workflow: linked both ways, with what is left of deadline and
--   cap, with the signals nobody has taken, and in the place of the old run under the run above it.
-- Caller: engine.activate, after plan in the same transaction, which has brought the old runs to their end.
-- Rows: run (inserts; old run and first of the chain), chain (its one row, which the lock of the old run guards), step (the call above), signal,
--   timer, ready; deletes what the old run's end told: its outbox row and the timer of the call above.
-- Locks in order: run (held: the old ones, the first of each chain, the ones above) -> chain -> step -> ready. Indexes: keys.
-- Nothing matches: a run that failed at its end does not go on.
with recursive moment as materialized (
  select clock_timestamp() as now
), w as materialized (
  select w.id, w.input, w.version, w.lane, r.id as old, coalesce(r.chain_first, r.id) as chain_first, coalesce(r.chain_number, 1) + 1 as number,
    r.tenant_id, r.workflow, r.priority, r.labels, r.webhook_url, r.max_cost_nano_usd as cap, r.deadline_at, r.parent_run, r.parent_ordinal,
    r.traceparent, r.cap_run
  from unnest(%(olds)s::uuid[], %(ids)s::uuid[], %(inputs)s::jsonb[], %(versions)s::int[], %(lanes)s::bigint[])
    as w (old, id, input, version, lane)
  join heddle_run r on r.id = w.old
  where r.state = 'succeeded' and r.continued_as is null
), tree (root, id) as (
  select old, old from w where cap is not null
  union
  select t.root, x.id from tree t
  cross join lateral (
    select b.id from heddle_step s
    cross join lateral (
      select s.child_run as id
      union all
      select b.id::uuid from jsonb_array_elements_text(s.options -> 'before') as b (id)
    ) b
    where s.run_id = t.id and s.child_run is not null
    union all
    select r.continued_from from heddle_run r where r.id = t.id and r.continued_from is not null and t.id <> t.root
  ) x
), spent as materialized (
  select t.root, coalesce(sum(coalesce(a.cost_nano_usd, a.price_nano_usd)), 0)::bigint as amount
  from tree t join heddle_attempt a on a.run_id = t.id
  where a.state in ('sending', 'accepted', 'unknown', 'done', 'late') or a.cost_nano_usd > 0
  group by t.root
), runs as (
  insert into heddle_run (id, tenant_id, workflow, version, priority, lane, input, labels, webhook_url, max_cost_nano_usd, created_at,
    deadline_at, parent_run, parent_ordinal, traceparent, event_seq, continued_from, chain_first, chain_number, cap_run)
  select w.id, w.tenant_id, w.workflow, w.version, w.priority, w.lane, w.input, w.labels, w.webhook_url,
    greatest(0, w.cap - coalesce((select p.amount from spent p where p.root = w.old), 0)), now,
    w.deadline_at, w.parent_run, w.parent_ordinal, w.traceparent, 1, w.old, w.chain_first, w.number, w.cap_run
  from w cross join moment
), linked as (
  update heddle_run r set
    continued_as = case when r.id = w.old then w.id else r.continued_as end,
    chain_last = case when r.id = w.chain_first then w.id else r.chain_last end
  from w where r.id = w.old or r.id = w.chain_first
), noted as (
  insert into heddle_chain (first, tenant_id, last)
  select w.chain_first, w.tenant_id, w.id from w
  on conflict (first) do update set last = excluded.last
), unposted as (
  -- The customer is told of the end of the chain, not of each of its links.
  delete from heddle_outbox o using w where o.run_id = w.old and o.type = 'run.succeeded'
), followed as (
  update heddle_step s set child_run = w.id
  from w where s.run_id = w.parent_run and s.ordinal = w.parent_ordinal and s.child_run = w.old
  returning w.id, s.state
), unraised as (
  -- The call above is told of the end of the chain, not of each of its links: of two tellings of one call the second could meet the first
  -- while that is being taken, and be lost with it.
  delete from heddle_timer t using w where t.run_id = w.parent_run and t.ordinal = w.parent_ordinal and t.kind = 'child'
), kept as (
  update heddle_signal x set run_id = w.id from w where x.run_id = w.old and x.consumed_by is null
), timed as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select id, 0, 'deadline', deadline_at from w where deadline_at is not null
  union all
  -- The call above was stopped since: what was to cancel its child has met the old run, which was over.
  select id, 0, 'cleanup', now from followed cross join moment where state <> 'waiting'
), readied as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal) select lane, tenant_id, id, 0 from w
)
select workflow from w
