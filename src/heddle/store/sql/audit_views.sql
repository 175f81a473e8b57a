-- Purpose: show the latest changes made by hand. Caller: operators' audit. Rows: reads audit. Index: its key. Locks: none.
select at, actor, action, subject, before, after from heddle_audit order by id desc limit %(limit)s
