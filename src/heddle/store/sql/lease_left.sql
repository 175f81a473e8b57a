-- Purpose: lease what a stopped call left behind to nobody (worker 0): a job that its provider took, or may have taken, and that no worker looks after
--   any more, so that an operator's word closes its attempt and its reservation (close_attempt), in the same transaction.
-- Caller: operators' settle_unknown, after lock_runs. Rows: inserts lease. Locks: run (held) -> lease. Indexes: keys.
-- Nothing matches: the call was not stopped, its job is known to be over, or a worker still looks after it.
insert into heddle_lease (run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, endpoint_id, purpose, claimed_at)
select s.run_id, s.ordinal, 0, nextval('heddle_fence_seq'), gen_random_uuid(), a.number, s.lane, s.tenant_id, a.endpoint_id, 'poll',
  clock_timestamp()
from heddle_step s
cross join lateral (
  select a.number, a.endpoint_id, a.state from heddle_attempt a where a.run_id = s.run_id and a.ordinal = s.ordinal order by a.number desc limit 1
) a
where s.run_id = %(run_id)s and s.ordinal = %(ordinal)s and s.state = 'cancelled' and a.state in ('sending', 'accepted', 'unknown')
  and not exists (select 1 from heddle_slot k where k.run_id = s.run_id and k.ordinal = s.ordinal)
on conflict do nothing
returning fence, number
