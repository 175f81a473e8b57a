-- Purpose: keep claims out of the queues in which calls stand in line again whose paid attempt was given up, for the rest of the transaction, so that
--   settle_late can call them off.
-- Caller: store.late, before settle_late: a statement of its own, so that settle_late sees what the claims before it left. Waits for the
--   transactions of claims, which wait for nothing. Rows: reads attempt, step. Indexes: keys.
-- Locks in order: run (held) -> account (held) -> advisory (lane, tenant). Nothing matches: no such call is in line.
select pg_advisory_xact_lock(hashint8extended(q.lane, q.tenant_id))
from (
  select distinct s.lane, s.tenant_id
  from unnest(%(run_ids)s::uuid[], %(ordinals)s::int[], %(numbers)s::int[]) as d (run_id, ordinal, number)
  cross join lateral (
    select 1 from heddle_attempt a
    where a.run_id = d.run_id and a.ordinal = d.ordinal and a.number = d.number and a.sent_at is not null and a.state in ('rejected', 'abandoned')
    offset 0
  ) a
  cross join lateral (
    select s.lane, s.tenant_id from heddle_step s where s.run_id = d.run_id and s.ordinal = d.ordinal and s.state = 'due' offset 0
  ) s
  order by s.lane, s.tenant_id
) q
