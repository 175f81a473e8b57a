-- Purpose: note a verified callback to an account's one address whose job no call in flight has. Caller: doors' note_stray.
-- Rows: reads endpoint; inserts stray. Index: its key. Locks: none that exist.
-- Nothing matches: it was noted before, there is no such endpoint, or what it names is too long to be a job of ours.
insert into heddle_stray (endpoint_id, handle)
select e.id, %(handle)s from heddle_endpoint e where e.name = %(endpoint)s and length(%(handle)s) <= 1000
on conflict do nothing
