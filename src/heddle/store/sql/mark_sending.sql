-- Purpose: make the intent of paid calls durable before their sockets open, unless their run's cap on cost would be passed.
-- Caller: engine.execute, after lock_capped in the same transaction; one synchronous commit for a batch.
-- Rows: attempt. A row comes back for each call that may be sent now (its lease stands, it was not
--   stopped while being leased, neither its send_by nor its run's deadline has passed) or that is over the cap.
--   A child is held to the cap of the nearest run above it that has one, with everything else under that run.
--   What a run has spent or may yet be billed for is the price of its attempts that were sent, or their true cost where it is known.
-- A call of a run older than a restore is left out until it was looked up once: it may have been sent in the history that was lost (doubt.sql).
-- Locks: run (held, capped ones) -> attempt. Indexes: keys. Nothing matches: not to be sent.
with recursive w as materialized (
  select w.*, a.price_nano_usd as price, c.id as root, c.max_cost_nano_usd as cap
  from unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(numbers)s::int[], %(fences)s::bigint[], %(digests)s::text[])
    as w (run_id, ordinal, number, fence, digest)
  join heddle_attempt a on a.run_id = w.run_id and a.ordinal = w.ordinal and a.number = w.number
  join heddle_run r on r.id = w.run_id
  join heddle_run c on c.id = coalesce(r.cap_run, r.id)
  where a.state = 'reserved' and a.send_by > clock_timestamp()
    and (r.deadline_at is null or r.deadline_at > clock_timestamp() or r.stopping is not null)
    and exists (select 1 from heddle_lease l where l.run_id = w.run_id and l.ordinal = w.ordinal and l.fence = w.fence)
    and exists (select 1 from heddle_step s where s.run_id = w.run_id and s.ordinal = w.ordinal and s.state = 'due')
    and not exists (select 1 from heddle_lineage g where w.run_id < g.restored_before and not exists (
      select 1 from heddle_attempt t where t.run_id = w.run_id and t.ordinal = w.ordinal and t.unknown_at >= g.restored_at))
), tree (root, id) as (
  select root, root from w where cap is not null
  union
  select t.root, x.id from tree t
  cross join lateral (
    select s.child_run as id from heddle_step s where s.run_id = t.id and s.child_run is not null
    union all
    select r.continued_from from heddle_run r where r.id = t.id and r.continued_from is not null and t.id <> t.root
  ) x
), spent as materialized (
  select t.root, coalesce(sum(coalesce(a.cost_nano_usd, a.price_nano_usd)), 0) as amount
  from tree t join heddle_attempt a on a.run_id = t.id
  where a.state in ('sending', 'accepted', 'unknown', 'done', 'late') or a.cost_nano_usd > 0
  group by t.root
), judged as materialized (
  select w.*, case when w.cap is null then false else
    sum(coalesce(w.price, 0)) over (partition by w.root order by w.run_id, w.ordinal)
      + coalesce((select p.amount from spent p where p.root = w.root), 0) > w.cap end as is_over
  from w
), sent as (
  update heddle_attempt a set state = 'sending', sent_at = coalesce(a.sent_at, clock_timestamp()), request_digest = j.digest
  from judged j
  where not j.is_over and a.run_id = j.run_id and a.ordinal = j.ordinal and a.number = j.number
    -- Asked again under the row's lock: a reclaim that came in between has given the call up, and somebody else may send it.
    and a.state = 'reserved'
  returning a.run_id, a.ordinal
)
select run_id, ordinal, false as is_over from sent
union all
select run_id, ordinal, true from judged where is_over
