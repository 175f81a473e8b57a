-- Purpose: tell that a worker left in order. Caller: engine.worker at the end of a drain. Rows: one worker. Index: key. Locks: that row.
update heddle_worker set state = 'gone' where id = %(worker)s
