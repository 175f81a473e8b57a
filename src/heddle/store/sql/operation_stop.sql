-- Purpose: end a bulk operation after its present chunk. Caller: operators' stop_operation.
-- Rows: updates operation. Locks: that row, waiting for the chunk. Index: its key. Nothing matches: it is over, or another tenant's.
update heddle_operation set state = 'stopped', finished_at = clock_timestamp()
where id = %(id)s and tenant_id = %(tenant_id)s and state in ('queued', 'running')
returning id
