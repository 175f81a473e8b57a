-- Purpose: lease waiting steps (sleep, signal, child run) to this worker so that they are settled like any other, in the same transaction.
-- Caller: engine.schedule, after take_timers. Rows: inserts lease. Locks: run (held) -> lease. Index: lease's key.
insert into heddle_lease (run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, purpose, claimed_at)
select s.run_id, s.ordinal, %(worker)s, nextval('heddle_fence_seq'), gen_random_uuid(), 1, s.lane, s.tenant_id, 'execute', clock_timestamp()
from unnest(%(runs)s::uuid[], %(ordinals)s::int[]) as w (run_id, ordinal)
cross join lateral (
  select s.run_id, s.ordinal, s.lane, s.tenant_id, s.state from heddle_step s where s.run_id = w.run_id and s.ordinal = w.ordinal offset 0
) s
where s.state = 'waiting'
on conflict do nothing
returning run_id, ordinal, fence
