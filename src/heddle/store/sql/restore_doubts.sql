-- Purpose: tell whether anything sent before a restore is still in doubt, and for how long sending has been paused. Caller: store.upkeep.
-- Rows: reads lineage, attempt, step, lease. Index: heddle_attempt_unknown; leases are few. Locks: none. Nothing matches: sending goes on.
-- In doubt: what a worker of the lost history holds, and unknown outcomes that nobody has asked about since the restore; not those that wait
--   for a person.
select extract(epoch from clock_timestamp() - g.sending_paused_at)::float8 as paused_s,
  exists (select 1 from heddle_lease l join heddle_attempt a on a.run_id = l.run_id and a.ordinal = l.ordinal and a.number = l.number
    where l.claimed_at < g.restored_at and a.state in ('reserved', 'sending')) or exists (
    select 1 from heddle_attempt a
    join heddle_step s on s.run_id = a.run_id and s.ordinal = a.ordinal and s.state = 'unknown' and s.attempts = a.number
    join heddle_slot k on k.run_id = a.run_id and k.ordinal = a.ordinal
    where a.state = 'unknown' and a.unknown_at > clock_timestamp() - make_interval(secs => %(hold_s)s)
  ) as is_in_doubt
from heddle_lineage g
where g.sending_paused_at is not null
