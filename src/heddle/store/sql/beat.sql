-- Purpose: tell that a worker lives. Caller: engine.heartbeat, from its own connection. Rows: one worker. Locks: that row. Index: key.
-- Nothing matches: somebody has declared this worker dead; it must stop sending and take a new id.
update heddle_worker set seen_at = clock_timestamp(), detail = detail || %(detail)s::jsonb where id = %(worker)s and state in ('alive', 'draining') returning id
