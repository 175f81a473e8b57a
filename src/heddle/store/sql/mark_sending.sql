-- Purpose: make the intent of paid calls durable before their sockets open, unless their run's cap on cost would be passed.
-- Caller: engine.execute, after lock_capped in the same transaction; one synchronous commit for a batch.
-- Rows: attempt. A row comes back for each call that may be sent now (its lease stands, it was not
--   stopped while being leased, its send_by has not passed) or that is over the cap.
--   What a run has spent or may yet be billed for is the price of its attempts that were sent, or their true cost where it is known.
-- A call of a run older than a restore is left out until it was looked up once: it may have been sent in the history that was lost (doubt.sql).
-- Locks: run (held, capped ones) -> attempt. Indexes: keys. Nothing matches: not to be sent.
with w as materialized (
  select w.*, a.price_nano_usd as price, r.max_cost_nano_usd as cap
  from unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(numbers)s::int[], %(fences)s::bigint[], %(digests)s::text[])
    as w (run_id, ordinal, number, fence, digest)
  join heddle_attempt a on a.run_id = w.run_id and a.ordinal = w.ordinal and a.number = w.number
  join heddle_run r on r.id = w.run_id
  where a.state = 'reserved' and a.send_by > clock_timestamp()
    and exists (select 1 from heddle_lease l where l.run_id = w.run_id and l.ordinal = w.ordinal and l.fence = w.fence)
    and exists (select 1 from heddle_step s where s.run_id = w.run_id and s.ordinal = w.ordinal and s.state = 'due')
    and not exists (select 1 from heddle_lineage g where w.run_id < g.restored_before and not exists (
      select 1 from heddle_attempt t where t.run_id = w.run_id and t.ordinal = w.ordinal and t.unknown_at >= g.restored_at))
), judged as materialized (
  select w.*, case when w.cap is null then false else
    sum(coalesce(w.price, 0)) over (partition by w.run_id order by w.ordinal) + (
      select coalesce(sum(coalesce(t.cost_nano_usd, t.price_nano_usd)), 0) from heddle_attempt t
      where t.run_id = w.run_id and (t.state in ('sending', 'accepted', 'unknown', 'done', 'late') or t.cost_nano_usd > 0)
    ) > w.cap end as is_over
  from w
), sent as (
  update heddle_attempt a set state = 'sending', sent_at = coalesce(a.sent_at, clock_timestamp()), request_digest = j.digest
  from judged j
  where not j.is_over and a.run_id = j.run_id and a.ordinal = j.ordinal and a.number = j.number
)
select run_id, ordinal, is_over from judged
