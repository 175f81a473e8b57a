-- Purpose: lock the runs that the next statement of the transaction works on, so that it sees a snapshot nobody can change under it.
-- Caller: every stage that moves steps (settle, activate, stop, signal, callback, sweep), first in its transaction.
-- Rows: locks run rows by id. Locks in order: run by id, before everything else. Index: run's key.
-- Nothing matches: locks nothing.
select count(*) as locked from (
  select 1 from heddle_run where id = any(%(run_ids)s::uuid[]) order by id for no key update
) x
