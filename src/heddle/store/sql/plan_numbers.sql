-- Purpose: let new calls that stand where calls of a cleanup stood, which a retry has removed, go on with their numbers: an attempt, its entries of the
--   ledger and its key at the provider are the number's, and those of the cleanup are there.
-- Caller: engine.activate, after plan in the same transaction, for runs that were stopped or retried. Rows: updates step; reads attempt.
-- Locks: run (held) -> step. Indexes: keys. Nothing matches: nothing stood there.
update heddle_step s set attempts = a.number, attempts_before = a.number
from (
  select w.run_id, w.ordinal, max(t.number) as number
  from unnest(%(runs)s::uuid[], %(ordinals)s::int[]) as w (run_id, ordinal)
  join heddle_attempt t on t.run_id = w.run_id and t.ordinal = w.ordinal
  group by w.run_id, w.ordinal
) a
where s.run_id = a.run_id and s.ordinal = a.ordinal
