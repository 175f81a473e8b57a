-- Purpose: lock the scopes that are recounted next. Caller: engine.sweep, the leader, before recount in the same transaction: a count is only
--   true of a moment in which nobody else writes the scope, and a statement that locks sees what was before its locks.
-- Rows: limit_state, one that a claim holds is left for the next time. Locks: those rows by id. Index: key. Nothing matches: all are held.
select id from heddle_limit_state order by id for no key update skip locked
