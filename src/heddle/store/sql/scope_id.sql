-- Purpose: find a scope's number. Caller: store.apply. Rows: reads limit_state. Index: its name. Locks: none.
select id from heddle_limit_state where name = %(name)s
