-- Purpose: lease one step of unknown outcome to nobody (worker 0), so that an operator's verdict is settled like any other, in the same
--   transaction. Caller: operators' settle_unknown, after lock_runs. Rows: inserts lease. Locks: run (held) -> lease. Index: keys.
-- Nothing matches: the step is not unknown, or a worker is asking about it just now.
insert into heddle_lease (run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, endpoint_id, purpose, claimed_at)
select s.run_id, s.ordinal, 0, nextval('heddle_fence_seq'), gen_random_uuid(), a.number, s.lane, s.tenant_id, a.endpoint_id, 'poll',
  clock_timestamp()
from heddle_step s
join heddle_attempt a on a.run_id = s.run_id and a.ordinal = s.ordinal and a.number = s.attempts
where s.run_id = %(run_id)s and s.ordinal = %(ordinal)s and s.state = 'unknown'
on conflict do nothing
returning fence, number
