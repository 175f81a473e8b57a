-- Purpose: note a change made by hand. Caller: operators, in the transaction of the change. Rows: inserts audit. Locks: none.
insert into heddle_audit (actor, action, subject, before, after)
values (%(actor)s, %(action)s, %(subject)s, %(before)s::jsonb, %(after)s::jsonb)
