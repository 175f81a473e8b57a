-- Purpose: lock the scopes that are recounted. Caller: engine.sweep and store.apply, before recount in the same transaction: a statement of its
--   own, so that recount sees the slots of every claim that came before. Rows: locks limit_state (skip locked: a claim is at it).
-- Locks: limit rows by id. Index: its key. Nothing matches: claims hold all of them.
select id from heddle_limit_state order by id for no key update skip locked
